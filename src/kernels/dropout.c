/* Dropout with a counter hash: nothing is kept for the way back, which drops the same elements again. */
#include "arguments.h"
#include "threads.h"
#include "vector.h"

#define ELEMENTS_A_TASK 65536 /* a multiple of LANES */

typedef struct {
  const void *x, *addend;
  void *y;
  size_t count;
  uint32_t threshold, key0, key1;
  float scale;
} dropout_job;

INLINE void drop(const dropout_job *job, int32_t task, int is_bf16) {
  size_t first = (size_t)task * ELEMENTS_A_TASK, end = smaller(first + ELEMENTS_A_TASK, job->count);
  for (size_t i = first; i < end; i += LANES) {
    size_t left = end - i;
    f32_lanes x = load_some(job->x, i, left, is_bf16) * splat(job->scale);
    i32_lanes keeps = (i32_lanes)(vector_counter_hash(job->key0, job->key1, (uint32_t)i) >= job->threshold);
    f32_lanes y = select(keeps, x, splat(0));
    if (job->addend) y += load_some(job->addend, i, left, is_bf16);
    store_some(job->y, i, left, y, is_bf16);
  }
}
static void drop_f32(void *job, int32_t task, int32_t thread) { (void)thread; drop(job, task, 0); }
static void drop_bf16(void *job, int32_t task, int32_t thread) { (void)thread; drop(job, task, 1); }

ROOKERY_API int32_t rookery_dropout(uintptr_t pool, int32_t dtype, uintptr_t x, uintptr_t addend, uintptr_t y, size_t count,
                                    int32_t threshold, float scale, int32_t key0, int32_t key1) {
  if (!is_dtype(dtype) || scale != scale || count > UINT32_MAX) return ROOKERY_BAD_ARGUMENT;
  if (!count) return ROOKERY_OK;
  if (!x || !y) return ROOKERY_BAD_ARGUMENT;
  dropout_job job = {(const void *)x, (const void *)addend, (void *)y, count, (uint32_t)threshold, (uint32_t)key0,
                     (uint32_t)key1, scale};
  rookery_parallel(pool, (int32_t)ceil_div(count, ELEMENTS_A_TASK), dtype == ROOKERY_BF16 ? drop_bf16 : drop_f32, &job);
  return ROOKERY_OK;
}
