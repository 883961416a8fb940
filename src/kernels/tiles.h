/* The arithmetic of one block of 32 x 32 sums on AMX tiles. Only files that compile to nothing without AMX include this. */
#ifndef ROOKERY_TILES_H
#define ROOKERY_TILES_H

#include "amx.h"
#include "panels.h"

#define CHUNK_STEPS 8 /* of 32: what of 32 rows fits in the first cache together with the panel that streams past */

/* A block of finished sums [rows, 32] on its way to c, row by row. */
typedef struct {
  const sums_target *target;
  const float *sums;
  size_t row, column, left; /* what is next, and how many rows are left */
  const float *gate;        /* where these are an up projection's sums: those of its gate, whose product goes to target->gated */
  f32_lanes *squares;       /* of f32 rows as they are stored, added up here, unless 0 */
} finished_block;

/* How the rows of a block go to memory. Blocks of whole panels, which most are, have loops of their own: see multiply_chunk. */
enum { NO_ROWS, BF16_ROWS, BF16_SUM_ROWS, GATED_ROWS, F32_ROWS, F32_SUM_ROWS, PAST_CACHE_ROWS, SCALED = 8 };

INLINE int way_of(const finished_block *block) {
  const sums_target *target = block->target;
  if (!block->left || block->column + PANEL > target->columns) return NO_ROWS;
  int scaled = target->scales ? SCALED : 0;
  if (block->gate) return GATED_ROWS | scaled;
  if (target->dtype == ROOKERY_BF16) return (target->addend ? BF16_SUM_ROWS : BF16_ROWS) | scaled;
  if (scaled) return target->addend ? NO_ROWS : F32_ROWS | SCALED;
  return target->past_cache ? PAST_CACHE_ROWS : target->addend ? F32_SUM_ROWS : F32_ROWS;
}

/* Where the next row of a block lies and goes. */
typedef struct {
  const float *sums, *gate;
  char *c, *gated;
  const char *addend;
  size_t row_bytes, left;
  f32_lanes squares;
  const sums_scales *scales;
  size_t row, column, gate_column;
} row_cursor;

INLINE row_cursor first_row(const finished_block *block) {
  const sums_target *target = block->target;
  size_t element = target->dtype == ROOKERY_F32 ? sizeof(float) : sizeof(bf16), row_bytes = target->columns * element;
  size_t at = block->row * row_bytes + block->column * element;
  row_cursor row = {.sums = block->sums, .gate = block->gate, .c = target->c + at, .addend = target->addend + (target->addend ? at : 0),
                    .row_bytes = row_bytes, .left = block->left, .scales = target->scales, .row = block->row, .column = block->column,
                    .gate_column = block->column - (block->gate ? target->columns / 2 : 0)};
  /* an up projection's columns stand in the right half of c, their products at the same place of a row half as long */
  if (block->gate) row.gated = target->gated + block->row * (row_bytes / 2) + block->column * element - row_bytes / 2;
  return row;
}

/* silu(gate) up, of both as they are rounded to bf16: what is made of the stored ones on the way back is the same. */
INLINE __m512i gated_product(f32_lanes low, f32_lanes high, __m512i up) {
  __m512i narrow = narrow32((__m512)low, (__m512)high);
  f32_lanes product[2];
  for (int half = 0; half < 2; half++) {
    __m256i g = half ? _mm512_extracti64x4_epi64(narrow, 1) : _mm512_castsi512_si256(narrow), u = half ? _mm512_extracti64x4_epi64(up, 1) : _mm512_castsi512_si256(up);
    f32_lanes wide = (f32_lanes)_mm512_slli_epi32(_mm512_cvtepu16_epi32(g), 16);
    product[half] = wide * vector_sigmoid(wide) * (f32_lanes)_mm512_slli_epi32(_mm512_cvtepu16_epi32(u), 16);
  }
  return narrow32((__m512)product[0], (__m512)product[1]);
}

INLINE int is_f32_way(int way) { return way == F32_ROWS || way == (F32_ROWS | SCALED) || way == F32_SUM_ROWS || way == PAST_CACHE_ROWS; }

INLINE void store_next_row(row_cursor *row, int way) {
  if (way == NO_ROWS || !row->left) return;
  f32_lanes low = load_f32(row->sums), high = load_f32(row->sums + LANES);
  int is_scaled = way & SCALED;
  way &= ~SCALED;
  if (is_scaled) { low = scaled_sums(row->scales, low, row->row, row->column); high = scaled_sums(row->scales, high, row->row, row->column + LANES); }
  if (way == F32_SUM_ROWS) { low += load_f32((const float *)row->addend); high += load_f32((const float *)row->addend + LANES); }
  if (way == BF16_SUM_ROWS) { low += load_bf16((const bf16 *)row->addend); high += load_bf16((const bf16 *)row->addend + LANES); }
  if (is_f32_way(way)) row->squares = vector_fma(high, high, vector_fma(low, low, row->squares));
  if (way == F32_ROWS || way == F32_SUM_ROWS) {
    store_f32((float *)row->c, low);
    store_f32((float *)row->c + LANES, high);
  } else if (way == PAST_CACHE_ROWS) {
    _mm512_stream_ps((float *)row->c, (__m512)low);
    _mm512_stream_ps((float *)row->c + LANES, (__m512)high);
  } else {
    __m512i narrow = narrow32((__m512)low, (__m512)high);
    _mm512_storeu_si512(row->c, narrow);
    if (way == GATED_ROWS) {
      low = load_f32(row->gate);
      high = load_f32(row->gate + LANES);
      if (is_scaled) { low = scaled_sums(row->scales, low, row->row, row->gate_column); high = scaled_sums(row->scales, high, row->row, row->gate_column + LANES); }
      _mm512_storeu_si512(row->gated, gated_product(low, high, narrow));
      row->gate += PANEL;
      row->gated += row->row_bytes / 2;
    }
  }
  if (way == F32_SUM_ROWS || way == BF16_SUM_ROWS) row->addend += row->row_bytes;
  row->sums += PANEL;
  row->c += row->row_bytes;
  row->row++;
  row->left--;
}

/* Blocks with columns past the last go at once. */
INLINE void store_edge_block(finished_block *block) {
  store_block(block->target, block->sums, block->row, block->left, block->column);
  if (!block->squares) return;
  const float *c = (const float *)block->target->c + block->row * block->target->columns + block->column;
  size_t columns = smaller(block->target->columns - block->column, PANEL);
  for (size_t row = 0; row < block->left; row++, c += block->target->columns) {
    for (size_t i = 0; i < columns; i += LANES) {
      f32_lanes v = columns - i >= LANES ? load_f32(c + i) : load_f32_tail(c + i, columns - i);
      *block->squares = vector_fma(v, v, *block->squares);
    }
  }
}

/* What is read after this chunk, fetched early: at each step a line of `rows` rows, `stride` apart; then `step_stride` further on. */
typedef struct { const char *at; size_t rows, stride, step_stride; } coming_rows;

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
