/*
 * Rows times a packed weight, group by group: forward products and input gradients. Every element of the result sums over the
 * inner dimension in one order, whatever the number of rows, so a row's bits do not depend on the rows beside it.
 */
#include "gemm.h"
#include "pack.h"
#include "threads.h"

#define ROW_BLOCK 256
#define PANEL_BYTES_IN_CACHE (1024 * 1024) /* weights that stay in the second cache while rows go by */
#define BLOCK_PANELS (PANEL_BYTES_IN_CACHE / (INNER_BLOCK * PANEL * sizeof(bf16)))
#define PASS_ROWS 2048       /* rows that a block goes by before the next takes its place, where blocks are packed on the way */

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

/* Bytes of c's sums that a task carries from one block of the inner dimension to the next. */
static size_t carry_bytes(const matmul_job *job, size_t rows) {
  return inner_block(job->dtype, job->inner) < job->inner ? round_up(rows, 32) * job->units_per_task * job->halves * PANEL * sizeof(float) : 0;
}

/* Without tiles a block is the whole of the inner dimension. */
static void multiply_rows(const matmul_job *job, size_t row, size_t rows, matmul_units units, float *carry) {
#ifdef ROOKERY_TILES
  if (uses_tiles(job->dtype)) { matmul_tile_block(job, row, rows, units, carry); return; }
#endif
  (void)carry;
  matmul_vector_block(job, row, rows, units);
}

static void multiply_block(void *context, int32_t task, int32_t thread) {
  (void)thread;
  const matmul_job *job = context;
  _Alignas(64) float carry[ROW_BLOCK * BLOCK_PANELS * PANEL];
  size_t group = 0, row = 0, rows = 0, unit = (size_t)task / job->row_blocks * job->units_per_task;
  find_rows(job, (size_t)task % job->row_blocks, &group, &row, &rows);
  const char *b = job->packed + group * matrix_bytes(job->dtype, job->inner, job->target.columns);
  for (size_t k = 0, k_end; k < job->inner; k = k_end) {
    k_end = smaller(k + inner_block(job->dtype, job->inner), job->inner);
    size_t bytes = panel_bytes(job->dtype, k_end - k);
    matmul_units units = {b, bytes, job->units * bytes, unit, smaller(unit + job->units_per_task, job->units), k, k_end, 1};
    multiply_rows(job, row, rows, units, carry);
    b += ceil_div(job->target.columns, PANEL) * bytes;
  }
}

/* Units of packed weight that a task reads: what the second cache holds, but enough tasks that no thread waits long for another's last. */
static void share_units(matmul_job *job, size_t blocks, size_t threads, int is_gated) {
  size_t panels = ceil_div(job->target.columns, PANEL);
  job->halves = gates_on_the_way(job->dtype, job->target.columns, is_gated) ? 2 : 1;
  job->units = panels / job->halves;
  size_t most = PANEL_BYTES_IN_CACHE / panel_bytes(job->dtype, inner_block(job->dtype, job->inner));
  most = (most > MOST_PANELS ? MOST_PANELS : most) / job->halves;
  if (!most) most = 1;
  if (threads > 1) most = smaller(most, ceil_div(job->units, ceil_div(4 * threads, blocks)));
  /* evenly: a thread that is left with the longest task makes all others wait */
  job->units_per_task = ceil_div(job->units, ceil_div(job->units, most));
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
                    .target = {c_dtype, columns, (const char *)addend, (char *)c, 0, (char *)gated, 0}};
  if (!is_aligned(packed) || check_matmul(&job, rows, groups, offsets)) return ROOKERY_BAD_ARGUMENT;
  for (size_t g = 0; g < groups; g++) job.row_blocks += ceil_div((size_t)(job.offsets[g + 1] - job.offsets[g]), ROW_BLOCK);
  if (!job.row_blocks) return ROOKERY_OK;
  share_units(&job, job.row_blocks, (size_t)rookery_pool_threads(pool), gated != 0);
  size_t tasks = job.row_blocks * ceil_div(job.units, job.units_per_task);
  if (tasks > INT32_MAX) return ROOKERY_BAD_ARGUMENT;
  rookery_parallel(pool, (int32_t)tasks, multiply_block, &job);
  return gate_afterwards(pool, &job);
}

/* ---- products that pack their weights on the way: each panel once, by the task that multiplies all rows of its group with it ---- */
typedef struct {
  matmul_job matmul;
  unpacked_weight weight;
  char *scratch; /* [threads, thread_bytes]: packed units, and what is carried */
  size_t thread_bytes;
} packing_job;

/* Packs a block of a task's units to the start of its scratch. */
static matmul_units pack_units(const packing_job *job, size_t group, size_t unit, size_t k, char *to) {
  const matmul_job *matmul = &job->matmul;
  size_t k_end = smaller(k + inner_block(matmul->dtype, matmul->inner), matmul->inner), bytes = panel_bytes(matmul->dtype, k_end - k);
  size_t stride = matmul->halves * bytes;
  matmul_units units = {to - unit * stride, stride, bytes, unit, smaller(unit + matmul->units_per_task, matmul->units), k, k_end, 0};
  pack_panels(&job->weight, group, (panel_set){unit, units.last - unit, matmul->halves, matmul->units}, k, k_end, to, bytes);
  return units;
}

/* Bytes of a task's packed units, and of what it carries: several blocks are packed again for every so many rows. */
static size_t packed_bytes(const matmul_job *job) {
  return job->units_per_task * job->halves * panel_bytes(job->dtype, inner_block(job->dtype, job->inner));
}

static void pack_and_multiply(void *context, int32_t task, int32_t thread) {
  const packing_job *job = context;
  const matmul_job *matmul = &job->matmul;
  size_t group = (size_t)task % matmul->groups, unit = (size_t)task / matmul->groups * matmul->units_per_task;
  size_t row = (size_t)matmul->offsets[group], end = (size_t)matmul->offsets[group + 1];
  char *packed = job->scratch + (size_t)thread * job->thread_bytes;
  float *carry = (float *)(packed + packed_bytes(matmul));
  size_t block = inner_block(matmul->dtype, matmul->inner), pass = block < matmul->inner ? PASS_ROWS : end - row;
  for (; row < end; row += pass) {
    for (size_t k = 0; k < matmul->inner; k += block) {
      matmul_units units = pack_units(job, group, unit, k, packed);
      multiply_rows(matmul, row, smaller(end - row, pass), units, carry);
    }
  }
}

static void share_packing(packing_job *job, size_t groups, size_t threads, int is_gated) {
  share_units(&job->matmul, groups, threads, is_gated);
  job->thread_bytes = packed_bytes(&job->matmul) + carry_bytes(&job->matmul, PASS_ROWS);
}

ROOKERY_API size_t rookery_matmul_packing_scratch_bytes(int32_t dtype, size_t inner, size_t columns, size_t groups, int32_t is_gated, int32_t threads) {
  if (!is_weight(groups, columns, inner) || threads < 1) return 0;
  packing_job job = {.matmul = {.dtype = dtype, .inner = inner, .target = {.columns = columns}}};
  share_packing(&job, groups, (size_t)threads, is_gated);
  return is_array((size_t)threads, job.thread_bytes, 1) ? (size_t)threads * job.thread_bytes : 0;
}

ROOKERY_API int32_t rookery_matmul_packing(uintptr_t pool, int32_t dtype, uintptr_t a, uintptr_t weight, int32_t transpose, uintptr_t addend,
                                           uintptr_t c, int32_t c_dtype, uintptr_t gated, size_t rows, size_t inner, size_t columns,
                                           size_t groups, uintptr_t offsets, uintptr_t scratch) {
  packing_job job = {
    .matmul = {.dtype = dtype, .a = (const char *)a, .inner = inner, .target = {c_dtype, columns, (const char *)addend, (char *)c, 0, (char *)gated, 0}},
    .weight = {dtype, transpose, (const float *)weight, transpose ? inner : columns, transpose ? columns : inner},
    .scratch = (char *)scratch,
  };
  if (!weight || !is_aligned(scratch) || check_matmul(&job.matmul, rows, groups, offsets)) return ROOKERY_BAD_ARGUMENT;
  share_packing(&job, groups, (size_t)rookery_pool_threads(pool), gated != 0);
  size_t tasks = groups * ceil_div(job.matmul.units, job.matmul.units_per_task);
  if (tasks > INT32_MAX) return ROOKERY_BAD_ARGUMENT;
  rookery_parallel(pool, (int32_t)tasks, pack_and_multiply, &job);
  return gate_afterwards(pool, &job.matmul);
}
