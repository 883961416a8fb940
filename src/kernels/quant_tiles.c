/*
 * Rows times weights of 8 or 4 bits in tiles. A few rows: each step of a panel is widened to bf16 in the first cache just before its tiles
 * are loaded, so that a weight's way from memory is its codes alone. Many rows: a task's panels are widened once, and all rows go by them, as
 * gemm_tiles.c has it where columns have one scale.
 * What differs between columns alone (scales of 8-bit weights) is applied to sums; scales of segments to the sums of a segment.
 */
#ifdef ROOKERY_TILES
#include "gemm.h"
#include "quant.h"
#include "tile_steps.h"

#define RING 4        /* steps that are widened and not yet multiplied lie in this many places */
#define AHEAD 2
#define FETCH_BYTES 8192 /* codes are asked for so far ahead, a line at a time: a burst of requests would hold up the loads behind it */

/* FP8 numbers at bits 15 and 10-4 of words, as bf16. Numbers under 2^-6 are rare among weights, and looked up. */
INLINE __m512i place_exponents(__m512i v) {
  __mmask32 normal = _mm512_test_epi16_mask(v, _mm512_set1_epi16(0x780));
  __m512i bits = _mm512_add_epi16(v, _mm512_set1_epi16(120 << 7));
  if (__builtin_expect(normal == 0xffffffffu, 1)) return bits;
  const __m512i small = _mm512_castsi128_si512(_mm_set_epi16(0x3c60, 0x3c40, 0x3c20, 0x3c00, 0x3bc0, 0x3b80, 0x3b00, 0));
  __m512i index = _mm512_and_si512(_mm512_srli_epi16(v, 4), _mm512_set1_epi16(7));
  __m512i found = _mm512_or_si512(_mm512_permutexvar_epi16(index, small), _mm512_and_si512(v, _mm512_set1_epi16((short)0x8000)));
  return _mm512_mask_mov_epi16(found, normal, bits);
}

INLINE void fetch(const uint8_t *codes) { _mm_prefetch((const char *)codes + FETCH_BYTES, _MM_HINT_T1); }

/* 32 codes of INT8 in bf16. By fp16 it takes two thirds of the time: normal numbers have the bits of bf16 there, but for the exponent's bias. */
INLINE __m512i widen_bytes(__m256i codes) {
#ifdef __AVX512FP16__
  __m512i half = (__m512i)_mm512_cvtepu16_ph(_mm512_cvtepu8_epi16(codes));
  return _mm512_add_epi16(_mm512_srli_epi16(half, 3), _mm512_set1_epi16((127 - 15) << 7));
#else
  __m512 low = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm256_castsi256_si128(codes)));
  return narrow32(low, _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm256_extracti128_si256(codes, 1))));
#endif
}

/* A step's codes as two B tiles, one after the other. INT8 codes stay above zero, 1 to 255, so that none is rare; scaled_sums takes the excess off. */
INLINE void widen_step(int32_t format, const uint8_t *codes, bf16 *to) {
  if (format == ROOKERY_QUANT_INT8) {
    for (size_t row = 0; row < 32; row++, codes += 32) {
      if (row % 2 == 0) fetch(codes);
      _mm512_store_si512(to + row * 32, widen_bytes(_mm256_load_si256((const __m256i *)codes)));
    }
  } else if (format == ROOKERY_QUANT_FP8) {
    const __m512i mask = _mm512_set1_epi16((short)0x87f0);
    for (size_t row = 0; row < 32; row += 2, codes += 64) {
      fetch(codes);
      __m512i words = _mm512_loadu_si512(codes);
      __m512i first = _mm512_and_si512(_mm512_srai_epi16(_mm512_slli_epi16(words, 8), 4), mask);
      __m512i second = _mm512_and_si512(_mm512_srai_epi16(words, 4), mask);
      _mm512_store_si512(to + row * 32, place_exponents(first));
      _mm512_store_si512(to + row * 32 + 32, place_exponents(second));
    }
  } else {
    /* -8 to 7 in bf16, twice: what stands above a nibble moves the index by 16 */
    const __m512i table = _mm512_broadcast_i64x4(_mm256_setr_epi16((short)0xc100, (short)0xc0e0, (short)0xc0c0, (short)0xc0a0, (short)0xc080, (short)0xc040,
      (short)0xc000, (short)0xbf80, 0, 0x3f80, 0x4000, 0x4040, 0x4080, 0x40a0, 0x40c0, 0x40e0));
    for (size_t row = 0; row < 32; row += 4, codes += 64) {
      fetch(codes);
      __m512i words = _mm512_loadu_si512(codes);
      _mm512_store_si512(to + row * 32, _mm512_permutexvar_epi16(words, table));
      _mm512_store_si512(to + row * 32 + 32, _mm512_permutexvar_epi16(_mm512_srli_epi16(words, 4), table));
      _mm512_store_si512(to + row * 32 + 64, _mm512_permutexvar_epi16(_mm512_srli_epi16(words, 8), table));
      _mm512_store_si512(to + row * 32 + 96, _mm512_permutexvar_epi16(_mm512_srli_epi16(words, 12), table));
    }
  }
}

/* sums += a segment's, to its scales. */
INLINE void add_segment(const float *made, const float *scales, size_t rows, float *sums) {
  f32_lanes low = load_f32(scales), high = load_f32(scales + LANES);
  for (size_t r = 0; r < rows; r++, made += PANEL, sums += PANEL) {
    store_f32(sums, vector_fma(load_f32(made), low, load_f32(sums)));
    store_f32(sums + LANES, vector_fma(load_f32(made + LANES), high, load_f32(sums + LANES)));
  }
}

/* Sums of up to 32 rows and a panel, its codes widened on the way. */
INLINE void stream_panel(int32_t format, int lower, const bf16 *a, size_t rows, const uint8_t *codes, const float *scales, size_t steps,
                         size_t segment_steps, float *sums) {
  _Alignas(64) bf16 ring[RING][STEP * PANEL];
  _Alignas(64) float of_segment[ROW_BLOCK_TILES * PANEL];
  float *made = format == ROOKERY_QUANT_INT4 ? of_segment : sums;
  size_t bytes = step_bytes(format), left = segment_steps;
  if (format == ROOKERY_QUANT_INT4) memset(sums, 0, rows * PANEL * sizeof(float));
  clear_sums(made, rows, lower);
  for (size_t s = 0; s < steps + AHEAD; s++) {
    if (s < steps) {
      widen_step(format, codes + s * bytes, ring[s % RING]);
      settle_stores();
    }
    if (s < AHEAD) continue;
    add_step(a + (s - AHEAD) * rows * STEP, ring[(s - AHEAD) % RING], rows, lower, made);
    if (format != ROOKERY_QUANT_INT4 || --left) continue;
    finish_sums(made, lower);
    add_segment(made, scales, rows, sums);
    scales += PANEL;
    left = segment_steps;
    clear_sums(made, rows, lower);
  }
  if (format != ROOKERY_QUANT_INT4) finish_sums(sums, lower);
}

/* The same sums of INT4, of segment after segment for all panels of a task, already widened: `sums` [panels][32][32]. */
static void multiply_segments(const quant_job *job, const bf16 *a, size_t rows, const bf16 *b, const float *scales, size_t panels, float *sums) {
  _Alignas(64) float made[ROW_BLOCK_TILES * PANEL];
  size_t steps = quant_steps(&job->weight), segments = quant_segments(&job->weight), segment_steps = ceil_div(job->weight.segment, STEP);
  int lower = rows > 16;
  for (size_t segment = 0; segment < segments; segment++) {
    size_t begin = segment * segment_steps, end = smaller(begin + segment_steps, steps);
    for (size_t p = 0; p < panels; p++) {
      float *to = sums + p * ROW_BLOCK_TILES * PANEL;
      if (!segment) memset(to, 0, rows * PANEL * sizeof(float));
      clear_sums(made, rows, lower);
      for (size_t i = begin; i < end; i++) add_step(a + i * rows * STEP, b + (p * steps + i) * STEP * PANEL, rows, lower, made);
      finish_sums(made, lower);
      add_segment(made, scales + (p * segments + segment) * PANEL, rows, to);
    }
  }
}

static void stream_panels(const quant_job *job, const sums_target *target, size_t group, size_t first, size_t last, size_t row, size_t rows) {
  _Alignas(64) float sums[ROW_BLOCK_TILES * PANEL];
  const quant_weight *w = &job->weight;
  size_t steps = quant_steps(w), segment_steps = ceil_div(w->segment, STEP);
  const bf16 *a = job->tiles + row * steps * STEP;
  configure_tiles(rows);
  for (size_t p = first; p < last; p++) {
    const uint8_t *codes = quant_panel(w, group, p);
    const float *scales = quant_panel_scales(w, group, p);
#define STREAM(format, lower) stream_panel(format, lower, a, rows, codes, scales, steps, segment_steps, sums); break
    switch (w->format * 2 + (rows > 16)) {
      case ROOKERY_QUANT_FP8 * 2: STREAM(ROOKERY_QUANT_FP8, 0);
      case ROOKERY_QUANT_FP8 * 2 + 1: STREAM(ROOKERY_QUANT_FP8, 1);
      case ROOKERY_QUANT_INT8 * 2: STREAM(ROOKERY_QUANT_INT8, 0);
      case ROOKERY_QUANT_INT8 * 2 + 1: STREAM(ROOKERY_QUANT_INT8, 1);
      case ROOKERY_QUANT_INT4 * 2: STREAM(ROOKERY_QUANT_INT4, 0);
      default: STREAM(ROOKERY_QUANT_INT4, 1);
    }
#undef STREAM
    store_block(target, sums, row, rows, p * PANEL);
  }
}

static void widen_panels(const quant_weight *w, size_t group, size_t first, size_t last, bf16 *to) {
  size_t steps = quant_steps(w), bytes = step_bytes(w->format);
  for (size_t p = first; p < last; p++) {
    const uint8_t *codes = quant_panel(w, group, p);
    for (size_t s = 0; s < steps; s++, codes += bytes, to += STEP * PANEL) {
      if (w->format == ROOKERY_QUANT_FP8) widen_step(ROOKERY_QUANT_FP8, codes, to);
      else if (w->format == ROOKERY_QUANT_INT8) widen_step(ROOKERY_QUANT_INT8, codes, to);
      else widen_step(ROOKERY_QUANT_INT4, codes, to);
    }
  }
  settle_stores();
}

static void multiply_widened(const quant_job *job, const sums_target *target, size_t group, size_t first, size_t last, bf16 *widened) {
  const quant_weight *w = &job->weight;
  size_t row = (size_t)job->offsets[group], end = (size_t)job->offsets[group + 1], bytes = quant_steps(w) * STEP * PANEL * sizeof(bf16);
  for (size_t unit = first; unit < last; unit++) {
    for (size_t half = 0; half < job->halves; half++) {
      size_t panel = unit + half * job->units;
      widen_panels(w, group, panel, panel + 1, widened + ((unit - first) * job->halves + half) * (bytes / sizeof(bf16)));
    }
  }
  matmul_job product = {.dtype = ROOKERY_BF16, .a = job->a, .target = *target, .inner = w->inner, .units = job->units, .halves = job->halves};
  if (job->rounds) product.a = (const char *)(job->tiles + row * round_up(w->inner, STEP) - row * w->inner);
  size_t unit_bytes = job->halves * bytes;
  matmul_units units = {(const char *)widened - first * unit_bytes, unit_bytes, bytes, first, last, 0, w->inner, 0};
  matmul_tile_block(&product, row, end - row, units, 0);
}

static void multiply_by_segments(const quant_job *job, const sums_target *target, size_t group, size_t first, size_t last, bf16 *widened) {
  _Alignas(64) float sums[MOST_TASK_PANELS * ROW_BLOCK_TILES * PANEL];
  const quant_weight *w = &job->weight;
  size_t row = (size_t)job->offsets[group], end = (size_t)job->offsets[group + 1], configured = 0;
  widen_panels(w, group, first, last, widened);
  for (size_t rows; row < end; row += rows) {
    rows = smaller(end - row, ROW_BLOCK_TILES);
    if (rows != configured) configure_tiles(rows);
    configured = rows;
    multiply_segments(job, job->tiles + row * round_up(w->inner, STEP), rows, widened, quant_panel_scales(w, group, first), last - first, sums);
    for (size_t p = first; p < last; p++) store_block(target, sums + (p - first) * ROW_BLOCK_TILES * PANEL, row, rows, p * PANEL);
  }
  release_tiles();
}

void quant_tile_units(const quant_job *job, size_t group, size_t first, size_t last, bf16 *scratch) {
  const quant_weight *w = &job->weight;
  size_t row = (size_t)job->offsets[group], rows = (size_t)job->offsets[group + 1] - row;
  int by_segment = w->format == ROOKERY_QUANT_INT4;
  sums_scales scales = {by_segment ? 0 : quant_panel_scales(w, group, 0), job->row_scales, w->format == ROOKERY_QUANT_INT8 ? job->row_sums : 0, INT8_ZERO};
  sums_target target = job->target;
  if (!by_segment || job->row_scales) target.scales = &scales;
  if (rows <= ROW_BLOCK_TILES) {
    for (size_t half = 0; half < job->halves; half++) {
      stream_panels(job, &target, group, first + half * job->units, last + half * job->units, row, rows);
    }
    release_tiles();
  } else if (by_segment) {
    multiply_by_segments(job, &target, group, first, last, scratch);
  } else {
    multiply_widened(job, &target, group, first, last, scratch);
  }
}
#endif
