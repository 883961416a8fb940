/* Gradients of weights: sums of dy^T x over the rows of each group. The rows are packed into tiles first, as weights are. */
#include "panels.h"
#include "threads.h"

#define OUT_BLOCK 64
#define FEW_PANELS 16
#if defined(__AVX512F__)
#define ROWS_AT_ONCE 8
#else
#define ROWS_AT_ONCE 2
#endif

typedef struct {
  int32_t dtype, accumulate;
  const char *dy, *x;
  float *gradient;
  size_t out, in, groups, out_blocks;
  const int32_t *offsets;
  int32_t all_rows[2];
  bf16 *dy_tiles, *x_tiles;
} gradient_job;

#ifdef ROOKERY_AMX
/* Rows of a group are packed in steps of 32, each group from a step of its own: steps before group g. */
static size_t steps_before(const gradient_job *job, size_t group) {
  size_t steps = 0;
  for (size_t g = 0; g < group; g++) steps += ceil_div((size_t)(job->offsets[g + 1] - job->offsets[g]), 32);
  return steps;
}

/*
 * One step (32 rows) of dy becomes A tiles, transposed (16 columns of dy x 32 rows), and of x B tiles (16 row pairs x 16 columns of x).
 * Both lie as packed weights do, [panel of 32 columns][step][2 tiles], so that the sum over steps reads straight on.
 */
static void pack_step(void *context, int32_t task, int32_t thread) {
  (void)thread;
  const gradient_job *job = context;
  size_t group = 0, step = (size_t)task, first_step = 0, steps;
  for (;; group++) {
    steps = ceil_div((size_t)(job->offsets[group + 1] - job->offsets[group]), 32);
    if (step < steps) break;
    step -= steps;
    first_step += steps;
  }
  size_t row = (size_t)job->offsets[group] + step * 32, rows = smaller((size_t)job->offsets[group + 1] - row, 32);
  size_t out_tiles = ceil_div(job->out, 32) * 2, in_tiles = ceil_div(job->in, PANEL) * 2;
  const bf16 *dy = (const bf16 *)job->dy + row * job->out, *x = (const bf16 *)job->x + row * job->in;
  bf16 *dy_to = job->dy_tiles + first_step * out_tiles * 512, *x_to = job->x_tiles + first_step * in_tiles * 512;
  for (size_t tile = 0; tile < out_tiles; tile++) {
    size_t column = tile * 16, left = column < job->out ? smaller(job->out - column, 16) : 0;
    __mmask32 mask = lanes_below32(left);
    __m512i r[16];
    for (size_t pair = 0; pair < 16; pair++) {
      __m512i even = 2 * pair < rows ? _mm512_maskz_loadu_epi16(mask, dy + 2 * pair * job->out + column) : _mm512_setzero_si512();
      __m512i odd = 2 * pair + 1 < rows ? _mm512_maskz_loadu_epi16(mask, dy + (2 * pair + 1) * job->out + column) : _mm512_setzero_si512();
      r[pair] = zip_words(even, odd);
    }
    transpose16(r);
    bf16 *to = dy_to + ((tile / 2 * steps + step) * 2 + tile % 2) * 512;
    for (int c = 0; c < 16; c++) _mm512_store_si512(to + c * 32, r[c]);
  }
  for (size_t tile = 0; tile < in_tiles; tile++) {
    size_t column = tile * 16, left = column < job->in ? smaller(job->in - column, 16) : 0;
    __mmask32 mask = lanes_below32(left);
    bf16 *to = x_to + ((tile / 2 * steps + step) * 2 + tile % 2) * 512;
    for (size_t pair = 0; pair < 16; pair++) {
      __m512i even = 2 * pair < rows ? _mm512_maskz_loadu_epi16(mask, x + 2 * pair * job->in + column) : _mm512_setzero_si512();
      __m512i odd = 2 * pair + 1 < rows ? _mm512_maskz_loadu_epi16(mask, x + (2 * pair + 1) * job->in + column) : _mm512_setzero_si512();
      _mm512_store_si512(to + pair * 32, zip_words(even, odd));
    }
  }
}

/* Rows [first_out, last_out) of a group's gradient. */
static void gradient_tiles(const gradient_job *job, size_t group, size_t first_out, size_t last_out) {
  _Alignas(64) float sums[2][PANEL * PANEL];
  _Alignas(64) float partial[FEW_PANELS][PANEL * PANEL];
  float *gradient = job->gradient + group * job->out * job->in;
  size_t all_steps = ceil_div((size_t)(job->offsets[group + 1] - job->offsets[group]), 32), before = steps_before(job, group), turn = 0;
  if (!all_steps) {
    if (!job->accumulate) memset(gradient + first_out * job->in, 0, (last_out - first_out) * job->in * sizeof(float));
    return;
  }
  size_t panels = ceil_div(job->in, PANEL);
  const bf16 *dy = job->dy_tiles + before * ceil_div(job->out, PANEL) * 1024, *x = job->x_tiles + before * panels * 1024;
  sums_target target = {ROOKERY_F32, job->in, job->accumulate ? (char *)gradient : 0, (char *)gradient};
  finished_block finished = {0, 0, 0, 0, 0};
  configure_tiles(32);
  /* A wide x: a panel of it is read once for all rows of this task. A narrow one: all its panels, chunk by chunk. */
  int is_wide = panels > FEW_PANELS || job->in > job->out;
  size_t chunk = is_wide ? all_steps : CHUNK_STEPS, set = is_wide ? 1 : FEW_PANELS;
  for (size_t panel = 0; panel < panels; panel += set) {
    for (size_t row = first_out; row < last_out; row += 32) {
      for (size_t step = 0; step < all_steps; step += chunk) {
        size_t steps = smaller(all_steps - step, chunk);
        int is_last = step + steps == all_steps;
        for (size_t p = panel; p < smaller(panel + set, panels); p++) {
          float *to = is_last ? sums[turn] : partial[p - panel];
          multiply_chunk(&target, dy + (row / 32 * all_steps + step) * 1024, x + (p * all_steps + step) * 1024, steps, 1,
                         step ? partial[p - panel] : 0, to, &finished);
          if (!is_last) continue;
          finished = (finished_block){to, row, smaller(job->out - row, 32), p * PANEL, 0};
          turn ^= 1;
        }
      }
    }
  }
  store_next_rows(&target, &finished, PANEL);
  _tile_release();
}
#endif

INLINE void gradient_rows(const gradient_job *job, size_t group, size_t out_row, size_t rows, size_t column, size_t columns, int is_bf16) {
  f32x16 acc[ROWS_AT_ONCE];
  for (size_t r = 0; r < rows; r++) acc[r] = splat(0);
  for (size_t m = (size_t)job->offsets[group]; m < (size_t)job->offsets[group + 1]; m++) {
    size_t at = m * job->in + column;
    f32x16 x = columns == LANES ? load_any(job->x, at, is_bf16) : load_any_tail(job->x, at, columns, is_bf16);
    for (size_t r = 0; r < rows; r++) {
      size_t from = m * job->out + out_row + r;
      float dy = is_bf16 ? bf16_to_f32(((const bf16 *)job->dy)[from]) : ((const float *)job->dy)[from];
      acc[r] = fma16(splat(dy), x, acc[r]);
    }
  }
  for (size_t r = 0; r < rows; r++) {
    float *to = job->gradient + (group * job->out + out_row + r) * job->in + column;
    if (columns == LANES) store_f32(to, job->accumulate ? load_f32(to) + acc[r] : acc[r]);
    else store_f32_tail(to, job->accumulate ? load_f32_tail(to, columns) + acc[r] : acc[r], columns);
  }
}

static void gradient_block(void *context, int32_t task, int32_t thread) {
  (void)thread;
  const gradient_job *job = context;
  size_t group = (size_t)task / job->out_blocks, row = (size_t)task % job->out_blocks * OUT_BLOCK;
  size_t last = smaller(row + OUT_BLOCK, job->out);
#ifdef ROOKERY_AMX
  if (uses_tiles(job->dtype)) { gradient_tiles(job, group, row, last); return; }
#endif
  int is_bf16 = job->dtype == ROOKERY_BF16;
  while (row < last) {
    size_t rows = last - row >= ROWS_AT_ONCE ? ROWS_AT_ONCE : 1;
    for (size_t column = 0; column < job->in; column += LANES) {
      size_t columns = smaller(job->in - column, LANES);
      if (rows == 1) is_bf16 ? gradient_rows(job, group, row, 1, column, columns, 1) : gradient_rows(job, group, row, 1, column, columns, 0);
      else is_bf16 ? gradient_rows(job, group, row, ROWS_AT_ONCE, column, columns, 1) : gradient_rows(job, group, row, ROWS_AT_ONCE, column, columns, 0);
    }
    row += rows;
  }
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
  gradient_job job = {dtype, accumulate, (const char *)dy, (const char *)x, (float *)weight_gradient, out, in, groups, ceil_div(out, OUT_BLOCK), 0, {0, (int32_t)rows}, 0, 0};
  job.offsets = offsets ? (const int32_t *)offsets : job.all_rows;
  if (!offsets_are_sound(job.offsets, groups, rows)) return ROOKERY_BAD_ARGUMENT;
#ifdef ROOKERY_AMX
  if (uses_tiles(dtype)) {
    size_t steps = steps_before(&job, groups);
    job.dy_tiles = (bf16 *)scratch;
    job.x_tiles = job.dy_tiles + steps * ceil_div(out, 32) * 2 * 512;
    rookery_parallel(pool, (int32_t)steps, pack_step, &job);
  }
#endif
  rookery_parallel(pool, (int32_t)(groups * job.out_blocks), gradient_block, &job);
  return ROOKERY_OK;
}
