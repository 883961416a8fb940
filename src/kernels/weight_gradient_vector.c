/*
 * Sums of dy^T x in f32 on the level's vectors. Both are copied (and widened), a chunk of rows at a time, to where they are read
 * straight on: dy as groups of ROWS_AT_ONCE of its columns, x as strips. The copies fit in the second cache.
 */
#include "weight_gradient.h"
#include "strips.h"

#define ROW_CHUNK 128
#define IN_BLOCK 256
#define OUT_GROUPS (GRADIENT_OUT_BLOCK / ROWS_AT_ONCE + 1)
#define GROUP_FLOATS (ROW_CHUNK * ROWS_AT_ONCE)

/* dy [rows, out] from one column on becomes [groups][rows][ROWS_AT_ONCE]; a store may run into the next row, which is written after. */
INLINE void copy_dy(const gradient_job *job, size_t row, size_t rows, size_t column, size_t columns, float *to, int is_bf16) {
  for (size_t first = 0; first < columns; first += ROWS_AT_ONCE, to += GROUP_FLOATS) {
    for (size_t m = 0; m < rows; m++) {
      for (size_t c = 0; c < ROWS_AT_ONCE && first + c < columns; c += LANES) {
        size_t at = (row + m) * job->out + column + first + c, left = job->out - column - first - c;
        store_f32(to + m * ROWS_AT_ONCE + c, left >= LANES ? load_any(job->dy, at, is_bf16) : load_any_tail(job->dy, at, left, is_bf16));
      }
    }
  }
}

/* x [rows, in] from one column on becomes [strips][rows][STRIP], zeros past the last column. */
INLINE void copy_x(const gradient_job *job, size_t row, size_t rows, size_t column, size_t columns, float *to, int is_bf16) {
  for (size_t m = 0; m < rows; m++) {
    for (size_t c = 0; c < round_up(columns, STRIP); c += LANES) {
      size_t at = (row + m) * job->in + column + c, left = columns > c ? columns - c : 0;
      f32_lanes x = left >= LANES ? load_any(job->x, at, is_bf16) : left ? load_any_tail(job->x, at, left, is_bf16) : splat(0);
      store_f32(to + (c / STRIP * ROW_CHUNK + m) * STRIP + c % STRIP, x);
    }
  }
}

/* gradient [outs, strip's columns] (+)= what a chunk of rows adds. */
static void add_chunk(const gradient_job *job, const float *dy, const float *x, size_t rows, size_t outs, float *gradient, size_t columns,
                      int accumulate) {
  if (columns >= STRIP) {
    multiply_strip(dy, 1, ROWS_AT_ONCE, x, rows, outs, gradient, job->in, accumulate);
    return;
  }
  float sums[ROWS_AT_ONCE * STRIP];
  multiply_strip(dy, 1, ROWS_AT_ONCE, x, rows, outs, sums, STRIP, 0);
  for (size_t r = 0; r < outs; r++) {
    for (size_t c = 0; c < columns; c++) gradient[r * job->in + c] = accumulate ? gradient[r * job->in + c] + sums[r * STRIP + c] : sums[r * STRIP + c];
  }
}

void gradient_vector_rows(const gradient_job *job, size_t group, size_t first_out, size_t last_out) {
  _Alignas(64) float dy[OUT_GROUPS * GROUP_FLOATS + LANES];
  _Alignas(64) float x[ROW_CHUNK * IN_BLOCK];
  float *gradient = job->gradient + group * job->out * job->in;
  size_t first = (size_t)job->offsets[group], last = (size_t)job->offsets[group + 1], outs = last_out - first_out;
  if (first == last) {
    if (!job->accumulate) memset(gradient + first_out * job->in, 0, outs * job->in * sizeof(float));
    return;
  }
  for (size_t column = 0; column < job->in; column += IN_BLOCK) {
    size_t columns = smaller(job->in - column, IN_BLOCK);
    for (size_t row = first; row < last; row += ROW_CHUNK) {
      size_t rows = smaller(last - row, ROW_CHUNK);
      if (job->dtype == ROOKERY_BF16) {
        copy_dy(job, row, rows, first_out, outs, dy, 1);
        copy_x(job, row, rows, column, columns, x, 1);
      } else {
        copy_dy(job, row, rows, first_out, outs, dy, 0);
        copy_x(job, row, rows, column, columns, x, 0);
      }
      for (size_t c = 0; c < columns; c += STRIP) {
        for (size_t r = 0; r < outs; r += ROWS_AT_ONCE) {
          add_chunk(job, dy + r / ROWS_AT_ONCE * GROUP_FLOATS, x + c / STRIP * ROW_CHUNK * STRIP, rows, smaller(outs - r, ROWS_AT_ONCE),
                    gradient + (first_out + r) * job->in + column + c, columns - c, row > first || job->accumulate);
        }
      }
    }
  }
}
