/* Rows times packed weights in bf16, in tiles. */
#ifdef ROOKERY_TILES
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

INLINE size_t column_of(const matmul_job *job, const matmul_units *units, size_t i) {
  return (units->unit + i / job->halves + i % job->halves * job->units) * PANEL;
}

/*
 * The first rows meet the weight as it comes from memory, and do so panel by panel: memory is read in one go, and a step ahead is then the best
 * distance (37 GB/s of two cores; from 4 KiB on, or in pieces of a chunk, 27 to 32).
 */
static void multiply_first_rows(const matmul_job *job, size_t row, size_t rows, matmul_units units, float *carry) {
  _Alignas(64) bf16 tiles[MOST_WHOLE_INNER / 32 * 1024];
  _Alignas(64) float sums[3][PANEL * PANEL];
  size_t steps = ceil_div(units.k_end - units.k, 32), panels = (units.last - units.unit) * job->halves, turn = 0;
  tile_run run = {.finished = {.target = &job->target}};
  configure_tiles(rows);
  copy_rows_as_tiles((const bf16 *)job->a + row * job->inner + units.k, job->inner, rows, units.k_end - units.k, tiles);
  for (size_t i = 0; i < panels; i++) {
    const bf16 *from = panel_at(job, &units, i, units.k);
    float *carried = carry + i * PANEL * PANEL, *to = units.k_end == job->inner ? sums[turn] : carried;
    multiply_chunk(&run, tiles, from, steps, rows, units.k ? carried : 0, to, (coming_rows){(const char *)(from + 1024), 32, 64, 2048});
    if (units.k_end != job->inner) continue;
    run.finished = (finished_block){&job->target, to, row, column_of(job, &units, i), rows, i % job->halves ? sums[(turn + 2) % 3] : 0, 0};
    turn = turn == job->halves ? 0 : turn + 1;
  }
  store_rest(&run, rows);
}

void matmul_tile_block(const matmul_job *job, size_t row, size_t rows, matmul_units units, float *carry) {
  _Alignas(64) bf16 tiles[CHUNK_STEPS * 1024];
  _Alignas(64) float sums[3][PANEL * PANEL]; /* one being made, one on its way to memory, and, if gated, that one's gate */
  _Alignas(64) float partial[MOST_PANELS][PANEL * PANEL];
  size_t inner = job->inner, configured = 0, turn = 0, first = 0;
  size_t panels = (units.last - units.unit) * job->halves, coming_a_panel = ceil_div(32, panels);
  const bf16 *a = (const bf16 *)job->a + row * inner;
  tile_run run = {.finished = {.target = &job->target}};
  if (units.is_cold) {
    first = smaller(rows, 32);
    multiply_first_rows(job, row, first, units, carry);
  }
  for (size_t r = first; r < rows; r += 32) {
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
        size_t half = i % job->halves, column = column_of(job, &units, i);
        const bf16 *from = panel_at(job, &units, i, k);
        const float *before = !k ? 0 : k == units.k ? carried + i * PANEL * PANEL : partial[i];
        float *to = is_last ? sums[turn] : is_end ? carried + i * PANEL * PANEL : partial[i];
        size_t next_first = smaller(i * coming_a_panel, next_rows);
        coming_rows coming = {(const char *)(next + next_first * inner), smaller(next_rows - next_first, coming_a_panel), inner * sizeof(bf16), 64};
        multiply_chunk(&run, tiles, from, steps, count, before, to, coming);
        if (!is_last) continue;
        run.finished = (finished_block){&job->target, to, row + r, column, count, half ? sums[(turn + 2) % 3] : 0, 0};
        turn = turn == job->halves ? 0 : turn + 1;
      }
    }
  }
  store_rest(&run, configured);
  release_tiles();
}
#endif
