/* The arithmetic of one block of 32 x 32 sums on AMX tiles. */
#ifndef ROOKERY_TILES_AMX_H
#define ROOKERY_TILES_AMX_H

#include "amx.h"
#include "finished.h"

/* Chunks one after the other: the sums that are still in tiles, and the block that is on its way to memory once they have been stored. */
typedef struct { float *in_tiles; finished_block finished; } tile_run;

#define STORE_TILE(tile, at) _tile_stored(tile, stored + at, 128)
/* The tile's sums go, and those of the next chunk take their place. */
#define CHANGE_TILE(tile, at)                                                                                    \
  if (stored) STORE_TILE(tile, at);                                                                              \
  if (before) _tile_loadd(tile, before + at, 128);                                                               \
  else _tile_zero(tile);

/*
 * One chunk of A times a panel's part on top of `before` (or 0). Sums are stored in the first step of the chunk after, each tile before its
 * first product there: storing waits for products, and loading for storing, so at one place they would hold up the tile unit a sixth of the
 * time. Meanwhile the block before goes to memory, a row after each product: the tile unit and the vector units have different work then. What
 * is on the side must stay small: the front end has 64 cycles a step.
 * Compiled once for each `way` that rows go, and for `lower`: whether there are more than 16.
 */
INLINE void multiply_chunk_by(const bf16 *a, const bf16 *b, size_t steps, int lower, float *stored, const float *before, row_cursor row, int way,
                              f32_lanes *squares, coming_rows coming) {
  _tile_loadd(6, b, 64);
  _tile_loadd(4, a, 64);
  CHANGE_TILE(0, 0)
  _tile_dpbf16ps(0, 4, 6);
  _tile_loadd(7, b + 512, 64);
  CHANGE_TILE(1, 16)
  _tile_dpbf16ps(1, 4, 7);
  if (lower) {
    _tile_loadd(5, a + 512, 64);
    CHANGE_TILE(2, 512)
    _tile_dpbf16ps(2, 5, 6);
    CHANGE_TILE(3, 528)
    _tile_dpbf16ps(3, 5, 7);
  }
  settle_stores();
  for (size_t step = 0; step < steps; step++) {
    for (size_t r = 0; r < coming.rows; r++) _mm_prefetch(coming.at + r * coming.stride + step * coming.step_stride, _MM_HINT_T1);
    if (step + 1 == steps) break;
    a += 1024;
    b += 1024;
    _tile_loadd(6, b, 64);
    _tile_loadd(4, a, 64);
    _tile_dpbf16ps(0, 4, 6);
    store_next_row(&row, way);
    _tile_loadd(7, b + 512, 64);
    _tile_dpbf16ps(1, 4, 7);
    store_next_row(&row, way);
    if (lower) {
      _tile_loadd(5, a + 512, 64);
      _tile_dpbf16ps(2, 5, 6);
      store_next_row(&row, way);
      _tile_dpbf16ps(3, 5, 7);
      store_next_row(&row, way);
    }
  }
  if (way != NO_ROWS) while (row.left) store_next_row(&row, way);
  if (is_f32_way(way) && squares) *squares += row.squares;
}

/* Stores what is in the tiles: before they are configured anew, and at the end. */
static void store_tiles(tile_run *run, size_t rows) {
  float *stored = run->in_tiles;
  if (!stored) return;
  STORE_TILE(0, 0);
  STORE_TILE(1, 16);
  if (rows > 16) { STORE_TILE(2, 512); STORE_TILE(3, 528); }
  run->in_tiles = 0;
  settle_stores();
}

#define CHUNK_BY_WAY(way, lower) case way: multiply_chunk_by(a, b, steps, lower, stored, before, row, way, squares, coming); break;
#define CHUNK_BY_WAYS(lower)                                                                                     \
  switch (way) {                                                                                                 \
    CHUNK_BY_WAY(NO_ROWS, lower) CHUNK_BY_WAY(BF16_ROWS, lower) CHUNK_BY_WAY(BF16_SUM_ROWS, lower)               \
    CHUNK_BY_WAY(GATED_ROWS, lower) CHUNK_BY_WAY(F32_ROWS, lower) CHUNK_BY_WAY(F32_SUM_ROWS, lower)              \
    CHUNK_BY_WAY(PAST_CACHE_ROWS, lower) CHUNK_BY_WAY(BF16_ROWS | SCALED, lower)                                 \
    CHUNK_BY_WAY(BF16_SUM_ROWS | SCALED, lower) CHUNK_BY_WAY(GATED_ROWS | SCALED, lower)                         \
    CHUNK_BY_WAY(F32_ROWS | SCALED, lower)                                                                       \
  }

/* The sums [32, 32] = before (or 0) + a chunk of A times a panel's part will be at `sums` after the next chunk, or store_tiles. */
static void multiply_chunk(tile_run *run, const bf16 *a, const bf16 *b, size_t steps, size_t rows, const float *before, float *sums, coming_rows coming) {
  finished_block *finished = &run->finished;
  int way = way_of(finished);
  row_cursor row = {0};
  if (way != NO_ROWS) row = first_row(finished);
  else if (finished->left) {
    store_tiles(run, rows);
    store_edge_block(finished);
  }
  f32_lanes *squares = finished->squares;
  float *stored = run->in_tiles;
  finished->left = 0;
  if (rows > 16) CHUNK_BY_WAYS(1) else CHUNK_BY_WAYS(0)
  run->in_tiles = sums;
}

/* After the last chunk. */
static void store_rest(tile_run *run, size_t rows) {
  finished_block *finished = &run->finished;
  int way = way_of(finished);
  store_tiles(run, rows);
  if (way == NO_ROWS) {
    if (finished->left) store_edge_block(finished);
    return;
  }
  row_cursor row = first_row(finished);
  while (row.left) store_next_row(&row, way);
  if (finished->squares) *finished->squares += row.squares;
}

#endif
