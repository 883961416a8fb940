/* Gradients of weights: sums of dy^T x over the rows of each group. On tiles the rows are packed first, as weights are. */
#include "weight_gradient.h"
#include "threads.h"

static void gradient_rows(void *context, int32_t task, int32_t thread) {
  (void)thread;
  const gradient_job *job = context;
  size_t blocks = ceil_div(job->out, GRADIENT_OUT_BLOCK), group = (size_t)task / blocks, row = (size_t)task % blocks * GRADIENT_OUT_BLOCK;
  gradient_vector_rows(job, group, row, smaller(row + GRADIENT_OUT_BLOCK, job->out));
}

#ifdef ROOKERY_TILES
static void gradient_tiles(void *context, int32_t task, int32_t thread) {
  (void)thread;
  const gradient_job *job = context;
  size_t ranges = ceil_div(job->own_blocks, OWN_BLOCKS_A_TASK), sets = (size_t)task / ranges;
  size_t sets_in_group = ceil_div(ceil_div(smaller(job->out, job->in), 32), job->blocks_in_set), first = (size_t)task % ranges * OWN_BLOCKS_A_TASK;
  float squares = gradient_tile_block(job, sets / sets_in_group, sets % sets_in_group * job->blocks_in_set, first, smaller(first + OWN_BLOCKS_A_TASK, job->own_blocks));
  if (job->squares) job->squares[task] = squares;
}

static size_t shared_bytes(size_t rows, size_t out, size_t in, size_t groups) {
  return (rows / 32 + groups) * ceil_div(smaller(out, in), 32) * 1024 * sizeof(bf16);
}

static size_t tile_tasks(size_t out, size_t in, size_t groups) {
  size_t sets = ceil_div(ceil_div(smaller(out, in), 32), MOST_SHARED_BLOCKS), own = ceil_div(out > in ? out : in, 32);
  return groups * sets * ceil_div(own, OWN_BLOCKS_A_TASK);
}

static void sum_on_tiles(uintptr_t pool, gradient_job *job, size_t rows, uintptr_t scratch, float *squares) {
  size_t tasks = tile_tasks(job->out, job->in, job->groups);
  job->shared_tiles = (bf16 *)scratch;
  job->squares = squares ? (float *)(scratch + shared_bytes(rows, job->out, job->in, job->groups)) : 0;
  job->shares_x = job->in <= job->out;
  job->own_blocks = ceil_div(job->shares_x ? job->out : job->in, 32);
  job->blocks_in_set = smaller(MOST_SHARED_BLOCKS, ceil_div(smaller(job->out, job->in), 32));
  rookery_parallel(pool, (int32_t)steps_before(job, job->groups), pack_gradient_step, job);
  rookery_parallel(pool, (int32_t)tasks, gradient_tiles, job);
  if (!squares) return;
  double sum = 0;
  for (size_t task = 0; task < tasks; task++) sum += job->squares[task];
  *squares = (float)sum;
}
#endif

ROOKERY_API size_t rookery_weight_gradient_scratch_bytes(int32_t dtype, size_t rows, size_t out, size_t in, size_t groups) {
  if (rows > INT32_MAX || !is_weight(groups, out, in)) return 0;
#ifdef ROOKERY_TILES
  if (uses_tiles(dtype)) return shared_bytes(rows, out, in, groups) + tile_tasks(out, in, groups) * sizeof(float);
#else
  (void)dtype;
#endif
  return rookery_sum_of_squares_scratch_bytes(groups * out * in);
}

ROOKERY_API int32_t rookery_weight_gradient(uintptr_t pool, int32_t dtype, uintptr_t dy, uintptr_t x, uintptr_t weight_gradient, size_t rows,
                                            size_t out, size_t in, size_t groups, uintptr_t offsets, int32_t accumulate, uintptr_t squares,
                                            uintptr_t scratch) {
  if (!dy || !x || !weight_gradient || rows > INT32_MAX || (groups > 1 && !offsets)) return ROOKERY_BAD_ARGUMENT;
  if (!is_dtype(dtype) || !is_aligned(scratch)) return ROOKERY_BAD_ARGUMENT;
  /* no task is smaller than a panel of one side */
  if (!is_weight(groups, out, in) || !is_array(rows, out, 1) || !is_array(rows, in, 1)) return ROOKERY_BAD_ARGUMENT;
  if (groups * ceil_div(out, PANEL) > INT32_MAX || groups * ceil_div(in, PANEL) > INT32_MAX) return ROOKERY_BAD_ARGUMENT;
  gradient_job job = {.dtype = dtype, .accumulate = accumulate, .dy = (const char *)dy, .x = (const char *)x, .gradient = (float *)weight_gradient,
                      .out = out, .in = in, .groups = groups, .all_rows = {0, (int32_t)rows}};
  job.offsets = offsets ? (const int32_t *)offsets : job.all_rows;
  if (!offsets_are_sound(job.offsets, groups, rows)) return ROOKERY_BAD_ARGUMENT;
#ifdef ROOKERY_TILES
  if (uses_tiles(dtype)) { sum_on_tiles(pool, &job, rows, scratch, (float *)squares); return ROOKERY_OK; }
#endif
  rookery_parallel(pool, (int32_t)(groups * ceil_div(out, GRADIENT_OUT_BLOCK)), gradient_rows, &job);
  return squares ? rookery_sum_of_squares(pool, weight_gradient, groups * out * in, squares, 0, scratch) : ROOKERY_OK;
}
