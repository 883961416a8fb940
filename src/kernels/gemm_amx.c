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

/* Rows [row, row + rows) of c, columns of the panels [panel, last). */
void matmul_tile_block(const matmul_job *job, size_t row, size_t rows, const char *b, size_t panel, size_t last) {
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
