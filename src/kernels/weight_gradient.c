/* Gradients of weights: sums of dy^T x over the rows of each group. On tiles the rows are packed first, as weights are. */
#include "weight_gradient.h"
#include "threads.h"

static void gradient_block(void *context, int32_t task, int32_t thread) {
  (void)thread;
  const gradient_job *job = context;
  size_t group = (size_t)task / job->out_blocks, row = (size_t)task % job->out_blocks * GRADIENT_OUT_BLOCK;
  size_t last = smaller(row + GRADIENT_OUT_BLOCK, job->out);
#ifdef ROOKERY_AMX
  if (uses_tiles(job->dtype)) { gradient_tile_rows(job, group, row, last); return; }
#endif
  gradient_vector_rows(job, group, row, last);
}

ROOKERY_API size_t rookery_weight_gradient_scratch_bytes(int32_t dtype, size_t rows, size_t out, size_t in, size_t groups) {
  if (!uses_tiles(dtype)) return 0;
  size_t steps = rows / 32 + groups;
  return steps * 1024 * (ceil_div(out, 32) * 2 + ceil_div(in, PANEL) * 2);
}

ROOKERY_API int32_t rookery_weight_gradient(uintptr_t pool, int32_t dtype, uintptr_t dy, uintptr_t x, uintptr_t weight_gradient, size_t rows,
                                            size_t out, size_t in, size_t groups, uintptr_t offsets, int32_t accumulate, uintptr_t scratch) {
  if (!dy || !x || !weight_gradient || !out || !in || !groups || rows > INT32_MAX || (groups > 1 && !offsets)) return ROOKERY_BAD_ARGUMENT;
  if ((dtype != ROOKERY_F32 && dtype != ROOKERY_BF16) || (uses_tiles(dtype) && (!scratch || scratch % 64))) return ROOKERY_BAD_ARGUMENT;
  gradient_job job = {dtype, accumulate, (const char *)dy, (const char *)x, (float *)weight_gradient, out, in, groups, ceil_div(out, GRADIENT_OUT_BLOCK), 0, {0, (int32_t)rows}, 0, 0};
  job.offsets = offsets ? (const int32_t *)offsets : job.all_rows;
  if (!offsets_are_sound(job.offsets, groups, rows)) return ROOKERY_BAD_ARGUMENT;
#ifdef ROOKERY_AMX
  if (uses_tiles(dtype)) {
    size_t steps = steps_before(&job, groups);
    job.dy_tiles = (bf16 *)scratch;
    job.x_tiles = job.dy_tiles + steps * ceil_div(out, 32) * 2 * 512;
    rookery_parallel(pool, (int32_t)steps, pack_gradient_step, &job);
  }
#endif
  rookery_parallel(pool, (int32_t)(groups * job.out_blocks), gradient_block, &job);
  return ROOKERY_OK;
}
