/*
 * Both ends of a language model: the embedding table, and cross-entropy with its gradient.
 * Work is split by tokens, rows or columns whose results do not meet, so no sum depends on the threads.
 */
#include "arguments.h"
#include "softmax.h"
#include "threads.h"
#include "vector.h"

/* Elements a task should have at least, so that claiming it costs little beside it. */
#define ELEMENTS_A_TASK 16384
/* embedding_backward: a task owns this many columns (whole cache lines) of every row of the table. */
#define COLUMNS_A_TASK 64
#define SUM_BLOCK 4096

static int out_of_range(const int32_t *ids, size_t count, int32_t lowest, size_t end) {
  if (end > INT32_MAX) end = (size_t)INT32_MAX + 1;
  int bad = 0;
  for (size_t i = 0; i < count; i++) bad |= (ids[i] < lowest) | ((int64_t)ids[i] >= (int64_t)end);
  return bad;
}

/* Rows a task takes, and how many tasks that makes; 0 tasks if there are more than fit a task number. */
static int32_t split_rows(size_t rows, size_t columns, size_t *rows_a_task) {
  *rows_a_task = columns >= ELEMENTS_A_TASK ? 1 : ELEMENTS_A_TASK / columns;
  size_t tasks = ceil_div(rows, *rows_a_task);
  return tasks > INT32_MAX ? 0 : (int32_t)tasks;
}

typedef struct {
  const int32_t *ids;
  const float *table;
  void *out;
  size_t tokens, columns, tokens_a_task;
} embedding_job;

INLINE void copy_rows(const embedding_job *job, int32_t task, int is_bf16) {
  size_t first = (size_t)task * job->tokens_a_task, columns = job->columns;
  size_t end = smaller(first + job->tokens_a_task, job->tokens);
  for (size_t t = first; t < end; t++) {
    const float *row = job->table + (size_t)job->ids[t] * columns;
    size_t i = 0;
    for (; i + LANES <= columns; i += LANES) store_any(job->out, t * columns + i, load_f32(row + i), is_bf16);
    if (i < columns) {
      store_any_tail(job->out, t * columns + i, load_f32_tail(row + i, columns - i), columns - i, is_bf16);
    }
  }
}
static void copy_rows_f32(void *job, int32_t task, int32_t thread) { (void)thread; copy_rows(job, task, 0); }
static void copy_rows_bf16(void *job, int32_t task, int32_t thread) { (void)thread; copy_rows(job, task, 1); }

ROOKERY_API int32_t rookery_embedding_forward(uintptr_t pool, int32_t dtype, uintptr_t ids, uintptr_t table, uintptr_t out,
                                              size_t tokens, size_t vocabulary, size_t columns) {
  if (!is_dtype(dtype) || !is_array(tokens, columns, 1)) return ROOKERY_BAD_ARGUMENT;
  if (!is_array(vocabulary, columns, 1)) return ROOKERY_BAD_ARGUMENT;
  if (!tokens) return ROOKERY_OK;
  if (!ids || out_of_range((const int32_t *)ids, tokens, 0, vocabulary)) return ROOKERY_BAD_ARGUMENT;
  if (!columns) return ROOKERY_OK;
  if (!table || !out) return ROOKERY_BAD_ARGUMENT;
  embedding_job job = {(const int32_t *)ids, (const float *)table, (void *)out, tokens, columns, 0};
  int32_t tasks = split_rows(tokens, columns, &job.tokens_a_task);
  if (!tasks) return ROOKERY_BAD_ARGUMENT;
  rookery_parallel(pool, tasks, dtype == ROOKERY_BF16 ? copy_rows_bf16 : copy_rows_f32, &job);
  return ROOKERY_OK;
}

typedef struct {
  const int32_t *ids;
  const void *dout;
  float *table_gradient;
  size_t tokens, columns;
} embedding_gradient_job;

/* All tokens in order, but only this task's columns: tokens that share an id never meet on two threads. */
INLINE void add_columns(const embedding_gradient_job *job, int32_t task, int is_bf16) {
  size_t columns = job->columns, first = (size_t)task * COLUMNS_A_TASK;
  size_t end = smaller(first + COLUMNS_A_TASK, columns);
  for (size_t t = 0; t < job->tokens; t++) {
    float *row = job->table_gradient + (size_t)job->ids[t] * columns;
    size_t i = first;
    for (; i + LANES <= end; i += LANES) {
      store_f32(row + i, load_f32(row + i) + load_any(job->dout, t * columns + i, is_bf16));
    }
    if (i < end) {
      f32_lanes sum = load_f32_tail(row + i, end - i) + load_any_tail(job->dout, t * columns + i, end - i, is_bf16);
      store_f32_tail(row + i, sum, end - i);
    }
  }
}
static void add_columns_f32(void *job, int32_t task, int32_t thread) { (void)thread; add_columns(job, task, 0); }
static void add_columns_bf16(void *job, int32_t task, int32_t thread) { (void)thread; add_columns(job, task, 1); }

ROOKERY_API int32_t rookery_embedding_backward(uintptr_t pool, int32_t dtype, uintptr_t ids, uintptr_t dout,
                                               uintptr_t table_gradient, size_t tokens, size_t vocabulary, size_t columns) {
  if (!is_dtype(dtype) || !is_array(tokens, columns, 1)) return ROOKERY_BAD_ARGUMENT;
  if (!is_array(vocabulary, columns, 1)) return ROOKERY_BAD_ARGUMENT;
  if (!tokens) return ROOKERY_OK;
  if (!ids || out_of_range((const int32_t *)ids, tokens, 0, vocabulary)) return ROOKERY_BAD_ARGUMENT;
  if (!columns) return ROOKERY_OK;
  size_t tasks = ceil_div(columns, COLUMNS_A_TASK);
  if (!dout || !table_gradient || tasks > INT32_MAX) return ROOKERY_BAD_ARGUMENT;
  embedding_gradient_job job = {(const int32_t *)ids, (const void *)dout, (float *)table_gradient, tokens, columns};
  rookery_parallel(pool, (int32_t)tasks, dtype == ROOKERY_BF16 ? add_columns_bf16 : add_columns_f32, &job);
  return ROOKERY_OK;
}

typedef struct {
  const float *logits;
  const int32_t *targets;
  float *losses;
  void *dlogits;
  size_t rows, vocabulary, rows_a_task;
  float scale;
  const float *row_scales;
} cross_entropy_job;

/* The exponentials are taken again for the gradient: cheaper than keeping them, since the row's logits are in cache. */
INLINE void cross_entropy_rows(const cross_entropy_job *job, int32_t task, int is_bf16) {
  size_t first = (size_t)task * job->rows_a_task, n = job->vocabulary;
  size_t end = smaller(first + job->rows_a_task, job->rows);
  size_t element_bytes = is_bf16 ? sizeof(bf16) : sizeof(float);
  for (size_t r = first; r < end; r++) {
    const float *x = job->logits + r * n;
    int32_t target = job->targets[r];
    char *gradient = job->dlogits ? (char *)job->dlogits + r * n * element_bytes : 0;
    if (target < 0) {
      job->losses[r] = 0;
      if (gradient) memset(gradient, 0, n * element_bytes);
      continue;
    }
    float maximum = row_maximum(x, n);
    float sum = row_sum_of_exponentials(x, n, maximum);
    job->losses[r] = log_f32(sum) + (maximum - x[target]);
    if (!gradient) continue;
    float scale = job->row_scales ? job->scale * job->row_scales[r] : job->scale;
    f32_lanes m = splat(maximum), factor = splat(scale / sum);
    size_t i = 0;
    for (; i + 2 * LANES <= n; i += 2 * LANES) {
      store_any(gradient, i, vector_exp(load_f32(x + i) - m) * factor, is_bf16);
      store_any(gradient, i + LANES, vector_exp(load_f32(x + i + LANES) - m) * factor, is_bf16);
    }
    for (; i < n; i += LANES) {
      size_t left = n - i < LANES ? n - i : LANES;
      store_any_tail(gradient, i, vector_exp(load_logits_tail(x + i, left) - m) * factor, left, is_bf16);
    }
    float at_target = (exp_f32(x[target] - maximum) / sum - 1.0f) * scale;
    store_any_tail(gradient, (size_t)target, splat(at_target), 1, is_bf16);
  }
}
static void cross_entropy_rows_f32(void *job, int32_t task, int32_t thread) {
  (void)thread;
  cross_entropy_rows(job, task, 0);
}
static void cross_entropy_rows_bf16(void *job, int32_t task, int32_t thread) {
  (void)thread;
  cross_entropy_rows(job, task, 1);
}

ROOKERY_API int32_t rookery_cross_entropy(uintptr_t pool, int32_t dtype, uintptr_t logits, uintptr_t targets, uintptr_t losses,
                                          uintptr_t dlogits, size_t rows, size_t vocabulary, float scale,
                                          uintptr_t row_scales) {
  if (!is_dtype(dtype) || !is_array(rows, vocabulary, 1)) return ROOKERY_BAD_ARGUMENT;
  if (!rows) return ROOKERY_OK;
  if (!vocabulary || !logits || !targets || !losses) return ROOKERY_BAD_ARGUMENT;
  if (out_of_range((const int32_t *)targets, rows, -1, vocabulary)) return ROOKERY_BAD_ARGUMENT;
  cross_entropy_job job = {(const float *)logits, (const int32_t *)targets, (float *)losses, (void *)dlogits,
                           rows, vocabulary, 0, scale, (const float *)row_scales};
  int32_t tasks = split_rows(rows, vocabulary, &job.rows_a_task);
  if (!tasks) return ROOKERY_BAD_ARGUMENT;
  rookery_parallel(pool, tasks, dtype == ROOKERY_BF16 ? cross_entropy_rows_bf16 : cross_entropy_rows_f32, &job);
  return ROOKERY_OK;
}

ROOKERY_API int32_t rookery_sum(uintptr_t values, size_t count, uintptr_t sum) {
  if (!sum || (count && !values) || !is_array(count, 1, 1)) return ROOKERY_BAD_ARGUMENT;
  const float *x = (const float *)values;
  double total = 0;
  for (size_t first = 0; first < count; first += SUM_BLOCK) {
    size_t n = count - first < SUM_BLOCK ? count - first : SUM_BLOCK, i = 0;
    f32_lanes partial = splat(0);
    for (; i + LANES <= n; i += LANES) partial += load_f32(x + first + i);
    if (i < n) partial += load_f32_tail(x + first + i, n - i);
    total += vector_sum(partial);
  }
  *(float *)sum = (float)total;
  return ROOKERY_OK;
}
