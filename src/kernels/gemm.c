/*
 * Rows times a packed weight, group by group: forward products and input gradients. Every element of the result sums over the
 * inner dimension in one order, whatever the number of rows, so a row's bits do not depend on the rows beside it.
 */
#include "gemm.h"
#include "pack.h"
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

static void multiply_rows(const matmul_job *job, size_t row, size_t rows, const char *b, size_t panel, size_t last) {
#ifdef ROOKERY_AMX
  if (uses_tiles(job->dtype)) { matmul_tile_block(job, row, rows, b, panel, last); return; }
#endif
  matmul_vector_block(job, row, rows, b, panel, last);
}

static void multiply_block(void *context, int32_t task, int32_t thread) {
  (void)thread;
  const matmul_job *job = context;
  size_t group = 0, row = 0, rows = 0;
  find_rows(job, (size_t)task % job->row_blocks, &group, &row, &rows);
  size_t panels = ceil_div(job->target.columns, PANEL), panel = (size_t)task / job->row_blocks * job->panels_per_task;
  const char *b = job->packed + group * panels * panel_bytes(job->dtype, job->inner);
  multiply_rows(job, row, rows, b, panel, smaller(panel + job->panels_per_task, panels));
}

/* Panels of packed weight that a task reads: what the second cache holds, but enough tasks that no thread waits long for another's last. */
static size_t panels_per_task(size_t inner, int32_t dtype, size_t panels, size_t blocks, size_t threads) {
  size_t most = PANEL_BYTES_IN_CACHE / panel_bytes(dtype, inner);
  most = most > MOST_PANELS ? MOST_PANELS : most ? most : 1;
  return threads > 1 ? smaller(most, ceil_div(panels, ceil_div(4 * threads, blocks))) : smaller(most, panels);
}

static int32_t check_matmul(matmul_job *job, size_t rows, size_t groups, uintptr_t offsets) {
  if (!job->a || !job->target.c || !job->inner || !job->target.columns || !groups || rows > INT32_MAX || (groups > 1 && !offsets)) return ROOKERY_BAD_ARGUMENT;
  int32_t types[2] = {job->dtype, job->target.dtype};
  for (int i = 0; i < 2; i++) if (types[i] != ROOKERY_F32 && types[i] != ROOKERY_BF16) return ROOKERY_BAD_ARGUMENT;
  job->groups = groups;
  job->all_rows[1] = (int32_t)rows;
  job->offsets = offsets ? (const int32_t *)offsets : job->all_rows;
  return offsets_are_sound(job->offsets, groups, rows) ? ROOKERY_OK : ROOKERY_BAD_ARGUMENT;
}

ROOKERY_API int32_t rookery_matmul(uintptr_t pool, int32_t dtype, uintptr_t a, uintptr_t packed, uintptr_t addend, uintptr_t c,
                                   int32_t c_dtype, size_t rows, size_t inner, size_t columns, size_t groups, uintptr_t offsets) {
  matmul_job job = {.dtype = dtype, .a = (const char *)a, .packed = (const char *)packed, .target = {c_dtype, columns, (const char *)addend, (char *)c}, .inner = inner};
  if (!packed || packed % 64 || check_matmul(&job, rows, groups, offsets)) return ROOKERY_BAD_ARGUMENT;
  for (size_t g = 0; g < groups; g++) job.row_blocks += ceil_div((size_t)(job.offsets[g + 1] - job.offsets[g]), ROW_BLOCK);
  if (!job.row_blocks) return ROOKERY_OK;
  size_t panels = ceil_div(columns, PANEL);
  job.panels_per_task = panels_per_task(inner, dtype, panels, job.row_blocks, (size_t)rookery_pool_threads(pool));
  rookery_parallel(pool, (int32_t)(job.row_blocks * ceil_div(panels, job.panels_per_task)), multiply_block, &job);
  return ROOKERY_OK;
}

/* ---- products that pack their weights on the way: each panel once, by the task that multiplies all rows of its group with it ---- */
typedef struct {
  matmul_job matmul;
  unpacked_weight weight;
  char *scratch;
} packing_job;

static size_t packing_panels(int32_t dtype, size_t inner, size_t columns, size_t groups, size_t threads) {
  return panels_per_task(inner, dtype, ceil_div(columns, PANEL), groups, threads);
}

static void pack_and_multiply(void *context, int32_t task, int32_t thread) {
  const packing_job *job = context;
  const matmul_job *matmul = &job->matmul;
  size_t group = (size_t)task % matmul->groups, panel = (size_t)task / matmul->groups * matmul->panels_per_task;
  size_t row = (size_t)matmul->offsets[group], rows = (size_t)matmul->offsets[group + 1] - row;
  if (!rows) return;
  size_t bytes = panel_bytes(matmul->dtype, matmul->inner), last = smaller(panel + matmul->panels_per_task, ceil_div(matmul->target.columns, PANEL));
  char *packed = job->scratch + (size_t)thread * matmul->panels_per_task * bytes;
  for (size_t p = panel; p < last; p++) pack_panel(&job->weight, group, p, packed + (p - panel) * bytes);
  multiply_rows(matmul, row, rows, packed - panel * bytes, panel, last);
}

ROOKERY_API size_t rookery_matmul_packing_scratch_bytes(int32_t dtype, size_t inner, size_t columns, size_t groups, int32_t threads) {
  if (!inner || !columns || !groups || threads < 1) return 0;
  return (size_t)threads * packing_panels(dtype, inner, columns, groups, (size_t)threads) * panel_bytes(dtype, inner);
}

ROOKERY_API int32_t rookery_matmul_packing(uintptr_t pool, int32_t dtype, uintptr_t a, uintptr_t weight, int32_t transpose, uintptr_t addend,
                                           uintptr_t c, int32_t c_dtype, size_t rows, size_t inner, size_t columns, size_t groups,
                                           uintptr_t offsets, uintptr_t scratch) {
  packing_job job = {
    .matmul = {.dtype = dtype, .a = (const char *)a, .target = {c_dtype, columns, (const char *)addend, (char *)c}, .inner = inner},
    .weight = {dtype, transpose, (const float *)weight, transpose ? inner : columns, transpose ? columns : inner},
    .scratch = (char *)scratch,
  };
  if (!weight || !scratch || scratch % 64 || check_matmul(&job.matmul, rows, groups, offsets)) return ROOKERY_BAD_ARGUMENT;
  job.matmul.panels_per_task = packing_panels(dtype, inner, columns, groups, (size_t)rookery_pool_threads(pool));
  size_t tasks = groups * ceil_div(ceil_div(columns, PANEL), job.matmul.panels_per_task);
  if (tasks > INT32_MAX) return ROOKERY_BAD_ARGUMENT;
  rookery_parallel(pool, (int32_t)tasks, pack_and_multiply, &job);
  return ROOKERY_OK;
}
