/*
 * Rows times a packed weight, group by group: forward products and input gradients. Every element of the result sums over the
 * inner dimension in one order, whatever the number of rows, so a row's bits do not depend on the rows beside it.
 */
#include "gemm.h"
#include "threads.h"

#define ROW_BLOCK 256
#define PANEL_BYTES_IN_CACHE (1024 * 1024) /* weights that stay in the second cache while rows go by */

/* The rows of the `block`-th row block, counted over all groups. Groups with no rows have no block. */
static void find_rows(const matmul_job *job, size_t block, size_t *group, size_t *first, size_t *count) {
  for (size_t g = 0; g < job->groups; g++) {
    size_t begin = (size_t)job->offsets[g], rows = (size_t)job->offsets[g + 1] - begin, blocks = ceil_div(rows, ROW_BLOCK);
    if (block < blocks) {
      *group = g; *first = begin + block * ROW_BLOCK; *count = smaller(rows - block * ROW_BLOCK, ROW_BLOCK);
      return;
    }
    block -= blocks;
  }
  *count = 0;
}

static void multiply_block(void *context, int32_t task, int32_t thread) {
  (void)thread;
  const matmul_job *job = context;
  size_t group = 0, row = 0, rows = 0;
  find_rows(job, (size_t)task % job->row_blocks, &group, &row, &rows);
  size_t panels = ceil_div(job->target.columns, PANEL), panel = (size_t)task / job->row_blocks * job->panels_per_task;
  size_t last = smaller(panel + job->panels_per_task, panels), bytes = panel_bytes(job->dtype, job->inner);
  const char *b = job->packed + group * panels * bytes;
#ifdef ROOKERY_AMX
  if (uses_tiles(job->dtype)) { matmul_tile_block(job, row, rows, b, panel, last); return; }
#endif
  matmul_vector_block(job, row, rows, b, panel, last);
}

ROOKERY_API int32_t rookery_matmul(uintptr_t pool, int32_t dtype, uintptr_t a, uintptr_t packed, uintptr_t addend, uintptr_t c,
                                   int32_t c_dtype, size_t rows, size_t inner, size_t columns, size_t groups, uintptr_t offsets) {
  if (!a || !packed || packed % 64 || !c || !inner || !columns || !groups || rows > INT32_MAX || (groups > 1 && !offsets)) return ROOKERY_BAD_ARGUMENT;
  if ((dtype != ROOKERY_F32 && dtype != ROOKERY_BF16) || (c_dtype != ROOKERY_F32 && c_dtype != ROOKERY_BF16)) return ROOKERY_BAD_ARGUMENT;
  matmul_job job = {dtype, (const char *)a, (const char *)packed, {c_dtype, columns, (const char *)addend, (char *)c}, inner, groups, 0, 0, 0, {0, (int32_t)rows}};
  job.offsets = offsets ? (const int32_t *)offsets : job.all_rows;
  if (!offsets_are_sound(job.offsets, groups, rows)) return ROOKERY_BAD_ARGUMENT;
  for (size_t g = 0; g < groups; g++) job.row_blocks += ceil_div((size_t)(job.offsets[g + 1] - job.offsets[g]), ROW_BLOCK);
  if (!job.row_blocks) return ROOKERY_OK;
  size_t panels = ceil_div(columns, PANEL), threads = (size_t)rookery_pool_threads(pool);
  job.panels_per_task = PANEL_BYTES_IN_CACHE / panel_bytes(dtype, inner);
  job.panels_per_task = job.panels_per_task > MOST_PANELS ? MOST_PANELS : job.panels_per_task ? job.panels_per_task : 1;
  /* enough tasks that no thread waits long for another's last one */
  size_t wanted = ceil_div(4 * threads, job.row_blocks);
  if (threads > 1) job.panels_per_task = smaller(job.panels_per_task, ceil_div(panels, wanted));
  rookery_parallel(pool, (int32_t)(job.row_blocks * ceil_div(panels, job.panels_per_task)), multiply_block, &job);
  return ROOKERY_OK;
}
