/*
 * RMSNorm, and RoPE with the norm of a head behind it. Rows go by in fixed blocks; the gradient of a weight is summed
 * a block at a time into scratch and then over the blocks in their order, whoever computed them.
 */
#include "arguments.h"
#include "threads.h"
#include "vector.h"

#define ROW_BLOCK 32
#define COLUMN_BLOCK 64

static int is_matrix(size_t rows, size_t columns) { return rows <= INT32_MAX && columns && columns <= INT32_MAX && is_array(rows, columns, 1); }

INLINE f32_lanes load_weight(const float *p, size_t i, size_t left) { return load_some(p, i, left, 0); }

/* ---- gradients of weights, from the blocks' partial sums ---- */

typedef struct {
  const float *partials; /* [blocks, columns] */
  size_t blocks, columns;
  const float *weight_a, *weight_b;
  float *gradient_a, *gradient_b;
} partial_sums;

/* gradient_a += total * weight_b and gradient_b += total * weight_a, where an absent weight is one. */
static void sum_partials_task(void *context, int32_t task, int32_t thread) {
  (void)thread;
  const partial_sums *s = context;
  size_t first = (size_t)task * COLUMN_BLOCK, end = smaller(first + COLUMN_BLOCK, s->columns);
  for (size_t i = first; i < end; i += LANES) {
    size_t left = end - i;
    f32_lanes total = splat(0);
    for (size_t b = 0; b < s->blocks; b++) total += load_weight(s->partials + b * s->columns, i, left);
    if (s->gradient_a) {
      f32_lanes g = s->weight_b ? total * load_weight(s->weight_b, i, left) : total;
      store_some(s->gradient_a, i, left, load_weight(s->gradient_a, i, left) + g, 0);
    }
    if (s->gradient_b) {
      f32_lanes g = s->weight_a ? total * load_weight(s->weight_a, i, left) : total;
      store_some(s->gradient_b, i, left, load_weight(s->gradient_b, i, left) + g, 0);
    }
  }
}

/* ---- RMSNorm ---- */

typedef struct {
  int is_bf16, accumulate;
  const char *x, *dy;
  char *y, *dx;
  const float *weight;
  float *inverse_rms, *partials;
  size_t rows, columns;
  float eps;
} rmsnorm;

INLINE void rmsnorm_forward_rows(const rmsnorm *n, int32_t block, int is_bf16) {
  size_t columns = n->columns, width = is_bf16 ? 2 : 4;
  size_t first = (size_t)block * ROW_BLOCK, end = smaller(first + ROW_BLOCK, n->rows);
  for (size_t r = first; r < end; r++) {
    const void *x = n->x + r * columns * width;
    void *y = n->y + r * columns * width;
    f32_lanes sums[4] = {splat(0), splat(0), splat(0), splat(0)};
    size_t i = 0;
    for (; i + 4 * LANES <= columns; i += 4 * LANES) {
      for (size_t u = 0; u < 4; u++) {
        f32_lanes v = load_any(x, i + u * LANES, is_bf16);
        sums[u] = vector_fma(v, v, sums[u]);
      }
    }
    for (; i < columns; i += LANES) {
      f32_lanes v = load_some(x, i, columns - i, is_bf16);
      sums[0] = vector_fma(v, v, sums[0]);
    }
    float inverse = rsqrt_f32(vector_sum((sums[0] + sums[1]) + (sums[2] + sums[3])) / (float)columns + n->eps);
    if (n->inverse_rms) n->inverse_rms[r] = inverse;
    for (i = 0; i < columns; i += LANES) {
      size_t left = columns - i;
      f32_lanes v = load_some(x, i, left, is_bf16) * splat(inverse) * load_weight(n->weight, i, left);
      store_some(y, i, left, v, is_bf16);
    }
  }
}

static void rmsnorm_forward_task(void *context, int32_t task, int32_t thread) {
  (void)thread;
  const rmsnorm *n = context;
  if (n->is_bf16) rmsnorm_forward_rows(n, task, 1); else rmsnorm_forward_rows(n, task, 0);
}

ROOKERY_API int32_t rookery_rmsnorm_forward(uintptr_t pool, int32_t dtype, uintptr_t x, uintptr_t weight, uintptr_t y,
                                            uintptr_t inverse_rms, size_t rows, size_t columns, float eps) {
  if (!is_dtype(dtype) || !is_matrix(rows, columns)) return ROOKERY_BAD_ARGUMENT;
  if (!x || !weight || !y) return ROOKERY_BAD_ARGUMENT;
  rmsnorm n = {.is_bf16 = dtype == ROOKERY_BF16, .x = (const char *)x, .y = (char *)y, .weight = (const float *)weight,
               .inverse_rms = (float *)inverse_rms, .rows = rows, .columns = columns, .eps = eps};
  rookery_parallel(pool, (int32_t)ceil_div(rows, ROW_BLOCK), rmsnorm_forward_task, &n);
  return ROOKERY_OK;
}

/* With n = x inverse_rms and g = dy weight: dx = inverse_rms (g - n mean(g n)), and dy n goes to the weight. */
INLINE void rmsnorm_backward_rows(const rmsnorm *n, int32_t block, int is_bf16) {
  size_t columns = n->columns, width = is_bf16 ? 2 : 4;
  size_t first = (size_t)block * ROW_BLOCK, end = smaller(first + ROW_BLOCK, n->rows);
  float *partial = n->partials + (size_t)block * columns;
  memset(partial, 0, columns * sizeof(float));
  for (size_t r = first; r < end; r++) {
    size_t at = r * columns * width;
    const void *x = n->x + at, *dy = n->dy + at;
    void *dx = n->dx + at;
    f32_lanes inverse = splat(n->inverse_rms[r]);
    f32_lanes sums[4] = {splat(0), splat(0), splat(0), splat(0)};
    size_t i = 0;
    for (; i + 4 * LANES <= columns; i += 4 * LANES) {
      for (size_t u = 0; u < 4; u++) {
        size_t c = i + u * LANES;
        f32_lanes g = load_any(dy, c, is_bf16), v = load_any(x, c, is_bf16) * inverse, p = g * v;
        sums[u] = vector_fma(p, load_f32(n->weight + c), sums[u]);
        store_f32(partial + c, load_f32(partial + c) + p);
      }
    }
    for (; i < columns; i += LANES) {
      size_t left = columns - i;
      f32_lanes g = load_some(dy, i, left, is_bf16), v = load_some(x, i, left, is_bf16) * inverse, p = g * v;
      sums[0] = vector_fma(p, load_weight(n->weight, i, left), sums[0]);
      store_some(partial, i, left, load_weight(partial, i, left) + p, 0);
    }
    f32_lanes mean = splat(vector_sum((sums[0] + sums[1]) + (sums[2] + sums[3])) / (float)columns);
    for (i = 0; i < columns; i += LANES) {
      size_t left = columns - i;
      f32_lanes g = load_some(dy, i, left, is_bf16) * load_weight(n->weight, i, left);
      f32_lanes v = load_some(x, i, left, is_bf16) * inverse;
      f32_lanes d = (g - v * mean) * inverse;
      if (n->accumulate) d += load_some(dx, i, left, is_bf16);
      store_some(dx, i, left, d, is_bf16);
    }
  }
}

static void rmsnorm_backward_task(void *context, int32_t task, int32_t thread) {
  (void)thread;
  const rmsnorm *n = context;
  if (n->is_bf16) rmsnorm_backward_rows(n, task, 1); else rmsnorm_backward_rows(n, task, 0);
}

ROOKERY_API size_t rookery_rmsnorm_backward_scratch_bytes(size_t rows, size_t columns) {
  return is_matrix(rows, columns) ? ceil_div(rows, ROW_BLOCK) * columns * sizeof(float) : 0;
}

ROOKERY_API int32_t rookery_rmsnorm_backward(uintptr_t pool, int32_t dtype, uintptr_t dy, uintptr_t x, uintptr_t weight,
                                             uintptr_t inverse_rms, uintptr_t dx, uintptr_t weight_gradient,
                                             size_t rows, size_t columns, int32_t accumulate, uintptr_t scratch) {
  if (!is_dtype(dtype) || !is_matrix(rows, columns)) return ROOKERY_BAD_ARGUMENT;
  if (!dy || !x || !weight || !inverse_rms || !dx || !weight_gradient || !is_aligned(scratch)) return ROOKERY_BAD_ARGUMENT;
  size_t blocks = ceil_div(rows, ROW_BLOCK);
  rmsnorm n = {.is_bf16 = dtype == ROOKERY_BF16, .accumulate = accumulate, .x = (const char *)x,
               .dy = (const char *)dy, .dx = (char *)dx, .weight = (const float *)weight,
               .inverse_rms = (float *)inverse_rms, .partials = (float *)scratch, .rows = rows, .columns = columns};
  rookery_parallel(pool, (int32_t)blocks, rmsnorm_backward_task, &n);
  partial_sums sums = {.partials = n.partials, .blocks = blocks, .columns = columns,
                       .gradient_a = (float *)weight_gradient};
  rookery_parallel(pool, (int32_t)ceil_div(columns, COLUMN_BLOCK), sum_partials_task, &sums);
  return ROOKERY_OK;
}

/* ---- RoPE, then the norm of each head ---- */

typedef struct {
  int is_bf16, normalize, accumulate;
  const char *x, *dy;
  char *y, *dx;
  const int32_t *positions;
  const float *cosine, *sine, *weight_a, *weight_b;
  float *inverse_rms, *partials; /* partials 0 if no weight wants a gradient */
  size_t rows, heads, head_dim, table_rows;
  float eps;
} rope_norm;

/* The two halves of a head turned by its position's angles: `first` at i, `second` at i + half. */
typedef struct { f32_lanes first, second; } halves;

INLINE halves load_halves(const void *p, size_t i, size_t half, int is_bf16) {
  size_t left = half - i;
  return (halves){load_some(p, i, left, is_bf16), load_some(p, half + i, left, is_bf16)};
}
INLINE void store_halves(void *p, size_t i, size_t half, halves v, int is_bf16) {
  store_some(p, i, half - i, v.first, is_bf16);
  store_some(p, half + i, half - i, v.second, is_bf16);
}
INLINE halves rotate(halves v, f32_lanes cosine, f32_lanes sine) {
  return (halves){v.first * cosine - v.second * sine, v.second * cosine + v.first * sine};
}
INLINE halves times(halves v, f32_lanes by) { return (halves){v.first * by, v.second * by}; }
INLINE halves times_weight(halves v, const float *weight, size_t i, size_t half) {
  if (!weight) return v;
  halves w = load_halves(weight, i, half, 0);
  return (halves){v.first * w.first, v.second * w.second};
}

INLINE void rope_forward_rows(const rope_norm *n, int32_t block, int is_bf16) {
  size_t head_dim = n->head_dim, half = head_dim / 2, width = is_bf16 ? 2 : 4;
  size_t first = (size_t)block * ROW_BLOCK, end = smaller(first + ROW_BLOCK, n->rows);
  for (size_t r = first; r < end; r++) {
    const float *cosine = n->cosine + (size_t)n->positions[r] * half, *sine = n->sine + (size_t)n->positions[r] * half;
    for (size_t h = 0; h < n->heads; h++) {
      size_t at = r * n->heads + h;
      const void *x = n->x + at * head_dim * width;
      void *y = n->y + at * head_dim * width;
      float inverse = 1;
      if (n->normalize) {
        f32_lanes sum = splat(0);
        for (size_t i = 0; i < half; i += LANES) {
          halves v = rotate(load_halves(x, i, half, is_bf16), load_weight(cosine, i, half - i), load_weight(sine, i, half - i));
          sum = vector_fma(v.second, v.second, vector_fma(v.first, v.first, sum));
        }
        inverse = rsqrt_f32(vector_sum(sum) / (float)head_dim + n->eps);
        if (n->inverse_rms) n->inverse_rms[at] = inverse;
      }
      for (size_t i = 0; i < half; i += LANES) {
        halves v = rotate(load_halves(x, i, half, is_bf16), load_weight(cosine, i, half - i), load_weight(sine, i, half - i));
        v = times_weight(times(v, splat(inverse)), n->weight_a, i, half);
        store_halves(y, i, half, times_weight(v, n->weight_b, i, half), is_bf16);
      }
    }
  }
}

static void rope_forward_task(void *context, int32_t task, int32_t thread) {
  (void)thread;
  const rope_norm *n = context;
  if (n->is_bf16) rope_forward_rows(n, task, 1); else rope_forward_rows(n, task, 0);
}

/* With r the turned head, n = r inverse_rms and g = dy weight_a weight_b: dr = inverse_rms (g - n mean(g n)), turned back. */
INLINE void rope_backward_rows(const rope_norm *n, int32_t block, int is_bf16) {
  size_t head_dim = n->head_dim, half = head_dim / 2, width = is_bf16 ? 2 : 4;
  size_t first = (size_t)block * ROW_BLOCK, end = smaller(first + ROW_BLOCK, n->rows);
  float *partial = n->partials ? n->partials + (size_t)block * head_dim : 0;
  if (partial) memset(partial, 0, head_dim * sizeof(float));
  for (size_t r = first; r < end; r++) {
    const float *cosine = n->cosine + (size_t)n->positions[r] * half, *sine = n->sine + (size_t)n->positions[r] * half;
    for (size_t h = 0; h < n->heads; h++) {
      size_t at = r * n->heads + h;
      const void *x = n->x + at * head_dim * width, *dy = n->dy + at * head_dim * width;
      void *dx = n->dx + at * head_dim * width;
      f32_lanes inverse = splat(n->normalize ? n->inverse_rms[at] : 1), sum = splat(0);
      if (n->normalize || partial) {
        for (size_t i = 0; i < half; i += LANES) {
          halves v = rotate(load_halves(x, i, half, is_bf16), load_weight(cosine, i, half - i), load_weight(sine, i, half - i));
          halves g = load_halves(dy, i, half, is_bf16);
          halves p = times(v, inverse);
          p = (halves){p.first * g.first, p.second * g.second};
          if (partial) {
            halves before = load_halves(partial, i, half, 0);
            store_halves(partial, i, half, (halves){before.first + p.first, before.second + p.second}, 0);
          }
          p = times_weight(times_weight(p, n->weight_a, i, half), n->weight_b, i, half);
          sum += p.first + p.second;
        }
      }
      f32_lanes mean = splat(vector_sum(sum) / (float)head_dim);
      for (size_t i = 0; i < half; i += LANES) {
        f32_lanes c = load_weight(cosine, i, half - i), s = load_weight(sine, i, half - i);
        halves g = times_weight(load_halves(dy, i, half, is_bf16), n->weight_a, i, half);
        g = times_weight(g, n->weight_b, i, half);
        if (n->normalize) {
          halves v = times(rotate(load_halves(x, i, half, is_bf16), c, s), inverse);
          g = times((halves){g.first - v.first * mean, g.second - v.second * mean}, inverse);
        }
        g = rotate(g, c, -s);
        if (n->accumulate) {
          halves before = load_halves(dx, i, half, is_bf16);
          g = (halves){g.first + before.first, g.second + before.second};
        }
        store_halves(dx, i, half, g, is_bf16);
      }
    }
  }
}

static void rope_backward_task(void *context, int32_t task, int32_t thread) {
  (void)thread;
  const rope_norm *n = context;
  if (n->is_bf16) rope_backward_rows(n, task, 1); else rope_backward_rows(n, task, 0);
}

static int32_t rope_arguments_status(int32_t dtype, const rope_norm *n) {
  if (!is_dtype(dtype) || !n->heads || n->head_dim % 2) return ROOKERY_BAD_ARGUMENT;
  if (!is_matrix(n->rows, n->head_dim) || !is_array(n->rows, n->heads, n->head_dim)) return ROOKERY_BAD_ARGUMENT;
  if (!n->x || !n->positions || !n->cosine || !n->sine) return ROOKERY_BAD_ARGUMENT;
  for (size_t r = 0; r < n->rows; r++) {
    if (n->positions[r] < 0 || (size_t)n->positions[r] >= n->table_rows) return ROOKERY_BAD_POSITION;
  }
  return ROOKERY_OK;
}

ROOKERY_API int32_t rookery_rope_norm_forward(uintptr_t pool, int32_t dtype, uintptr_t x, uintptr_t positions,
                                              uintptr_t cosine, uintptr_t sine, size_t table_rows,
                                              uintptr_t weight_a, uintptr_t weight_b, uintptr_t y, uintptr_t inverse_rms, size_t rows, size_t heads,
                                              size_t head_dim, int32_t normalize, float eps) {
  rope_norm n = {.is_bf16 = dtype == ROOKERY_BF16, .normalize = normalize, .x = (const char *)x, .y = (char *)y,
                 .positions = (const int32_t *)positions, .cosine = (const float *)cosine, .sine = (const float *)sine,
                 .table_rows = table_rows,
                 .weight_a = (const float *)weight_a, .weight_b = (const float *)weight_b,
                 .inverse_rms = (float *)inverse_rms, .rows = rows, .heads = heads, .head_dim = head_dim, .eps = eps};
  if (!y) return ROOKERY_BAD_ARGUMENT;
  int32_t status = rope_arguments_status(dtype, &n);
  if (status) return status;
  rookery_parallel(pool, (int32_t)ceil_div(rows, ROW_BLOCK), rope_forward_task, &n);
  return ROOKERY_OK;
}

ROOKERY_API size_t rookery_rope_norm_backward_scratch_bytes(size_t rows, size_t head_dim) {
  return is_matrix(rows, head_dim) ? ceil_div(rows, ROW_BLOCK) * head_dim * sizeof(float) : 0;
}

ROOKERY_API int32_t rookery_rope_norm_backward(uintptr_t pool, int32_t dtype, uintptr_t dy, uintptr_t x,
                                               uintptr_t positions, uintptr_t cosine, uintptr_t sine,
                                               size_t table_rows, uintptr_t weight_a, uintptr_t weight_b, uintptr_t inverse_rms,
                                               uintptr_t dx, uintptr_t weight_a_gradient, uintptr_t weight_b_gradient,
                                               size_t rows, size_t heads, size_t head_dim, int32_t normalize,
                                               int32_t accumulate, uintptr_t scratch) {
  int wants_sums = weight_a_gradient || weight_b_gradient;
  rope_norm n = {.is_bf16 = dtype == ROOKERY_BF16, .normalize = normalize, .accumulate = accumulate,
                 .x = (const char *)x, .dy = (const char *)dy, .dx = (char *)dx,
                 .positions = (const int32_t *)positions, .cosine = (const float *)cosine, .sine = (const float *)sine,
                 .table_rows = table_rows,
                 .weight_a = (const float *)weight_a, .weight_b = (const float *)weight_b,
                 .inverse_rms = (float *)inverse_rms, .partials = wants_sums ? (float *)scratch : 0,
                 .rows = rows, .heads = heads, .head_dim = head_dim};
  if (!dy || !dx) return ROOKERY_BAD_ARGUMENT;
  int32_t status = rope_arguments_status(dtype, &n);
  if (status) return status;
  if ((normalize && !inverse_rms) || (wants_sums && !is_aligned(scratch))) return ROOKERY_BAD_ARGUMENT;
  if ((weight_a_gradient && !weight_a) || (weight_b_gradient && !weight_b)) return ROOKERY_BAD_ARGUMENT;
  size_t blocks = ceil_div(rows, ROW_BLOCK);
  rookery_parallel(pool, (int32_t)blocks, rope_backward_task, &n);
  if (!wants_sums) return ROOKERY_OK;
  partial_sums sums = {.partials = n.partials, .blocks = blocks, .columns = head_dim, .weight_a = n.weight_a,
                       .weight_b = n.weight_b, .gradient_a = (float *)weight_a_gradient,
                       .gradient_b = (float *)weight_b_gradient};
  rookery_parallel(pool, (int32_t)ceil_div(head_dim, COLUMN_BLOCK), sum_partials_task, &sums);
  return ROOKERY_OK;
}
