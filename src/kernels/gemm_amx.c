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

/* Of the i-th panel of a task, where the part from k on lies. */
INLINE const bf16 *panel_at(const matmul_job *job, const matmul_units *units, size_t i, size_t k) {
  const char *unit = units->b + (units->unit + i / job->halves) * units->unit_stride;
  return (const bf16 *)(unit + i % job->halves * units->half_stride) + (k - units->k) * 32;
}

void matmul_tile_block(const matmul_job *job, size_t row, size_t rows, matmul_units units, float *carry) {
  _Alignas(64) bf16 tiles[CHUNK_STEPS * 1024];
  _Alignas(64) float sums[3][PANEL * PANEL]; /* one being made, one on its way to memory, and, if gated, that one's gate */
  _Alignas(64) float partial[MOST_PANELS][PANEL * PANEL];
  size_t inner = job->inner, configured = 0, turn = 0;
  size_t panels = (units.last - units.unit) * job->halves, coming_a_panel = ceil_div(32, panels);
  const bf16 *a = (const bf16 *)job->a + row * inner;
  tile_run run = {.finished = {.target = &job->target}};
  for (size_t r = 0; r < rows; r += 32) {
    size_t count = smaller(rows - r, 32);
    if (count != configured) {
      store_tiles(&run, configured);
      configure_tiles(count);
      configured = count;
    }
    float *carried = carry + r / 32 * panels * PANEL * PANEL;
    for (size_t k = units.k; k < units.k_end; k += CHUNK_STEPS * 32) {
      size_t next_k = smaller(k + CHUNK_STEPS * 32, units.k_end), steps = ceil_div(next_k - k, 32);
      copy_rows_as_tiles(a + r * inner + k, inner, count, next_k - k, tiles);
      int is_last = next_k == inner, is_end = next_k == units.k_end;
      /* the chunk after this one: further along the same rows, or the start of the next */
      const bf16 *next = is_end ? a + (r + 32) * inner + units.k : a + r * inner + next_k;
      size_t next_rows = is_end ? smaller(rows - r - count, 32) : count;
      for (size_t i = 0; i < panels; i++) {
        size_t half = i % job->halves, column = (units.unit + i / job->halves + half * job->units) * PANEL;
        const bf16 *from = panel_at(job, &units, i, k);
        const float *before = !k ? 0 : k == units.k ? carried + i * PANEL * PANEL : partial[i];
        float *to = is_last ? sums[turn] : is_end ? carried + i * PANEL * PANEL : partial[i];
        coming_rows coming;
        if (r == 0 && units.is_cold) {
          /* the first rows meet the weight as it comes from memory, at a chunk's distance */
          coming = (coming_rows){(const char *)panel_at(job, &units, i + 1 < panels ? i + 1 : 0, i + 1 < panels ? k : next_k), 32, 64, 2048};
        } else {
          size_t first = smaller(i * coming_a_panel, next_rows);
          coming = (coming_rows){(const char *)(next + first * inner), smaller(next_rows - first, coming_a_panel), inner * sizeof(bf16), 64};
        }
        multiply_chunk(&run, tiles, from, steps, count, before, to, coming);
        if (!is_last) continue;
        run.finished = (finished_block){&job->target, to, row + r, column, count, half ? sums[(turn + 2) % 3] : 0, 0};
        turn = turn == job->halves ? 0 : turn + 1;
      }
    }
  }
  store_rest(&run, configured);
  _tile_release();
}
#endif
