/*
 * 8-bit floats of the OCP format E4M3: sign, 4 bits of exponent (bias 7), 3 of mantissa; no infinity, all ones is NaN. A KV cache
 * keeps them: every one is exact in bf16 and f32, so that attention computes with them as with any other key.
 */
#ifndef ROOKERY_FP8_H
#define ROOKERY_FP8_H

#include "vector.h"

typedef uint8_t u8_lanes __attribute__((vector_size(LANES)));

INLINE f32_lanes widen_fp8(u8_lanes v) {
#if defined(__AVX512F__)
  u32_lanes w = (u32_lanes)_mm512_cvtepu8_epi32((__m128i)v);
#else
  u32_lanes w = __builtin_convertvector(v, u32_lanes);
#endif
  u32_lanes magnitude = w & 0x7fu, sign = (w & 0x80u) << 24;
  u32_lanes normal = (magnitude << 20) + (120u << 23);
  /* the numbers under 2^-6 are multiples of 2^-9 */
  f32_lanes small = __builtin_convertvector((i32_lanes)magnitude, f32_lanes) * splat(0x1p-9f);
  u32_lanes bits = (u32_lanes)select((i32_lanes)(magnitude < 8u), small, (f32_lanes)normal);
  bits = (u32_lanes)select((i32_lanes)(magnitude == 0x7fu), splat(__builtin_nanf("")), (f32_lanes)bits);
  return (f32_lanes)(bits | sign);
}

/* Round to nearest, ties to even; what is larger than 448 becomes 448, a NaN stays one. */
INLINE u8_lanes narrow_fp8(f32_lanes v) {
  u32_lanes bits = (u32_lanes)v, sign = (bits >> 24) & 0x80u;
  f32_lanes magnitude = vector_min(splat(448.0f), (f32_lanes)(bits & 0x7fffffffu)); /* in this order a NaN passes */
  u32_lanes u = (u32_lanes)magnitude;
  u32_lanes normal = ((u + 0x7ffffu + ((u >> 20) & 1u)) >> 20) - (120u << 3);
  /* 2^23 more leaves whole multiples of 2^-9 in the low bits, rounded */
  u32_lanes small = (u32_lanes)(magnitude * splat(512.0f) + splat(8388608.0f)) & 0xfu;
  u32_lanes code = (u32_lanes)select((i32_lanes)(magnitude < splat(0x1p-6f)), (f32_lanes)small, (f32_lanes)normal);
  code = (u32_lanes)select((i32_lanes)(v != v), (f32_lanes)((u32_lanes){0} + 0x7fu), (f32_lanes)code);
  code |= sign;
#if defined(__AVX512F__)
  return (u8_lanes)_mm512_cvtepi32_epi8((__m512i)code);
#else
  return __builtin_convertvector(code, u8_lanes);
#endif
}

INLINE f32_lanes load_fp8_some(const uint8_t *p, size_t left) {
  u8_lanes v = {0};
  memcpy(&v, p, left >= LANES ? LANES : left);
  return widen_fp8(v);
}
INLINE void store_fp8_some(uint8_t *p, f32_lanes v, size_t left) {
  u8_lanes code = narrow_fp8(v);
  memcpy(p, &code, left >= LANES ? LANES : left);
}

#if defined(__AVX512BW__)
/* 32 of them as bf16. */
INLINE __m512i fp8_to_bf16(__m256i v) {
  __m512i w = _mm512_cvtepu8_epi16(v);
  __m512i magnitude = _mm512_and_si512(w, _mm512_set1_epi16(0x7f));
  __m512i bits = _mm512_add_epi16(_mm512_slli_epi16(magnitude, 4), _mm512_set1_epi16(120 << 7));
  /* multiples of 2^-9 from 0 to 7 */
  __m512i small = _mm512_castsi128_si512(_mm_set_epi16(0x3c60, 0x3c40, 0x3c20, 0x3c00, 0x3bc0, 0x3b80, 0x3b00, 0));
  bits = _mm512_mask_permutexvar_epi16(bits, _mm512_cmplt_epu16_mask(magnitude, _mm512_set1_epi16(8)), magnitude, small);
  bits = _mm512_mask_mov_epi16(bits, _mm512_cmpeq_epi16_mask(magnitude, _mm512_set1_epi16(0x7f)), _mm512_set1_epi16(0x7fc0));
  return _mm512_or_si512(bits, _mm512_slli_epi16(_mm512_and_si512(w, _mm512_set1_epi16(0x80)), 8));
}
#endif

#endif
