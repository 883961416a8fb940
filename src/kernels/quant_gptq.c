/*
 * Rounding to 4 bits with the error of each column made up for by the columns after it (Frantar et al., 2022: GPTQ). What a column's error
 * does to the outputs is known from H = X^T X of the inputs; the weights left to round are moved so as to undo it, by the rows of U, upper
 * triangular, with H^-1 = U^T U. Here H = R R^T, R upper triangular, is made from its last column on, and U is R^-1.
 */
#include "quant.h"
#include "threads.h"

#define BLOCK 64
#define DOTS 4
#define ROWS_TOGETHER 8

typedef struct {
  float *r, *u;
  size_t n, first, last;
  float least; /* of a pivot: what was added to the diagonal is there in exact arithmetic */
} factor_job;

/* Subtracts what columns [last, n) make of rows [i, i + rows) in columns [j, j + columns), both at most DOTS. */
static void subtract_dots(const factor_job *job, size_t i, size_t rows, size_t j, size_t columns) {
  f32_lanes sums[DOTS][DOTS];
  for (size_t a = 0; a < DOTS; a++) for (size_t b = 0; b < DOTS; b++) sums[a][b] = splat(0);
  size_t n = job->n;
  for (size_t k = job->last; k < n; k += LANES) {
    f32_lanes x[DOTS], y[DOTS];
    for (size_t a = 0; a < DOTS; a++) {
      x[a] = load_some(job->r, (i + (a < rows ? a : 0)) * n + k, n - k, 0);
      y[a] = load_some(job->r, (j + (a < columns ? a : 0)) * n + k, n - k, 0);
    }
    for (size_t a = 0; a < DOTS; a++) for (size_t b = 0; b < DOTS; b++) sums[a][b] = vector_fma(x[a], y[b], sums[a][b]);
  }
  for (size_t a = 0; a < rows; a++) for (size_t b = 0; b < columns; b++) job->r[(i + a) * n + j + b] -= vector_sum(sums[a][b]);
}

static void subtract_rows(void *context, int32_t task, int32_t thread) {
  (void)thread;
  const factor_job *job = context;
  size_t begin = (size_t)task * BLOCK, end = smaller(begin + BLOCK, job->last);
  for (size_t i = begin; i < end; i += DOTS) {
    for (size_t j = job->first; j < job->last; j += DOTS) subtract_dots(job, i, smaller(end - i, DOTS), j, smaller(job->last - j, DOTS));
  }
}

/* Element (i, j) of R, once the columns of the block after j are there for both rows. */
static float solve(const factor_job *job, size_t i, size_t j) {
  const float *x = job->r + i * job->n, *y = job->r + j * job->n;
  float sum = x[j];
  for (size_t k = j + 1; k < job->last; k++) sum -= x[k] * y[k];
  return sum;
}

static void solve_rows(void *context, int32_t task, int32_t thread) {
  (void)thread;
  const factor_job *job = context;
  size_t begin = (size_t)task * BLOCK, end = smaller(begin + BLOCK, job->first);
  for (size_t i = begin; i < end; i++) {
    for (size_t j = job->last; j-- > job->first;) job->r[i * job->n + j] = solve(job, i, j) / job->r[j * job->n + j];
  }
}

static void factor_corner(const factor_job *job) {
  for (size_t j = job->last; j-- > job->first;) {
    float pivot = solve(job, j, j);
    pivot = pivot > job->least ? pivot : job->least;
    job->r[j * job->n + j] = 1.0f / rsqrt_f32(pivot);
    for (size_t i = job->first; i < j; i++) job->r[i * job->n + j] = solve(job, i, j) / job->r[j * job->n + j];
  }
}

/* BLOCK columns of R^-1, from the last row that has any on. */
static void invert_columns(void *context, int32_t task, int32_t thread) {
  (void)thread;
  const factor_job *job = context;
  size_t n = job->n, first = (size_t)task * BLOCK, last = smaller(first + BLOCK, n);
  for (size_t i = n; i-- > 0;) {
    float *to = job->u + i * n;
    if (i >= last) { memset(to + first, 0, (last - first) * sizeof(float)); continue; }
    float pivot = job->r[i * n + i];
    for (size_t c = first; c < last; c += LANES) {
      size_t left = last - c;
      f32_lanes sum = splat(0);
      for (size_t k = larger(i + 1, first); k < last; k++) sum = vector_fma(splat(-job->r[i * n + k]), load_some(job->u, k * n + c, left, 0), sum);
      for (size_t k = i + 1; k < smaller(first, n); k++) sum = vector_fma(splat(-job->r[i * n + k]), load_some(job->u, k * n + c, left, 0), sum);
      store_some(job->u, i * n + c, left, sum / splat(pivot), 0);
    }
    if (i >= first) to[i] = 1.0f / pivot;
  }
}

ROOKERY_API int32_t rookery_gptq_factor(uintptr_t pool, uintptr_t hessian, uintptr_t factor, size_t n, float damping) {
  if (!hessian || !factor || !n || !is_array(n, n, 1) || !(damping > 0)) return ROOKERY_BAD_ARGUMENT;
  factor_job job = {(float *)hessian, (float *)factor, n, 0, 0, 0};
  double trace = 0;
  for (size_t i = 0; i < n; i++) trace += job.r[i * n + i];
  float added = damping * (float)(trace / (double)n);
  if (!(added > 0)) added = 1;
  job.least = added / 2;
  for (size_t i = 0; i < n; i++) job.r[i * n + i] += added;
  for (job.last = n; job.last; job.last = job.first) {
    job.first = (job.last - 1) / BLOCK * BLOCK;
    if (job.last < n) rookery_parallel(pool, (int32_t)ceil_div(job.last, BLOCK), subtract_rows, &job);
    factor_corner(&job);
    if (job.first) rookery_parallel(pool, (int32_t)ceil_div(job.first, BLOCK), solve_rows, &job);
  }
  rookery_parallel(pool, (int32_t)ceil_div(n, BLOCK), invert_columns, &job);
  return ROOKERY_OK;
}

/* ---- rounding ---- */
typedef struct {
  float *weight, *scales;
  const float *factor;
  uint8_t *codes;
  size_t rows, n, segment;
} gptq_job;

static float nearest_code(float value) {
  float rounded = (value + 12582912.0f) - 12582912.0f; /* 1.5 * 2^23: to a whole number, ties to even */
  return rounded > 7 ? 7 : rounded < -INT4_ZERO ? -INT4_ZERO : rounded;
}

/* Up to a bf16 number: scales are kept as such. */
static float bf16_from(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  bits = (bits + 0xffffu) & 0xffff0000u;
  memcpy(&x, &bits, 4);
  return x;
}

/* Of a few scales the one with the least squared error: clipping the largest weight may pay. */
static float best_scale(const float *values, size_t count) {
  float largest = 0, best = 1, least = -1;
  for (size_t k = 0; k < count; k++) { float m = values[k] < 0 ? -values[k] : values[k]; largest = m > largest ? m : largest; }
  if (!(largest > 0)) return 1;
  for (int step = 0; step < 12; step++) {
    float scale = bf16_from(largest / 7 * (1 - 0.04f * (float)step)), error = 0;
    for (size_t k = 0; k < count; k++) { float e = values[k] - nearest_code(values[k] / scale) * scale; error += e * e; }
    if (least < 0 || error < least) { least = error; best = scale; }
  }
  return best;
}

static void round_rows(void *context, int32_t task, int32_t thread) {
  (void)thread;
  const gptq_job *job = context;
  size_t n = job->n, first = (size_t)task * ROWS_TOGETHER, count = smaller(job->rows - first, ROWS_TOGETHER), segments = n / job->segment;
  float *w = job->weight + first * n, scale[ROWS_TOGETHER], error[ROWS_TOGETHER];
  for (size_t j = 0; j < n; j++) {
    const float *u = job->factor ? job->factor + j * n : 0;
    for (size_t r = 0; r < count; r++) {
      if (j % job->segment == 0) job->scales[(first + r) * segments + j / job->segment] = scale[r] = best_scale(w + r * n + j, job->segment);
      float code = nearest_code(w[r * n + j] / scale[r]);
      uint8_t *at = job->codes + ((first + r) * n + j) / 2, half = (uint8_t)((int)code + INT4_ZERO);
      *at = (uint8_t)(j % 2 ? *at | half << 4 : half);
      if (u) error[r] = (w[r * n + j] - code * scale[r]) / u[j];
    }
    if (!u) continue;
    for (size_t k = j + 1; k < n; k += LANES) {
      f32_lanes row = load_some(u, k, n - k, 0);
      for (size_t r = 0; r < count; r++) store_some(w, r * n + k, n - k, vector_fma(splat(-error[r]), row, load_some(w, r * n + k, n - k, 0)), 0);
    }
  }
}

ROOKERY_API int32_t rookery_gptq_round(uintptr_t pool, uintptr_t weight, uintptr_t factor, uintptr_t codes, uintptr_t scales, size_t rows, size_t n,
                                       size_t segment) {
  if (!weight || !codes || !scales || !rows || !n || n % 2 || !segment || n % segment || !is_array(rows, n, 1) || !is_array(n, n, 1)) return ROOKERY_BAD_ARGUMENT;
  if (ceil_div(rows, ROWS_TOGETHER) > INT32_MAX) return ROOKERY_BAD_ARGUMENT;
  gptq_job job = {(float *)weight, (float *)scales, (const float *)factor, (uint8_t *)codes, rows, n, segment};
  rookery_parallel(pool, (int32_t)ceil_div(rows, ROWS_TOGETHER), round_rows, &job);
  return ROOKERY_OK;
}
