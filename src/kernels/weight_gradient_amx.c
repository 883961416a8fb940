/* Sums of dy^T x in bf16 on AMX tiles. */
#ifdef ROOKERY_AMX
#include "weight_gradient.h"
#include "tiles.h"

#define FEW_PANELS 16

/*
 * One step (32 rows) of dy becomes A tiles, transposed (16 columns of dy x 32 rows), and of x B tiles (16 row pairs x 16 columns of x).
 * Both lie as packed weights do, [panel of 32 columns][step][2 tiles], so that the sum over steps reads straight on.
 */
void pack_gradient_step(void *context, int32_t task, int32_t thread) {
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
void gradient_tile_rows(const gradient_job *job, size_t group, size_t first_out, size_t last_out) {
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
  finished_block finished = {&target, 0, 0, 0, 0};
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
          multiply_chunk(dy + (row / 32 * all_steps + step) * 1024, x + (p * all_steps + step) * 1024, steps, 1,
                         step ? partial[p - panel] : 0, to, &finished, (coming_rows){0});
          if (!is_last) continue;
          finished = (finished_block){&target, to, row, p * PANEL, smaller(job->out - row, 32)};
          turn ^= 1;
        }
      }
    }
  }
  store_rest(&finished);
  _tile_release();
}
#endif
