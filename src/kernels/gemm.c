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

static void multiply_rows(const matmul_job *job, size_t row, size_t rows, const char *b, size_t unit, size_t last) {
#ifdef ROOKERY_AMX
  if (uses_tiles(job->dtype)) { matmul_tile_block(job, row, rows, b, unit, last); return; }
#endif
  matmul_vector_block(job, row, rows, b, unit, last);
}

static void multiply_block(void *context, int32_t task, int32_t thread) {
  (void)thread;
  const matmul_job *job = context;
  size_t group = 0, row = 0, rows = 0;
  find_rows(job, (size_t)task % job->row_blocks, &group, &row, &rows);
  size_t unit = (size_t)task / job->row_blocks * job->units_per_task;
  const char *b = job->packed + group * matrix_bytes(job->dtype, job->inner, job->target.columns);
  multiply_rows(job, row, rows, b, unit, smaller(unit + job->units_per_task, job->units));
}

/* Whether the gated product can be made while the sums are at hand: on tiles, and where gates and their up projections are whole panels. */
static int gates_on_the_way(int32_t dtype, size_t columns, int is_gated) {
  return is_gated && uses_tiles(dtype) && columns % (2 * PANEL) == 0;
}

/* Units of packed weight that a task reads: what the second cache holds, but enough tasks that no thread waits long for another's last. */
static void share_units(matmul_job *job, size_t blocks, size_t threads, int is_gated) {
  size_t panels = ceil_div(job->target.columns, PANEL);
  job->halves = gates_on_the_way(job->dtype, job->target.columns, is_gated) ? 2 : 1;
  job->units = panels / job->halves;
  size_t most = PANEL_BYTES_IN_CACHE / panel_bytes(job->dtype, job->inner);
  most = (most > MOST_PANELS ? MOST_PANELS : most) / job->halves;
  if (!most) most = 1;
  job->units_per_task = threads > 1 ? smaller(most, ceil_div(job->units, ceil_div(4 * threads, blocks))) : smaller(most, job->units);
}

static int32_t check_matmul(matmul_job *job, size_t rows, size_t groups, uintptr_t offsets) {
  const sums_target *target = &job->target;
  if (!job->a || !target->c || rows > INT32_MAX || (groups > 1 && !offsets) || !is_dtype(job->dtype) || !is_dtype(target->dtype)) return ROOKERY_BAD_ARGUMENT;
  if (!is_weight(groups, target->columns, job->inner) || !is_array(rows, job->inner, 1) || !is_array(rows, target->columns, 1)) return ROOKERY_BAD_ARGUMENT;
  if (target->gated && (target->columns % 2 || target->addend || target->dtype != job->dtype)) return ROOKERY_BAD_ARGUMENT;
  job->groups = groups;
  job->all_rows[1] = (int32_t)rows;
  job->offsets = offsets ? (const int32_t *)offsets : job->all_rows;
  return offsets_are_sound(job->offsets, groups, rows) ? ROOKERY_OK : ROOKERY_BAD_ARGUMENT;
}

/* The gated product where it was not made on the way. */
static int32_t gate_afterwards(uintptr_t pool, const matmul_job *job) {
  const sums_target *target = &job->target;
  if (!target->gated || job->halves == 2) return ROOKERY_OK;
  size_t first = (size_t)job->offsets[0], rows = (size_t)job->offsets[job->groups] - first;
  size_t row_bytes = target->columns * (target->dtype == ROOKERY_BF16 ? sizeof(bf16) : sizeof(float));
  uintptr_t from = (uintptr_t)target->c + first * row_bytes, to = (uintptr_t)target->gated + first * row_bytes / 2;
  return rows ? rookery_swiglu_forward(pool, target->dtype, from, to, rows, target->columns / 2, 0) : ROOKERY_OK;
}

ROOKERY_API int32_t rookery_matmul(uintptr_t pool, int32_t dtype, uintptr_t a, uintptr_t packed, uintptr_t addend, uintptr_t c,
                                   int32_t c_dtype, uintptr_t gated, size_t rows, size_t inner, size_t columns, size_t groups, uintptr_t offsets) {
  matmul_job job = {.dtype = dtype, .a = (const char *)a, .packed = (const char *)packed, .inner = inner,
                    .target = {c_dtype, columns, (const char *)addend, (char *)c, 0, (char *)gated}};
  if (!is_aligned(packed) || check_matmul(&job, rows, groups, offsets)) return ROOKERY_BAD_ARGUMENT;
  for (size_t g = 0; g < groups; g++) job.row_blocks += ceil_div((size_t)(job.offsets[g + 1] - job.offsets[g]), ROW_BLOCK);
  if (!job.row_blocks) return ROOKERY_OK;
  share_units(&job, job.row_blocks, (size_t)rookery_pool_threads(pool), gated != 0);
  job.unit_stride = panel_bytes(dtype, inner);
  job.half_stride = job.units * job.unit_stride;
  size_t tasks = job.row_blocks * ceil_div(job.units, job.units_per_task);
  if (tasks > INT32_MAX) return ROOKERY_BAD_ARGUMENT;
  rookery_parallel(pool, (int32_t)tasks, multiply_block, &job);
  return gate_afterwards(pool, &job);
}

/* ---- products that pack their weights on the way: each panel once, by the task that multiplies all rows of its group with it ---- */
typedef struct {
  matmul_job matmul;
  unpacked_weight weight;
  char *scratch;
} packing_job;

static void pack_and_multiply(void *context, int32_t task, int32_t thread) {
  const packing_job *job = context;
  const matmul_job *matmul = &job->matmul;
  size_t group = (size_t)task % matmul->groups, unit = (size_t)task / matmul->groups * matmul->units_per_task;
  size_t row = (size_t)matmul->offsets[group], rows = (size_t)matmul->offsets[group + 1] - row, last = smaller(unit + matmul->units_per_task, matmul->units);
  if (!rows) return;
  char *packed = job->scratch + (size_t)thread * matmul->units_per_task * matmul->unit_stride;
  for (size_t u = unit; u < last; u++) {
    for (size_t half = 0; half < matmul->halves; half++) {
      pack_panel(&job->weight, group, u + half * matmul->units, packed + (u - unit) * matmul->unit_stride + half * matmul->half_stride);
    }
  }
  multiply_rows(matmul, row, rows, packed - unit * matmul->unit_stride, unit, last);
}

static void share_packing(matmul_job *job, size_t groups, size_t threads, int is_gated) {
  share_units(job, groups, threads, is_gated);
  job->half_stride = panel_bytes(job->dtype, job->inner);
  job->unit_stride = job->halves * job->half_stride;
}

ROOKERY_API size_t rookery_matmul_packing_scratch_bytes(int32_t dtype, size_t inner, size_t columns, size_t groups, int32_t is_gated, int32_t threads) {
  if (!is_weight(groups, columns, inner) || threads < 1) return 0;
  matmul_job job = {.dtype = dtype, .inner = inner, .target = {.columns = columns}};
  share_packing(&job, groups, (size_t)threads, is_gated);
  return is_array((size_t)threads, job.units_per_task, job.unit_stride) ? (size_t)threads * job.units_per_task * job.unit_stride : 0;
}

ROOKERY_API int32_t rookery_matmul_packing(uintptr_t pool, int32_t dtype, uintptr_t a, uintptr_t weight, int32_t transpose, uintptr_t addend,
                                           uintptr_t c, int32_t c_dtype, uintptr_t gated, size_t rows, size_t inner, size_t columns,
                                           size_t groups, uintptr_t offsets, uintptr_t scratch) {
  packing_job job = {
    .matmul = {.dtype = dtype, .a = (const char *)a, .inner = inner, .target = {c_dtype, columns, (const char *)addend, (char *)c, 0, (char *)gated}},
    .weight = {dtype, transpose, (const float *)weight, transpose ? inner : columns, transpose ? columns : inner},
    .scratch = (char *)scratch,
  };
  if (!weight || !is_aligned(scratch) || check_matmul(&job.matmul, rows, groups, offsets)) return ROOKERY_BAD_ARGUMENT;
  share_packing(&job.matmul, groups, (size_t)rookery_pool_threads(pool), gated != 0);
  size_t tasks = groups * ceil_div(job.matmul.units, job.matmul.units_per_task);
  if (tasks > INT32_MAX) return ROOKERY_BAD_ARGUMENT;
  rookery_parallel(pool, (int32_t)tasks, pack_and_multiply, &job);
  return gate_afterwards(pool, &job.matmul);
}
