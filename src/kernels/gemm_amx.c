/* Rows times packed weights in bf16 on AMX tiles. */
#ifdef ROOKERY_AMX
#include "gemm.h"
#include "tiles.h"

/* A chunk of up to 32 rows as A tiles, one after the other: tile loads from the second cache are slow, and slower over a stride. */
static void copy_rows_as_tiles(const bf16 *a, size_t row_elements, size_t rows, size_t inner, bf16 *tiles) {
  for (size_t k = 0; k < inner; k += 32) {
    __mmask32 mask = lanes_below32(inner - k);
    for (size_t r = 0; r < rows; r++) _mm512_store_si512(tiles + k * 32 + r * 32, _mm512_maskz_loadu_epi16(mask, a + r * row_elements + k));
  }
  settle_stores();
}

void matmul_tile_block(const matmul_job *job, size_t row, size_t rows, const char *b, size_t unit, size_t last) {
  _Alignas(64) bf16 tiles[CHUNK_STEPS * 1024];
  _Alignas(64) float sums[3][PANEL * PANEL]; /* one being made, one on its way to memory, and, if gated, that one's gate */
  _Alignas(64) float partial[MOST_PANELS][PANEL * PANEL];
  size_t inner = job->inner, all_steps = ceil_div(inner, 32), configured = 0, turn = 0;
  size_t panels = (last - unit) * job->halves, coming_a_panel = ceil_div(32, panels);
  const bf16 *a = (const bf16 *)job->a + row * inner;
  finished_block finished = {.target = &job->target};
  for (size_t r = 0; r < rows; r += 32) {
    size_t count = smaller(rows - r, 32);
    if (count != configured) { configure_tiles(count); configured = count; }
    for (size_t step = 0; step < all_steps; step += CHUNK_STEPS) {
      size_t steps = smaller(all_steps - step, CHUNK_STEPS), k = step * 32;
      copy_rows_as_tiles(a + r * inner + k, inner, count, smaller(inner - k, steps * 32), tiles);
      int is_last = step + steps == all_steps;
      /* the chunk after this one: further along the same rows, or the start of the next */
      const bf16 *next = is_last ? a + (r + 32) * inner : a + r * inner + k + steps * 32;
      size_t next_rows = is_last ? smaller(rows - r - count, 32) : count;
      for (size_t i = 0; i < panels; i++) {
        size_t half = i % job->halves, column = (unit + i / job->halves + half * job->units) * PANEL;
        const bf16 *from = (const bf16 *)(b + (unit + i / job->halves) * job->unit_stride + half * job->half_stride) + step * 1024;
        const float *before = step ? partial[i] : 0;
        float *to = is_last ? sums[turn] : partial[i];
        size_t first = smaller(i * coming_a_panel, next_rows);
        coming_rows coming = {(const char *)(next + first * inner), smaller(next_rows - first, coming_a_panel), inner * sizeof(bf16), 64};
        multiply_chunk(tiles, from, steps, count, before, to, &finished, coming);
        if (!is_last) continue;
        finished = (finished_block){&job->target, to, row + r, column, count, half ? sums[(turn + 2) % 3] : 0, 0};
        turn = turn == job->halves ? 0 : turn + 1;
      }
    }
  }
  store_rest(&finished);
  _tile_release();
}
#endif
