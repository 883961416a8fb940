/* Words of bf16 in registers of 512 bits: what packs tiles, whoever multiplies them. */
#ifndef ROOKERY_WORDS_H
#define ROOKERY_WORDS_H

#include "vector.h"

/* GCC does not know that a tile load reads memory: without this it may move the stores that fill a buffer past the loads. */
INLINE void settle_stores(void) { __asm__ volatile("" ::: "memory"); }

/* Transposes 16 x 16 words of 32 bits held in registers. */
INLINE void transpose16(__m512i r[16]) {
  __m512i t[16];
  for (int i = 0; i < 16; i += 2) { t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]); t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]); }
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]); r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]); r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int i = 0; i < 4; i++) {
    t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88); t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88); t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
  }
  for (int i = 0; i < 8; i++) {
    r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
  }
}

/* 32 f32 to 32 bf16 in order. */
INLINE __m512i narrow32(__m512 low, __m512 high) { return (__m512i)_mm512_cvtne2ps_pbh(high, low); }

INLINE __mmask16 lanes_below(size_t n) { return n >= 16 ? 0xffff : (__mmask16)((1u << n) - 1); }
INLINE __mmask32 lanes_below32(size_t n) { return n >= 32 ? 0xffffffffu : (__mmask32)((1u << n) - 1); }

INLINE __m512i zip_words(__m512i even, __m512i odd) {
  /* even and odd hold 16 bf16 each in their low halves; the result alternates them */
  __m512i low = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(even));
  __m512i high = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(odd));
  return _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
}

/* Two rows of 32 as pairs: {x0 y0 .. x15 y15} in `low`, the other sixteen in `high`. */
typedef struct { __m512i low, high; } row_pairs;
INLINE row_pairs interleave(__m512i x, __m512i y) {
  const __m512i first = _mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0), second = _mm512_set_epi64(15, 14, 7, 6, 13, 12, 5, 4);
  __m512i lower = _mm512_unpacklo_epi16(x, y), upper = _mm512_unpackhi_epi16(x, y);
  return (row_pairs){_mm512_permutex2var_epi64(lower, first, upper), _mm512_permutex2var_epi64(lower, second, upper)};
}

#endif
