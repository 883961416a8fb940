/*
 * What runs over parameters and gradients as flat arrays: the norm, AdamW, and scaled copies and sums.
 * All are bound by memory: one pass, by fixed blocks, whose places do not depend on the threads.
 */
#include "arguments.h"
#include "threads.h"
#include "vector.h"

#define BLOCK 16384

/* Blocks of `count` elements; -1 if the count is no size of an array. */
static int32_t block_count(size_t count) {
  if (!is_array(count, 1, 1) || ceil_div(count, BLOCK) > INT32_MAX) return -1;
  return (int32_t)ceil_div(count, BLOCK);
}

static size_t block_end(int32_t block, size_t count) { return smaller(((size_t)block + 1) * BLOCK, count); }

typedef struct {
  const float *values;
  float *partial;
  size_t count;
} squares_job;

static void square_block(void *context, int32_t block, int32_t thread) {
  (void)thread;
  const squares_job *job = context;
  const float *x = job->values;
  size_t i = (size_t)block * BLOCK, end = block_end(block, job->count);
  f32_lanes s0 = splat(0), s1 = s0, s2 = s0, s3 = s0;
  for (; i + 4 * LANES <= end; i += 4 * LANES) {
    f32_lanes a = load_f32(x + i), b = load_f32(x + i + LANES);
    f32_lanes c = load_f32(x + i + 2 * LANES), d = load_f32(x + i + 3 * LANES);
    s0 = vector_fma(a, a, s0);
    s1 = vector_fma(b, b, s1);
    s2 = vector_fma(c, c, s2);
    s3 = vector_fma(d, d, s3);
  }
  for (; i < end; i += LANES) {
    f32_lanes a = end - i < LANES ? load_f32_tail(x + i, end - i) : load_f32(x + i);
    s0 = vector_fma(a, a, s0);
  }
  job->partial[block] = vector_sum((s0 + s1) + (s2 + s3));
}

ROOKERY_API size_t rookery_sum_of_squares_scratch_bytes(size_t count) {
  int32_t blocks = block_count(count);
  return blocks < 0 ? 0 : (size_t)blocks * sizeof(float);
}

ROOKERY_API int32_t rookery_sum_of_squares(uintptr_t pool, uintptr_t values, size_t count, uintptr_t result,
                                           int32_t accumulate, uintptr_t scratch) {
  int32_t blocks = block_count(count);
  if (blocks < 0 || !result || (count && (!values || !is_aligned(scratch)))) return ROOKERY_BAD_ARGUMENT;
  squares_job job = {(const float *)values, (float *)scratch, count};
  rookery_parallel(pool, blocks, square_block, &job);
  double total = 0;
  for (int32_t block = 0; block < blocks; block++) total += job.partial[block];
  float *sum = (float *)result;
  *sum = (float)(accumulate ? *sum + total : total);
  return ROOKERY_OK;
}

typedef struct {
  float *weight;
  const float *gradient;
  void *m;
  float *v;
  size_t count;
  float learning_rate, beta1, beta2, eps, decay, inverse_correction1, inverse_correction2, gradient_scale;
} adamw_job;

/*
 * The loads are the bound: streaming stores, prefetching and longer blocks were tried, and gained nothing or lost.
 * The step takes m before it is rounded to m's type, to nearest even.
 */
INLINE void adamw_block(const adamw_job *job, int32_t block, int m_is_bf16) {
  f32_lanes beta1 = splat(job->beta1), rest1 = splat(1.0f - job->beta1);
  f32_lanes beta2 = splat(job->beta2), rest2 = splat(1.0f - job->beta2);
  f32_lanes inverse1 = splat(job->inverse_correction1), inverse2 = splat(job->inverse_correction2);
  f32_lanes eps = splat(job->eps), decay = splat(job->decay), minus_rate = splat(-job->learning_rate);
  f32_lanes gradient_scale = splat(job->gradient_scale);
  size_t end = block_end(block, job->count);
  for (size_t i = (size_t)block * BLOCK; i < end; i += LANES) {
    size_t left = end - i;
    int whole = left >= LANES;
    f32_lanes g = (whole ? load_f32(job->gradient + i) : load_f32_tail(job->gradient + i, left)) * gradient_scale;
    f32_lanes m = whole ? load_any(job->m, i, m_is_bf16) : load_any_tail(job->m, i, left, m_is_bf16);
    f32_lanes v = whole ? load_f32(job->v + i) : load_f32_tail(job->v + i, left);
    f32_lanes weight = whole ? load_f32(job->weight + i) : load_f32_tail(job->weight + i, left);
    m = vector_fma(beta1, m, rest1 * g);
    v = vector_fma(beta2, v, rest2 * g * g);
    f32_lanes step = m * inverse1 / (vector_sqrt(v * inverse2) + eps);
    weight = vector_fma(minus_rate, vector_fma(decay, weight, step), weight);
    if (whole) {
      store_any(job->m, i, m, m_is_bf16);
      store_f32(job->v + i, v);
      store_f32(job->weight + i, weight);
    } else {
      store_any_tail(job->m, i, m, left, m_is_bf16);
      store_f32_tail(job->v + i, v, left);
      store_f32_tail(job->weight + i, weight, left);
    }
  }
}

static void adamw_f32(void *job, int32_t block, int32_t thread) { (void)thread; adamw_block(job, block, 0); }
static void adamw_bf16(void *job, int32_t block, int32_t thread) { (void)thread; adamw_block(job, block, 1); }

ROOKERY_API int32_t rookery_adamw(uintptr_t pool, uintptr_t weight, uintptr_t gradient, int32_t m_dtype, uintptr_t m,
                                  uintptr_t v, size_t count, float learning_rate, float beta1, float beta2, float eps,
                                  float decay, float bias_correction1, float bias_correction2, float gradient_scale) {
  int32_t blocks = block_count(count);
  if (!is_dtype(m_dtype)) return ROOKERY_BAD_ARGUMENT;
  if (blocks < 0 || (count && (!weight || !gradient || !m || !v))) return ROOKERY_BAD_ARGUMENT;
  if (!(bias_correction1 > 0) || !(bias_correction2 > 0)) return ROOKERY_BAD_ARGUMENT;
  adamw_job job = {(float *)weight, (const float *)gradient, (void *)m, (float *)v, count, learning_rate, beta1, beta2,
                   eps, decay, 1.0f / bias_correction1, 1.0f / bias_correction2, gradient_scale};
  rookery_parallel(pool, blocks, m_dtype == ROOKERY_BF16 ? adamw_bf16 : adamw_f32, &job);
  return ROOKERY_OK;
}

typedef struct {
  const void *source;
  void *destination;
  size_t count;
  float scale;
} axpy_job;

INLINE void axpy_block(const axpy_job *job, int32_t block, int source_bf16, int destination_bf16, int accumulate) {
  f32_lanes scale = splat(job->scale);
  size_t i = (size_t)block * BLOCK, end = block_end(block, job->count);
  for (; i + LANES <= end; i += LANES) {
    f32_lanes x = load_any(job->source, i, source_bf16);
    f32_lanes y = accumulate ? vector_fma(x, scale, load_any(job->destination, i, destination_bf16)) : x * scale;
    store_any(job->destination, i, y, destination_bf16);
  }
  if (i < end) {
    size_t n = end - i;
    f32_lanes x = load_any_tail(job->source, i, n, source_bf16);
    f32_lanes y = accumulate ? vector_fma(x, scale, load_any_tail(job->destination, i, n, destination_bf16)) : x * scale;
    store_any_tail(job->destination, i, y, n, destination_bf16);
  }
}

#define AXPY(name, source_bf16, destination_bf16, accumulate)      \
  static void name(void *job, int32_t block, int32_t thread) {     \
    (void)thread;                                                  \
    axpy_block(job, block, source_bf16, destination_bf16, accumulate); \
  }
AXPY(copy_f32_f32, 0, 0, 0)
AXPY(copy_f32_bf16, 0, 1, 0)
AXPY(copy_bf16_f32, 1, 0, 0)
AXPY(copy_bf16_bf16, 1, 1, 0)
AXPY(add_f32_f32, 0, 0, 1)
AXPY(add_f32_bf16, 0, 1, 1)
AXPY(add_bf16_f32, 1, 0, 1)
AXPY(add_bf16_bf16, 1, 1, 1)

ROOKERY_API int32_t rookery_axpy(uintptr_t pool, int32_t source_dtype, uintptr_t source, int32_t destination_dtype,
                                 uintptr_t destination, size_t count, float scale, int32_t accumulate) {
  static const rookery_task functions[2][2][2] = {
    {{copy_f32_f32, copy_f32_bf16}, {copy_bf16_f32, copy_bf16_bf16}},
    {{add_f32_f32, add_f32_bf16}, {add_bf16_f32, add_bf16_bf16}},
  };
  int32_t blocks = block_count(count);
  if (!is_dtype(source_dtype) || !is_dtype(destination_dtype)) return ROOKERY_BAD_ARGUMENT;
  if (blocks < 0 || (count && (!source || !destination))) return ROOKERY_BAD_ARGUMENT;
  axpy_job job = {(const void *)source, (void *)destination, count, scale};
  rookery_parallel(pool, blocks, functions[accumulate != 0][source_dtype][destination_dtype], &job);
  return ROOKERY_OK;
}
