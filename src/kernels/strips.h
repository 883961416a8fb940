/* The one product on vectors: up to ROWS_AT_ONCE rows times a strip of columns, in f32. */
#ifndef ROOKERY_STRIPS_H
#define ROOKERY_STRIPS_H

#include "panels.h"

#define STRIP_VECTORS (STRIP / LANES)

/* `rows` is a constant where this is inlined. */
INLINE void multiply_constant_rows(const float *a, size_t row_step, size_t inner_step, const float *b, size_t inner, size_t rows,
                                   float *sums, size_t sums_step, int accumulate) {
  f32_lanes acc[ROWS_AT_ONCE][STRIP_VECTORS];
  for (size_t r = 0; r < rows; r++) for (size_t v = 0; v < STRIP_VECTORS; v++) acc[r][v] = splat(0);
  for (size_t k = 0; k < inner; k++, b += STRIP, a += inner_step) {
    f32_lanes column[STRIP_VECTORS];
    for (size_t v = 0; v < STRIP_VECTORS; v++) column[v] = load_f32(b + v * LANES);
    for (size_t r = 0; r < rows; r++) {
      f32_lanes x = splat(a[r * row_step]);
      for (size_t v = 0; v < STRIP_VECTORS; v++) acc[r][v] = vector_fma(x, column[v], acc[r][v]);
    }
  }
  for (size_t r = 0; r < rows; r++) {
    for (size_t v = 0; v < STRIP_VECTORS; v++) {
      float *to = sums + r * sums_step + v * LANES;
      store_f32(to, accumulate ? load_f32(to) + acc[r][v] : acc[r][v]);
    }
  }
}

/*
 * sums[r * sums_step + c] (+)= sum over k < inner of a[r * row_step + k * inner_step] b[k][c], for r < rows and c < STRIP. One order over k
 * for every number of rows. The steps are constants where this is inlined.
 */
INLINE void multiply_strip(const float *a, size_t row_step, size_t inner_step, const float *b, size_t inner, size_t rows, float *sums,
                           size_t sums_step, int accumulate) {
#define ROWS(n) case n: multiply_constant_rows(a, row_step, inner_step, b, inner, n, sums, sums_step, accumulate); break
  switch (rows) {
    ROWS(1); ROWS(2); ROWS(3); ROWS(4); ROWS(5); ROWS(6);
#if ROWS_AT_ONCE == 12
    ROWS(7); ROWS(8); ROWS(9); ROWS(10); ROWS(11); ROWS(12);
#endif
    default: break;
  }
#undef ROWS
}

#endif
