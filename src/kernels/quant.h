/*
 * Weights in 8 and 4 bits, and how they lie. As in panels.h, a matrix is cut into panels of 32 columns, and a panel into steps of 32 of the
 * inner dimension; a step is two halves of 16 columns. Words of 16 bits hold codes of one column c < 16 and one parity o of the inner
 * dimension, word 2 c + o of a line of 32: an FP8 word the pairs 2 q and 2 q + 1 in its two bytes, an INT4 word the pairs 4 q to 4 q + 3 in
 * its nibbles, so that a shift of a line is what a row of a B tile is made of. INT8 lies as such rows do, a byte a word.
 * All matrices of a weight lie one after the other, and then all scales, f32 [groups][panels][segments][32].
 */
#ifndef ROOKERY_QUANT_H
#define ROOKERY_QUANT_H

#include "fp8.h"
#include "panels.h"

#define STEP 32
#define HALF 16
#define INT8_ZERO 128
#define INT4_ZERO 8

/* segment: how much of the inner dimension shares a scale; the whole of it, or a divisor that is a multiple of STEP. */
typedef struct {
  int32_t format;
  size_t groups, columns, inner, segment;
  const uint8_t *codes;
  const float *scales;
} quant_weight;

INLINE size_t step_bytes(int32_t format) { return format == ROOKERY_QUANT_INT4 ? STEP * PANEL / 2 : STEP * PANEL; }
INLINE size_t quant_steps(const quant_weight *w) { return ceil_div(w->inner, STEP); }
INLINE size_t quant_panels(const quant_weight *w) { return ceil_div(w->columns, PANEL); }
INLINE size_t quant_segments(const quant_weight *w) { return ceil_div(w->inner, w->segment); }
INLINE size_t quant_panel_bytes(const quant_weight *w) { return quant_steps(w) * step_bytes(w->format); }
INLINE size_t quant_code_bytes(const quant_weight *w) { return w->groups * quant_panels(w) * quant_panel_bytes(w); }
INLINE size_t quant_scale_count(const quant_weight *w) { return w->groups * quant_panels(w) * quant_segments(w) * PANEL; }

INLINE int is_quant_weight(const quant_weight *w) {
  if (w->format < ROOKERY_QUANT_FP8 || w->format > ROOKERY_QUANT_INT4 || !is_weight(w->groups, w->columns, w->inner)) return 0;
  if (w->format == ROOKERY_QUANT_INT4 && w->inner % 8) return 0;
  return w->segment == w->inner || (w->format == ROOKERY_QUANT_INT4 && w->segment && w->segment % STEP == 0 && w->inner % w->segment == 0);
}

INLINE const uint8_t *quant_panel(const quant_weight *w, size_t group, size_t panel) {
  return w->codes + (group * quant_panels(w) + panel) * quant_panel_bytes(w);
}
INLINE const float *quant_panel_scales(const quant_weight *w, size_t group, size_t panel) {
  return w->scales + (group * quant_panels(w) + panel) * quant_segments(w) * PANEL;
}

/*
 * A product in work: rows of each group times its matrix. On tiles, few rows of a group lie as A tiles: a block of `count` rows from row r at
 * r * round_up(inner, 32), a step count x 32. So do those that meet codes in segments, however many; other rows stay as they are, row by row,
 * in `a`, or, if they are rounded, in `rounded` from r * round_up(inner, 32) of their group's first row on.
 */
typedef struct {
  quant_weight weight;
  sums_target target;
  int32_t dtype;
  int rounds;
  const char *a;           /* [rows, inner] dtype, or f32 where activations were rounded and there are no tiles */
  const bf16 *tiles;
  const float *row_scales; /* by which a row's sums are to be multiplied, or 0 */
  const float *row_sums;   /* of the rows as they are multiplied: INT8 codes are multiplied with INT8_ZERO on top of them */
  size_t units, halves, units_per_task, thread_bytes; /* as in gemm.h: panels, or pairs of them */
  const int32_t *offsets;
  int32_t all_rows[2];
  char *scratch;
} quant_job;

/* Rows of A that lie together as tiles, and the most panels that a task widens. */
#define ROW_BLOCK_TILES 32
#define MOST_TASK_PANELS 16

/* Whether so many rows of a group go by weights that are widened once, as by any others in bf16. */
INLINE int widens_once(const quant_job *job, size_t rows) { return rows > ROW_BLOCK_TILES && job->weight.format != ROOKERY_QUANT_INT4; }

/* All rows of a group times the units [first, last): quant_tiles.c. `scratch`: room for their panels as B tiles. */
void quant_tile_units(const quant_job *job, size_t group, size_t first, size_t last, bf16 *scratch);

#endif
