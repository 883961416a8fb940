/* Sums of dy^T x in f32 on the level's vectors. */
#include "weight_gradient.h"

#if defined(__AVX512F__)
#define ROWS_AT_ONCE 8
#else
#define ROWS_AT_ONCE 2
#endif

INLINE void gradient_rows(const gradient_job *job, size_t group, size_t out_row, size_t rows, size_t column, size_t columns, int is_bf16) {
  f32_lanes acc[ROWS_AT_ONCE];
  for (size_t r = 0; r < rows; r++) acc[r] = splat(0);
  for (size_t m = (size_t)job->offsets[group]; m < (size_t)job->offsets[group + 1]; m++) {
    size_t at = m * job->in + column;
    f32_lanes x = columns == LANES ? load_any(job->x, at, is_bf16) : load_any_tail(job->x, at, columns, is_bf16);
    for (size_t r = 0; r < rows; r++) {
      size_t from = m * job->out + out_row + r;
      float dy = is_bf16 ? bf16_to_f32(((const bf16 *)job->dy)[from]) : ((const float *)job->dy)[from];
      acc[r] = vector_fma(splat(dy), x, acc[r]);
    }
  }
  for (size_t r = 0; r < rows; r++) {
    float *to = job->gradient + (group * job->out + out_row + r) * job->in + column;
    if (columns == LANES) store_f32(to, job->accumulate ? load_f32(to) + acc[r] : acc[r]);
    else store_f32_tail(to, job->accumulate ? load_f32_tail(to, columns) + acc[r] : acc[r], columns);
  }
}

void gradient_vector_rows(const gradient_job *job, size_t group, size_t first_out, size_t last_out) {
  size_t row = first_out;
  int is_bf16 = job->dtype == ROOKERY_BF16;
  while (row < last_out) {
    size_t rows = last_out - row >= ROWS_AT_ONCE ? ROWS_AT_ONCE : 1;
    for (size_t column = 0; column < job->in; column += LANES) {
      size_t columns = smaller(job->in - column, LANES);
      if (rows == 1) is_bf16 ? gradient_rows(job, group, row, 1, column, columns, 1) : gradient_rows(job, group, row, 1, column, columns, 0);
      else is_bf16 ? gradient_rows(job, group, row, ROWS_AT_ONCE, column, columns, 1) : gradient_rows(job, group, row, ROWS_AT_ONCE, column, columns, 0);
    }
    row += rows;
  }
}
