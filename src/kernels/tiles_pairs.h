/* The arithmetic of one block of 32 x 32 sums by products of pairs in vectors. The names are those of tiles_amx.h; nothing is in tiles here. */
#ifndef ROOKERY_TILES_PAIRS_H
#define ROOKERY_TILES_PAIRS_H

#include "pair_rows.h"

typedef struct { finished_block finished; } tile_run;

INLINE void store_tiles(tile_run *run, size_t rows) { (void)run; (void)rows; }

/* Compiled once for each `way` that rows go. */
INLINE void store_rows(finished_block *finished, int way) {
  row_cursor row = first_row(finished);
  while (row.left) store_next_row(&row, way);
  if (is_f32_way(way) && finished->squares) *finished->squares += row.squares;
}

/* The block that is on its way goes to memory, if there is one. */
static void store_rest(tile_run *run, size_t rows) {
  (void)rows;
  finished_block *finished = &run->finished;
  if (!finished->left) return;
#define STORE_BY_WAY(way) case way: store_rows(finished, way); break;
  switch (way_of(finished)) {
    STORE_BY_WAY(BF16_ROWS) STORE_BY_WAY(BF16_SUM_ROWS) STORE_BY_WAY(GATED_ROWS) STORE_BY_WAY(F32_ROWS) STORE_BY_WAY(F32_SUM_ROWS)
    STORE_BY_WAY(PAST_CACHE_ROWS) STORE_BY_WAY(BF16_ROWS | SCALED) STORE_BY_WAY(BF16_SUM_ROWS | SCALED) STORE_BY_WAY(GATED_ROWS | SCALED)
    STORE_BY_WAY(F32_ROWS | SCALED)
    default: store_edge_block(finished); break;
  }
#undef STORE_BY_WAY
  finished->left = 0;
}

/* sums [32, 32] = before (or 0) + a chunk of A times a panel's part, after the block before has gone to memory. */
static void multiply_chunk(tile_run *run, const bf16 *a, const bf16 *b, size_t steps, size_t rows, const float *before, float *sums, coming_rows coming) {
  store_rest(run, rows);
  multiply_pairs(a, 1024, b, steps, rows, before, sums, coming);
}

#endif
