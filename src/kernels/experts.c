/* Rows to their experts and back, and the experts' SwiGLU. The products themselves are gemm.c's, the choice router.c's. */
#include "arguments.h"
#include "threads.h"
#include "vector.h"

#define TOKEN_BLOCK 32

/* ---- SwiGLU ---- */
typedef struct { int32_t dtype; const char *gate_up, *dh; char *out, *h; size_t rows, width; } swiglu_job;

INLINE void swiglu_row(const swiglu_job *job, size_t row, int is_bf16) {
  size_t width = job->width, gate = row * 2 * width, up = gate + width, h = row * width;
  for (size_t c = 0; c < width; c += LANES) {
    size_t n = width - c;
    if (n >= LANES) {
      f32_lanes g = load_any(job->gate_up, gate + c, is_bf16);
      store_any(job->out, h + c, g * vector_sigmoid(g) * load_any(job->gate_up, up + c, is_bf16), is_bf16);
    } else {
      f32_lanes g = load_any_tail(job->gate_up, gate + c, n, is_bf16);
      store_any_tail(job->out, h + c, g * vector_sigmoid(g) * load_any_tail(job->gate_up, up + c, n, is_bf16), n, is_bf16);
    }
  }
}

INLINE void swiglu_backward_row(const swiglu_job *job, size_t row, int is_bf16) {
  size_t width = job->width, gate = row * 2 * width, up = gate + width, h = row * width;
  for (size_t c = 0; c < width; c += LANES) {
    size_t n = width - c;
    f32_lanes g = load_some(job->gate_up, gate + c, n, is_bf16), u = load_some(job->gate_up, up + c, n, is_bf16);
    f32_lanes d = load_some(job->dh, h + c, n, is_bf16);
    f32_lanes s = vector_sigmoid(g);
    f32_lanes dgate = d * u * s * (splat(1.0f) + g * (splat(1.0f) - s)), dup = d * g * s;
    if (job->h) store_some(job->h, h + c, n, g * s * u, is_bf16);
    store_some(job->out, gate + c, n, dgate, is_bf16);
    store_some(job->out, up + c, n, dup, is_bf16);
  }
}

static void swiglu_block(void *context, int32_t task, int32_t thread) {
  (void)thread;
  const swiglu_job *job = context;
  size_t first = (size_t)task * TOKEN_BLOCK, last = smaller(first + TOKEN_BLOCK, job->rows);
  for (size_t row = first; row < last; row++) {
    if (job->dh) job->dtype == ROOKERY_BF16 ? swiglu_backward_row(job, row, 1) : swiglu_backward_row(job, row, 0);
    else job->dtype == ROOKERY_BF16 ? swiglu_row(job, row, 1) : swiglu_row(job, row, 0);
  }
}

static int32_t run_swiglu(uintptr_t pool, swiglu_job job, uintptr_t rows_limit) {
  if (!job.gate_up || !job.out || !job.width || !is_dtype(job.dtype) || job.rows > INT32_MAX || !is_array(job.rows, job.width, 2)) return ROOKERY_BAD_ARGUMENT;
  if (rows_limit) {
    int32_t limit = *(const int32_t *)rows_limit;
    if (limit < 0 || (size_t)limit > job.rows) return ROOKERY_BAD_ARGUMENT;
    job.rows = (size_t)limit;
  }
  rookery_parallel(pool, (int32_t)ceil_div(job.rows, TOKEN_BLOCK), swiglu_block, &job);
  return ROOKERY_OK;
}

ROOKERY_API int32_t rookery_swiglu_forward(uintptr_t pool, int32_t dtype, uintptr_t gate_up, uintptr_t h, size_t rows, size_t width,
                                           uintptr_t rows_limit) {
  return run_swiglu(pool, (swiglu_job){dtype, (const char *)gate_up, 0, (char *)h, 0, rows, width}, rows_limit);
}

ROOKERY_API int32_t rookery_swiglu_backward(uintptr_t pool, int32_t dtype, uintptr_t dh, uintptr_t gate_up, uintptr_t dgate_up,
                                            uintptr_t h, size_t rows, size_t width, uintptr_t rows_limit) {
  if (!dh) return ROOKERY_BAD_ARGUMENT;
  swiglu_job job = {dtype, (const char *)gate_up, (const char *)dh, (char *)dgate_up, (char *)h, rows, width};
  return run_swiglu(pool, job, rows_limit);
}

/* ---- rows to their experts and back ---- */
typedef struct {
  int32_t dtype;
  const char *from, *base;
  char *to;
  const int32_t *row_of, *slot_at;
  const float *gates;
  float *dgates;
  size_t count, columns, k;
} movement_job;

static size_t bytes_of(int32_t dtype) { return dtype == ROOKERY_BF16 ? sizeof(bf16) : sizeof(float); }

static void gather_rows(void *context, int32_t task, int32_t thread) {
  (void)thread;
  const movement_job *job = context;
  size_t first = (size_t)task * TOKEN_BLOCK, last = smaller(first + TOKEN_BLOCK, job->count), bytes = job->columns * bytes_of(job->dtype);
  for (size_t row = first; row < last; row++) memcpy(job->to + row * bytes, job->from + (size_t)job->slot_at[row] / job->k * bytes, bytes);
}

/* out[t] = base[t] (or 0) + sum over slots of gate * rows[row_of]; without gates each counts once. */
INLINE void sum_slots(const movement_job *job, size_t t, int is_bf16) {
  size_t columns = job->columns;
  for (size_t c = 0; c < columns; c += LANES) {
    size_t n = columns - c, at = t * columns + c;
    int whole = n >= LANES;
    f32_lanes sum = !job->base ? splat(0) : whole ? load_any(job->base, at, is_bf16) : load_any_tail(job->base, at, n, is_bf16);
    for (size_t slot = t * job->k; slot < (t + 1) * job->k; slot++) {
      if (job->row_of[slot] < 0) continue;
      size_t row = (size_t)job->row_of[slot] * columns + c;
      f32_lanes v = whole ? load_any(job->from, row, is_bf16) : load_any_tail(job->from, row, n, is_bf16);
      sum = job->gates ? vector_fma(splat(job->gates[slot]), v, sum) : sum + v;
    }
    if (whole) store_any(job->to, at, sum, is_bf16);
    else store_any_tail(job->to, at, sum, n, is_bf16);
  }
}

static void sum_slots_block(void *context, int32_t task, int32_t thread) {
  (void)thread;
  const movement_job *job = context;
  size_t first = (size_t)task * TOKEN_BLOCK, last = smaller(first + TOKEN_BLOCK, job->count);
  for (size_t t = first; t < last; t++) job->dtype == ROOKERY_BF16 ? sum_slots(job, t, 1) : sum_slots(job, t, 0);
}

INLINE void spread_slots(const movement_job *job, size_t t, int is_bf16) {
  size_t columns = job->columns;
  for (size_t slot = t * job->k; slot < (t + 1) * job->k; slot++) {
    job->dgates[slot] = 0;
    if (job->row_of[slot] < 0) continue;
    f32_lanes product = splat(0), gate = splat(job->gates[slot]);
    for (size_t c = 0; c < columns; c += LANES) {
      size_t n = columns - c, at = t * columns + c, row = (size_t)job->row_of[slot] * columns + c;
      if (n >= LANES) {
        f32_lanes d = load_any(job->base, at, is_bf16);
        product = vector_fma(d, load_any(job->from, row, is_bf16), product);
        store_any(job->to, row, gate * d, is_bf16);
      } else {
        f32_lanes d = load_any_tail(job->base, at, n, is_bf16);
        product = vector_fma(d, load_any_tail(job->from, row, n, is_bf16), product);
        store_any_tail(job->to, row, gate * d, n, is_bf16);
      }
    }
    job->dgates[slot] = vector_sum(product);
  }
}

static void spread_slots_block(void *context, int32_t task, int32_t thread) {
  (void)thread;
  const movement_job *job = context;
  size_t first = (size_t)task * TOKEN_BLOCK, last = smaller(first + TOKEN_BLOCK, job->count);
  for (size_t t = first; t < last; t++) job->dtype == ROOKERY_BF16 ? spread_slots(job, t, 1) : spread_slots(job, t, 0);
}

static int32_t move_tokens(uintptr_t pool, rookery_task task, movement_job job) {
  if (!job.from || !job.to || !is_dtype(job.dtype) || !job.columns || !job.k || job.count > INT32_MAX) return ROOKERY_BAD_ARGUMENT;
  if (!is_array(job.count, job.k, job.columns)) return ROOKERY_BAD_ARGUMENT;
  rookery_parallel(pool, (int32_t)ceil_div(job.count, TOKEN_BLOCK), task, &job);
  return ROOKERY_OK;
}

ROOKERY_API int32_t rookery_dispatch_forward(uintptr_t pool, int32_t dtype, uintptr_t x, uintptr_t slot_at, uintptr_t row_count, uintptr_t rows,
                                             size_t tokens, size_t columns, size_t k) {
  if (!slot_at || !row_count || !is_array(tokens, k, 1)) return ROOKERY_BAD_ARGUMENT;
  int32_t count = *(const int32_t *)row_count;
  if (count < 0 || (size_t)count > tokens * k) return ROOKERY_BAD_ARGUMENT;
  return move_tokens(pool, gather_rows, (movement_job){dtype, (const char *)x, 0, (char *)rows, 0, (const int32_t *)slot_at, 0, 0, (size_t)count, columns, k});
}

ROOKERY_API int32_t rookery_dispatch_backward(uintptr_t pool, int32_t dtype, uintptr_t drows, uintptr_t row_of, uintptr_t dx, size_t tokens,
                                              size_t columns, size_t k, int32_t accumulate) {
  if (!row_of) return ROOKERY_BAD_ARGUMENT;
  return move_tokens(pool, sum_slots_block, (movement_job){dtype, (const char *)drows, accumulate ? (const char *)dx : 0, (char *)dx, (const int32_t *)row_of, 0, 0, 0, tokens, columns, k});
}

ROOKERY_API int32_t rookery_combine_forward(uintptr_t pool, int32_t dtype, uintptr_t base, uintptr_t rows, uintptr_t row_of, uintptr_t gates,
                                            uintptr_t out, size_t tokens, size_t columns, size_t k) {
  if (!row_of || !gates || !base) return ROOKERY_BAD_ARGUMENT;
  return move_tokens(pool, sum_slots_block, (movement_job){dtype, (const char *)rows, (const char *)base, (char *)out, (const int32_t *)row_of, 0, (const float *)gates, 0, tokens, columns, k});
}

ROOKERY_API int32_t rookery_combine_backward(uintptr_t pool, int32_t dtype, uintptr_t dout, uintptr_t rows, uintptr_t row_of, uintptr_t gates,
                                             uintptr_t drows, uintptr_t dgates, size_t tokens, size_t columns, size_t k) {
  if (!row_of || !gates || !dout || !dgates) return ROOKERY_BAD_ARGUMENT;
  return move_tokens(pool, spread_slots_block, (movement_job){dtype, (const char *)rows, (const char *)dout, (char *)drows, (const int32_t *)row_of, 0, (const float *)gates, (float *)dgates, tokens, columns, k});
}
