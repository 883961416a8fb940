/*
 * Rows times packed weights in f32 on the level's vectors. A few rows at a time are copied (and widened) to a buffer that stays in the
 * first cache while the panels of the task stream past from the second. The inner dimension goes by in chunks of fixed places.
 */
#include "gemm.h"
#include "strips.h"

#define CHUNK 512
#define ROW_STEP (CHUNK + 16) /* so that rows do not share the sets of a cache */

INLINE void copy_rows(const char *a, size_t row_elements, size_t rows, size_t inner, float *to, int is_bf16) {
  for (size_t r = 0; r < rows; r++) {
    size_t k = 0, at = r * row_elements;
    for (; k + LANES <= inner; k += LANES) store_f32(to + r * ROW_STEP + k, load_any(a, at + k, is_bf16));
    if (k < inner) store_f32(to + r * ROW_STEP + k, load_any_tail(a, at + k, inner - k, is_bf16));
  }
}

void matmul_vector_block(const matmul_job *job, size_t row, size_t rows, matmul_units units) {
  _Alignas(64) float a[ROWS_AT_ONCE * ROW_STEP];
  _Alignas(64) float sums[MOST_PANELS][ROWS_AT_ONCE * PANEL];
  size_t inner = job->inner, bytes = units.unit_stride;
  for (size_t r = 0; r < rows; r += ROWS_AT_ONCE) {
    size_t count = smaller(rows - r, ROWS_AT_ONCE);
    for (size_t k = 0; k < inner; k += CHUNK) {
      size_t steps = smaller(inner - k, CHUNK);
      if (job->dtype == ROOKERY_BF16) copy_rows(job->a + ((row + r) * inner + k) * sizeof(bf16), inner, count, steps, a, 1);
      else copy_rows(job->a + ((row + r) * inner + k) * sizeof(float), inner, count, steps, a, 0);
      for (size_t p = units.unit; p < units.last; p++) {
        const float *strip = (const float *)(units.b + p * bytes) + k * STRIP;
        for (size_t column = 0; column < PANEL; column += STRIP, strip += inner * STRIP) {
          multiply_strip(a, ROW_STEP, 1, strip, steps, count, sums[p - units.unit] + column, PANEL, k > 0);
        }
        if (k + steps == inner) store_block(&job->target, sums[p - units.unit], row + r, count, p * PANEL);
      }
    }
  }
}
