/*
 * Rows times a packed weight, group by group: forward products and input gradients. Every element of the result sums over the
 * inner dimension in one order, whatever the number of rows, so a row's bits do not depend on the rows beside it.
 */
#include "panels.h"
#include "threads.h"

#define ROW_BLOCK 256
#define PANEL_BYTES_IN_CACHE (1024 * 1024) /* weights that stay in the second cache while rows go by */
#define MOST_PANELS 64 /* a task's partial sums, when the inner dimension has several chunks, are this many blocks */

typedef struct {
  int32_t dtype;
  const char *a, *packed;
  sums_target target;
  size_t inner, groups, row_blocks, panels_per_task;
  const int32_t *offsets;
  int32_t all_rows[2];
} matmul_job;

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

/* sums [rows, 32] = a [rows, inner] b [inner, 32]; rows and a_bf16 are constants where this is inlined. */
#if defined(__AVX512F__)
#define ROWS_AT_ONCE 8
#define VECTORS_AT_ONCE 2
#else
#define ROWS_AT_ONCE 2
#define VECTORS_AT_ONCE 1
#endif
INLINE void vector_block(const char *a, int a_bf16, size_t inner, const float *b, size_t rows, float *sums) {
  for (size_t half = 0; half < PANEL / LANES; half += VECTORS_AT_ONCE) {
    f32x16 acc[ROWS_AT_ONCE][VECTORS_AT_ONCE];
    for (size_t r = 0; r < rows; r++) for (size_t v = 0; v < VECTORS_AT_ONCE; v++) acc[r][v] = splat(0);
    for (size_t k = 0; k < inner; k++) {
      f32x16 column[VECTORS_AT_ONCE];
      for (size_t v = 0; v < VECTORS_AT_ONCE; v++) column[v] = load_f32(b + k * PANEL + (half + v) * LANES);
      for (size_t r = 0; r < rows; r++) {
        float x = a_bf16 ? bf16_to_f32(((const bf16 *)a)[r * inner + k]) : ((const float *)a)[r * inner + k];
        for (size_t v = 0; v < VECTORS_AT_ONCE; v++) acc[r][v] = fma16(splat(x), column[v], acc[r][v]);
      }
    }
    for (size_t r = 0; r < rows; r++) for (size_t v = 0; v < VECTORS_AT_ONCE; v++) store_f32(sums + r * PANEL + (half + v) * LANES, acc[r][v]);
  }
}

static void vector_rows(const matmul_job *job, size_t row, size_t rows, size_t column, const float *b) {
  float sums[ROWS_AT_ONCE * PANEL];
  int is_bf16 = job->dtype == ROOKERY_BF16;
  size_t element = is_bf16 ? sizeof(bf16) : sizeof(float);
  for (size_t r = 0; r < rows;) {
    const char *a = job->a + (row + r) * job->inner * element;
    size_t step = rows - r >= ROWS_AT_ONCE ? ROWS_AT_ONCE : 1;
    if (step == 1) is_bf16 ? vector_block(a, 1, job->inner, b, 1, sums) : vector_block(a, 0, job->inner, b, 1, sums);
    else is_bf16 ? vector_block(a, 1, job->inner, b, ROWS_AT_ONCE, sums) : vector_block(a, 0, job->inner, b, ROWS_AT_ONCE, sums);
    store_block(&job->target, sums, row + r, step, column);
    r += step;
  }
}

#ifdef ROOKERY_AMX
/* A chunk of up to 32 rows as A tiles, one after the other: tile loads from the second cache are slow, and slower over a stride. */
static void copy_rows_as_tiles(const bf16 *a, size_t row_elements, size_t rows, size_t inner, bf16 *tiles) {
  for (size_t k = 0; k < inner; k += 32) {
    __mmask32 mask = lanes_below32(inner - k);
    for (size_t r = 0; r < rows; r++) _mm512_store_si512(tiles + k * 32 + r * 32, _mm512_maskz_loadu_epi16(mask, a + r * row_elements + k));
  }
  settle_stores();
}

/* Rows [row, row + rows) of c, columns of the panels [panel, last). */
static void multiply_tiles(const matmul_job *job, size_t row, size_t rows, const char *b, size_t panel, size_t last) {
  _Alignas(64) bf16 tiles[CHUNK_STEPS * 1024];
  _Alignas(64) float sums[2][PANEL * PANEL];
  _Alignas(64) float partial[MOST_PANELS][PANEL * PANEL];
  size_t inner = job->inner, all_steps = ceil_div(inner, 32), bytes = panel_bytes(job->dtype, inner), configured = 0, turn = 0;
  finished_block finished = {0, 0, 0, 0, 0};
  for (size_t r = 0; r < rows; r += 32) {
    size_t count = smaller(rows - r, 32);
    if (count != configured) { configure_tiles(count); configured = count; }
    for (size_t step = 0; step < all_steps; step += CHUNK_STEPS) {
      size_t steps = smaller(all_steps - step, CHUNK_STEPS), k = step * 32;
      copy_rows_as_tiles((const bf16 *)job->a + (row + r) * inner + k, inner, count, smaller(inner - k, steps * 32), tiles);
      int is_last = step + steps == all_steps;
      for (size_t p = panel; p < last; p++) {
        const bf16 *from = (const bf16 *)(b + p * bytes) + step * 1024;
        const float *before = step ? partial[p - panel] : 0;
        float *to = is_last ? sums[turn] : partial[p - panel];
        if (count > 16) multiply_chunk(&job->target, tiles, from, steps, 1, before, to, &finished);
        else multiply_chunk(&job->target, tiles, from, steps, 0, before, to, &finished);
        if (is_last) {
          finished = (finished_block){to, row + r, count, p * PANEL, 0};
          turn ^= 1;
        }
      }
    }
  }
  store_next_rows(&job->target, &finished, PANEL);
  _tile_release();
}
#endif

static void multiply_block(void *context, int32_t task, int32_t thread) {
  (void)thread;
  const matmul_job *job = context;
  size_t group = 0, row = 0, rows = 0;
  find_rows(job, (size_t)task % job->row_blocks, &group, &row, &rows);
  size_t panels = ceil_div(job->target.columns, PANEL), panel = (size_t)task / job->row_blocks * job->panels_per_task;
  size_t last = smaller(panel + job->panels_per_task, panels), bytes = panel_bytes(job->dtype, job->inner);
  const char *b = job->packed + group * panels * bytes;
#ifdef ROOKERY_AMX
  if (uses_tiles(job->dtype)) { multiply_tiles(job, row, rows, b, panel, last); return; }
#endif
  for (; panel < last; panel++) vector_rows(job, row, rows, panel * PANEL, (const float *)(b + panel * bytes));
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
