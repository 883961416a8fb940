/*
 * Shared by the products: how a packed matrix lies, and where sums go.
 *
 * A weight is packed in panels of 32 columns. Where an instruction multiplies pairs of bf16 (AMX, AVX512-BF16), a panel in bf16 holds, for each
 * 32 of the inner dimension, two B tiles (16 pairs x 16 columns x 2 bf16); elsewhere it holds strips of columns, one after the other, each
 * f32 [inner][STRIP], rounded to bf16 if that is the dtype. Columns and inner dimension are padded with zeros, so kernels have no edge there.
 *
 * On tiles a long inner dimension is cut into blocks, each with all its panels before the next: a product goes by them block by block, and
 * panels one after the other do not fight for the same places of a cache.
 */
#ifndef ROOKERY_PANELS_H
#define ROOKERY_PANELS_H

#include "arguments.h"
#include "vector.h"

#define PANEL 32

/*
 * ROWS_AT_ONCE x STRIP sums stay in registers while the inner dimension goes by, and enough registers remain for a row of the strip:
 * 32 registers at avx512 and neon, 16 at avx2 and portable.
 */
#if LANES == 16
#define ROWS_AT_ONCE 12
#else
#define ROWS_AT_ONCE 6
#endif
#if LANES == 4 && defined(__ARM_NEON)
#define STRIP (4 * LANES)
#else
#define STRIP (2 * LANES)
#endif

INLINE int uses_tiles(int32_t dtype) {
#ifdef ROOKERY_TILES
  return dtype == ROOKERY_BF16;
#else
  (void)dtype;
  return 0;
#endif
}

/* Whether a weight [groups, out, in] has elements, and sizes that still count its bytes when it is padded and packed. */
INLINE int is_weight(size_t groups, size_t out, size_t in) {
  return groups && out && in && is_array(groups, out, in) && is_array(groups, round_up(out, PANEL), round_up(in, PANEL));
}

/* Bytes of one packed matrix [inner, columns], and of one of its panels. */
INLINE size_t panel_bytes(int32_t dtype, size_t inner) {
  return uses_tiles(dtype) ? round_up(inner, 32) * PANEL * sizeof(bf16) : inner * PANEL * sizeof(float);
}
INLINE size_t matrix_bytes(int32_t dtype, size_t inner, size_t columns) {
  return ceil_div(columns, PANEL) * panel_bytes(dtype, inner);
}

/*
 * Of the inner dimension, what a block takes: panels of whole length, until too few of them fit in a cache for the rows they meet there. Short
 * blocks move the sums to and fro more often, long ones the rows: this is between.
 */
#define INNER_BLOCK 1024
#define MOST_WHOLE_INNER 1536
INLINE size_t inner_block(int32_t dtype, size_t inner) { return uses_tiles(dtype) && inner > MOST_WHOLE_INNER ? INNER_BLOCK : inner; }

/*
 * What makes results of sums with small weights: a factor for each column and one for each row (or 0), and, where codes are `zero` above their
 * numbers, the sums of the rows (or 0), of which so many times too much was added.
 */
typedef struct { const float *columns, *rows, *row_sums; float zero; } sums_scales;

INLINE f32_lanes scaled_sums(const sums_scales *scales, f32_lanes v, size_t row, size_t column) {
  if (scales->row_sums) v = vector_fma(splat(scales->row_sums[row]), splat(-scales->zero), v);
  if (scales->columns) v *= load_f32(scales->columns + column);
  return scales->rows ? v * splat(scales->rows[row]) : v;
}

/*
 * Where sums go: c [rows, columns], and what is added to them there. past_cache: f32 rows of whole lines that are not read again soon.
 * gated: [rows, columns / 2] = silu(left half of c) times its right half, or 0. scales: what sums are made results by, or 0.
 */
typedef struct { int32_t dtype; size_t columns; const char *addend; char *c; int past_cache; char *gated; const sums_scales *scales; } sums_target;

/* Whether the gated product can be made while the sums are at hand: on tiles, and where gates and their up projections are whole panels. */
INLINE int gates_on_the_way(int32_t dtype, size_t columns, int is_gated) {
  return is_gated && uses_tiles(dtype) && columns % (2 * PANEL) == 0;
}

/* Writes a block of sums [rows, 32] into c, of which `columns` exist. */
INLINE void store_block(const sums_target *target, const float *sums, size_t row, size_t rows, size_t column) {
  size_t columns = smaller(target->columns - column, PANEL);
  int is_bf16 = target->dtype == ROOKERY_BF16;
  for (size_t r = 0; r < rows; r++, sums += PANEL) {
    size_t at = (row + r) * target->columns + column;
    for (size_t c = 0; c < columns; c += LANES) {
      size_t n = columns - c;
      f32_lanes v = load_f32(sums + c);
      if (target->scales) v = scaled_sums(target->scales, v, row + r, column + c);
      if (n >= LANES) {
        if (target->addend) v += load_any(target->addend, at + c, is_bf16);
        store_any(target->c, at + c, v, is_bf16);
      } else {
        if (target->addend) v += load_any_tail(target->addend, at + c, n, is_bf16);
        store_any_tail(target->c, at + c, v, n, is_bf16);
      }
    }
  }
}

/* Offsets rise from 0 or more to at most `rows`. */
INLINE int offsets_are_sound(const int32_t *offsets, size_t groups, size_t rows) {
  if (offsets[0] < 0 || (size_t)offsets[groups] > rows) return 0;
  for (size_t g = 0; g < groups; g++) if (offsets[g + 1] < offsets[g]) return 0;
  return 1;
}

#endif
