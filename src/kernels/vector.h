/*
 * LANES f32 as one value, on every level: GCC and clang lower the vector type to the level's registers.
 * Only what the compiler would not find by itself is written with intrinsics.
 * No libc: exp, log and sigmoid are ours, so that a level gives the same bits everywhere it runs.
 */
#ifndef ROOKERY_VECTOR_H
#define ROOKERY_VECTOR_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__SSE2__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#define INLINE static inline __attribute__((always_inline, unused))

/* As many f32 lanes as one register holds: compilers take wider vectors apart through memory. */
#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX2__)
#define LANES 8
#else
#define LANES 4
#endif

typedef float f32_lanes __attribute__((vector_size(4 * LANES)));
typedef int32_t i32_lanes __attribute__((vector_size(4 * LANES)));
typedef uint32_t u32_lanes __attribute__((vector_size(4 * LANES)));
typedef uint16_t u16_lanes __attribute__((vector_size(2 * LANES)));
typedef uint16_t bf16;

/* Written out: GCC inserts the elements of a loop one by one. */
#if LANES == 16
INLINE f32_lanes splat(float x) { return (f32_lanes){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x}; }
#elif LANES == 8
INLINE f32_lanes splat(float x) { return (f32_lanes){x, x, x, x, x, x, x, x}; }
#else
INLINE f32_lanes splat(float x) { return (f32_lanes){x, x, x, x}; }
#endif
INLINE f32_lanes load_f32(const float *p) { f32_lanes v; memcpy(&v, p, sizeof v); return v; }
INLINE void store_f32(float *p, f32_lanes v) { memcpy(p, &v, sizeof v); }

INLINE f32_lanes load_f32_tail(const float *p, size_t n) { f32_lanes v = splat(0); memcpy(&v, p, n * sizeof(float)); return v; }
INLINE void store_f32_tail(float *p, f32_lanes v, size_t n) { memcpy(p, &v, n * sizeof(float)); }

INLINE float bf16_to_f32(bf16 x) { uint32_t u = (uint32_t)x << 16; float f; memcpy(&f, &u, 4); return f; }

/* Round to nearest, ties to even; a NaN stays a (quiet) NaN. */
INLINE bf16 f32_to_bf16(float f) {
  uint32_t u; memcpy(&u, &f, 4);
  if ((u & 0x7fffffffu) > 0x7f800000u) return (bf16)((u >> 16) | 0x40u);
  return (bf16)((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}

INLINE f32_lanes widen_bf16(u16_lanes v) {
#if defined(__AVX512F__)
  return (f32_lanes)_mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)v), 16); /* GCC 12 splits the conversion in two */
#elif defined(__AVX2__)
  return (f32_lanes)_mm256_slli_epi32(_mm256_cvtepu16_epi32((__m128i)v), 16);
#elif defined(__SSE2__)
  int64_t halves;
  memcpy(&halves, &v, sizeof halves);
  return (f32_lanes)_mm_unpacklo_epi16(_mm_setzero_si128(), _mm_cvtsi64_si128(halves));
#else
  u32_lanes w = __builtin_convertvector(v, u32_lanes) << 16;
  return (f32_lanes)w;
#endif
}
INLINE f32_lanes load_bf16(const bf16 *p) { u16_lanes v; memcpy(&v, p, sizeof v); return widen_bf16(v); }
INLINE f32_lanes load_bf16_tail(const bf16 *p, size_t n) { u16_lanes v = {0}; memcpy(&v, p, n * sizeof(bf16)); return widen_bf16(v); }

INLINE size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }
INLINE size_t round_up(size_t a, size_t b) { return ceil_div(a, b) * b; }
INLINE size_t smaller(size_t a, size_t b) { return a < b ? a : b; }
INLINE size_t larger(size_t a, size_t b) { return a > b ? a : b; }

/* mask lanes are all ones or all zeros */
INLINE f32_lanes select(i32_lanes mask, f32_lanes a, f32_lanes b) { return (f32_lanes)(((i32_lanes)a & mask) | ((i32_lanes)b & ~mask)); }

INLINE u16_lanes narrow_bf16(f32_lanes v) {
#if defined(__AVX512BF16__)
  return (u16_lanes)_mm512_cvtneps_pbh((__m512)v);
#else
  u32_lanes u = (u32_lanes)v, nan = (u32_lanes)(v != v);
  u32_lanes rounded = u + 0x7fffu + ((u >> 16) & 1u);
  u32_lanes bits = (nan & (u | 0x400000u)) | (~nan & rounded);
#if defined(__AVX512F__)
  return (u16_lanes)_mm512_cvtepi32_epi16((__m512i)(bits >> 16));
#elif defined(__AVX2__)
  __m256i packed = _mm256_packus_epi32((__m256i)(bits >> 16), _mm256_setzero_si256());
  return (u16_lanes)_mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08));
#elif defined(__SSE2__)
  /* sign-extended halves survive the signed pack, which is the only one SSE2 has */
  int64_t halves = _mm_cvtsi128_si64(_mm_packs_epi32(_mm_srai_epi32((__m128i)bits, 16), _mm_setzero_si128()));
  u16_lanes result;
  memcpy(&result, &halves, sizeof result);
  return result;
#else
  return __builtin_convertvector(bits >> 16, u16_lanes);
#endif
#endif
}
INLINE void store_bf16(bf16 *p, f32_lanes v) { u16_lanes w = narrow_bf16(v); memcpy(p, &w, sizeof w); }
INLINE void store_bf16_tail(bf16 *p, f32_lanes v, size_t n) { u16_lanes w = narrow_bf16(v); memcpy(p, &w, n * sizeof(bf16)); }

INLINE f32_lanes vector_fma(f32_lanes a, f32_lanes b, f32_lanes c) {
#if defined(__AVX512F__)
  return (f32_lanes)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__FMA__)
  return (f32_lanes)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__ARM_NEON)
  return (f32_lanes)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
  return a * b + c;
#endif
}

/* The larger of two; b where either is NaN, so a running maximum is taken as vector_max(new, running). */
INLINE f32_lanes vector_max(f32_lanes a, f32_lanes b) {
#if defined(__AVX512F__)
  return (f32_lanes)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
  return (f32_lanes)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined(__SSE2__)
  return (f32_lanes)_mm_max_ps((__m128)a, (__m128)b);
#else
  return select(a > b, a, b);
#endif
}
INLINE f32_lanes vector_min(f32_lanes a, f32_lanes b) {
#if defined(__AVX512F__)
  return (f32_lanes)_mm512_min_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
  return (f32_lanes)_mm256_min_ps((__m256)a, (__m256)b);
#elif defined(__SSE2__)
  return (f32_lanes)_mm_min_ps((__m128)a, (__m128)b);
#else
  return select(a < b, a, b);
#endif
}

INLINE float vector_sum(f32_lanes v) {
#if defined(__AVX512F__)
  /* the same tree as below, in registers */
  __m256 w8 = _mm256_add_ps(_mm512_castps512_ps256((__m512)v),
                            _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd((__m512)v), 1)));
#elif defined(__AVX2__)
  __m256 w8 = (__m256)v;
#endif
#if defined(__AVX2__)
  __m128 w4 = _mm_add_ps(_mm256_castps256_ps128(w8), _mm256_extractf128_ps(w8, 1));
  __m128 w2 = _mm_add_ps(w4, _mm_movehl_ps(w4, w4));
  return _mm_cvtss_f32(_mm_add_ss(w2, _mm_movehdup_ps(w2)));
#else
  return (v[0] + v[2]) + (v[1] + v[3]);
#endif
}
INLINE float vector_largest(f32_lanes v) {
  float s[LANES]; memcpy(s, &v, sizeof v);
  float m = s[0];
  for (int i = 1; i < LANES; i++) m = s[i] > m ? s[i] : m;
  return m;
}

/* LANES vectors as a matrix, transposed in place. */
INLINE void transpose_lanes(f32_lanes r[LANES]) {
#if defined(__AVX512F__)
  __m512 t[16], u[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_ps((__m512)r[i], (__m512)r[i + 1]);
    t[i + 1] = _mm512_unpackhi_ps((__m512)r[i], (__m512)r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    for (int h = 0; h < 2; h++) {
      u[i + 2 * h] = (__m512)_mm512_unpacklo_pd((__m512d)t[i + h], (__m512d)t[i + 2 + h]);
      u[i + 2 * h + 1] = (__m512)_mm512_unpackhi_pd((__m512d)t[i + h], (__m512d)t[i + 2 + h]);
    }
  }
  for (int c = 0; c < 4; c++) {
    __m512 even01 = _mm512_shuffle_f32x4(u[c], u[4 + c], 0x88), odd01 = _mm512_shuffle_f32x4(u[c], u[4 + c], 0xdd);
    __m512 even23 = _mm512_shuffle_f32x4(u[8 + c], u[12 + c], 0x88), odd23 = _mm512_shuffle_f32x4(u[8 + c], u[12 + c], 0xdd);
    r[c] = (f32_lanes)_mm512_shuffle_f32x4(even01, even23, 0x88);
    r[4 + c] = (f32_lanes)_mm512_shuffle_f32x4(odd01, odd23, 0x88);
    r[8 + c] = (f32_lanes)_mm512_shuffle_f32x4(even01, even23, 0xdd);
    r[12 + c] = (f32_lanes)_mm512_shuffle_f32x4(odd01, odd23, 0xdd);
  }
#elif defined(__AVX2__)
  __m256 t[8], u[8];
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_ps((__m256)r[i], (__m256)r[i + 1]);
    t[i + 1] = _mm256_unpackhi_ps((__m256)r[i], (__m256)r[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    for (int h = 0; h < 2; h++) {
      u[i + 2 * h] = (__m256)_mm256_unpacklo_pd((__m256d)t[i + h], (__m256d)t[i + 2 + h]);
      u[i + 2 * h + 1] = (__m256)_mm256_unpackhi_pd((__m256d)t[i + h], (__m256d)t[i + 2 + h]);
    }
  }
  for (int c = 0; c < 4; c++) {
    r[c] = (f32_lanes)_mm256_permute2f128_ps(u[c], u[4 + c], 0x20);
    r[4 + c] = (f32_lanes)_mm256_permute2f128_ps(u[c], u[4 + c], 0x31);
  }
#elif defined(__SSE2__)
  __m128 t0 = _mm_unpacklo_ps((__m128)r[0], (__m128)r[1]), t1 = _mm_unpackhi_ps((__m128)r[0], (__m128)r[1]);
  __m128 t2 = _mm_unpacklo_ps((__m128)r[2], (__m128)r[3]), t3 = _mm_unpackhi_ps((__m128)r[2], (__m128)r[3]);
  r[0] = (f32_lanes)_mm_movelh_ps(t0, t2); r[1] = (f32_lanes)_mm_movehl_ps(t2, t0);
  r[2] = (f32_lanes)_mm_movelh_ps(t1, t3); r[3] = (f32_lanes)_mm_movehl_ps(t3, t1);
#else
  float from[LANES][LANES], to[LANES][LANES];
  memcpy(from, r, sizeof from);
  for (int i = 0; i < LANES; i++) for (int j = 0; j < LANES; j++) to[j][i] = from[i][j];
  memcpy(r, to, sizeof to);
#endif
}

/* 1 / sqrt(x) for x > 0, correctly rounded square root then division. */
INLINE float rsqrt_f32(float x) {
#if defined(__SSE__) || defined(__x86_64__)
  return 1.0f / __builtin_ia32_sqrtss((__attribute__((vector_size(16))) float){x, 0, 0, 0})[0];
#else
  return 1.0f / __builtin_sqrtf(x);
#endif
}

INLINE f32_lanes vector_sqrt(f32_lanes v) {
#if defined(__AVX512F__)
  return (f32_lanes)_mm512_sqrt_ps((__m512)v);
#elif defined(__AVX2__)
  return (f32_lanes)_mm256_sqrt_ps((__m256)v);
#elif defined(__SSE2__)
  return (f32_lanes)_mm_sqrt_ps((__m128)v);
#elif defined(__ARM_NEON)
  return (f32_lanes)vsqrtq_f32((float32x4_t)v);
#else
  for (int i = 0; i < LANES; i++) v[i] = __builtin_sqrtf(v[i]);
  return v;
#endif
}

/*
 * exp to 1.2 ulp. exp(-inf) = 0, exp(+inf) = +inf, NaN stays NaN; results under the smallest normal number are 0.
 * Cody-Waite reduction by ln 2 in two parts, then 1 + r + r^2 q(r) with q the minimax polynomial of degree 4 on
 * [-ln2/2, ln2/2] (Remez; relative error of the whole 4e-9).
 */
INLINE f32_lanes vector_exp(f32_lanes x) {
  const f32_lanes magic = splat(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer, in the low bits */
  f32_lanes clamped = vector_min(splat(89.0f), x); /* in this order a NaN passes */
  f32_lanes shifted = vector_fma(clamped, splat(1.44269504088896341f), magic);
  f32_lanes n = shifted - magic;
  f32_lanes r = vector_fma(n, splat(-0.693145751953125f), clamped);
  r = vector_fma(n, splat(-1.42860682030941723e-6f), r);
  f32_lanes p = splat(0x1.6a241ap-10f);
  p = vector_fma(p, r, splat(0x1.1239f2p-7f));
  p = vector_fma(p, r, splat(0x1.5558f2p-5f));
  p = vector_fma(p, r, splat(0x1.555492p-3f));
  p = vector_fma(p, r, splat(0x1.fffffcp-2f));
  p = vector_fma(p, r, splat(1.0f));
  p = vector_fma(p, r, splat(1.0f));
#if defined(__AVX512F__)
  __mmask16 kept = _mm512_cmp_ps_mask((__m512)x, (__m512)splat(-87.33654f), _CMP_NLT_UQ);
  return (f32_lanes)_mm512_maskz_scalef_ps(kept, (__m512)p, (__m512)n);
#else
  /* 2^n in two factors, since n reaches 128 */
  i32_lanes k = (i32_lanes)((u32_lanes)shifted - 0x4b400000u), half = k >> 1;
  f32_lanes low = (f32_lanes)(((u32_lanes)half + 127u) << 23), high = (f32_lanes)(((u32_lanes)k - (u32_lanes)half + 127u) << 23);
  return (f32_lanes)((i32_lanes)(p * low * high) & ~(x < splat(-87.33654f)));
#endif
}

/*
 * Natural logarithm to 3 ulp; log(0) = -inf, of a negative number NaN, of +inf +inf, NaN stays NaN.
 * x = 2^e m with m in [sqrt(1/2), sqrt 2); log m = 2 atanh((m-1)/(m+1)) as an odd series.
 */
INLINE f32_lanes vector_log(f32_lanes x) {
  i32_lanes subnormal = x < splat(1.17549435e-38f);
  u32_lanes u = (u32_lanes)select(subnormal, x * splat(8388608.0f), x);
  i32_lanes e = (i32_lanes)(u - 0x3f3504f3u) >> 23;
  f32_lanes m = (f32_lanes)(u - ((u32_lanes)e << 23));
  f32_lanes t = (m - splat(1.0f)) / (m + splat(1.0f));
  f32_lanes t2 = t * t;
  f32_lanes p = splat(2.0f / 9);
  p = vector_fma(p, t2, splat(2.0f / 7));
  p = vector_fma(p, t2, splat(2.0f / 5));
  p = vector_fma(p, t2, splat(2.0f / 3));
  p = vector_fma(p, t2, splat(2.0f));
  f32_lanes ef = __builtin_convertvector(e - (subnormal & 23), f32_lanes);
  f32_lanes result = vector_fma(ef, splat(0.693145751953125f), vector_fma(p, t, ef * splat(1.42860682030941723e-6f)));
  result = select(x == splat(0.0f), splat(-__builtin_inff()), result);
  result = select(x < splat(0.0f), splat(__builtin_nanf("")), result);
  result = select(x == splat(__builtin_inff()), x, result);
  return select(x != x, x, result);
}

INLINE f32_lanes vector_sigmoid(f32_lanes x) {
  f32_lanes d = splat(1.0f) + vector_exp(-x);
#if defined(__AVX512F__)
  /* a Newton step from 14 bits, four times as fast as the division and within an ulp of it; 1 / inf needs no step */
  f32_lanes r = (f32_lanes)_mm512_rcp14_ps((__m512)d);
  f32_lanes e = (f32_lanes)_mm512_fnmadd_ps((__m512)d, (__m512)r, (__m512)splat(1.0f));
  __mmask16 finite = _mm512_cmp_ps_mask((__m512)d, (__m512)splat(__builtin_inff()), _CMP_NEQ_UQ);
  return (f32_lanes)_mm512_mask_fmadd_ps((__m512)r, finite, (__m512)e, (__m512)r);
#else
  return splat(1.0f) / d;
#endif
}

/* One scalar through the vector code, so that scalars and vectors round alike. */
INLINE float exp_f32(float x) { return vector_exp(splat(x))[0]; }
INLINE float log_f32(float x) { return vector_log(splat(x))[0]; }

/* The counter hash of src/base/random.ts: the same bits there and here for the same keys and index. */
INLINE uint32_t fmix32(uint32_t h) {
  h ^= h >> 16; h *= 0x85ebca6bu; h ^= h >> 13; h *= 0xc2b2ae35u; h ^= h >> 16;
  return h;
}
INLINE uint32_t counter_hash(uint32_t key0, uint32_t key1, uint32_t index) {
  return fmix32(fmix32(index * 0x9e3779b1u + key0) ^ key1);
}

/* fmix32 of each lane, and counter_hash of the indices from `index` on. */
INLINE u32_lanes vector_fmix32(u32_lanes h) {
  h ^= h >> 16; h *= 0x85ebca6bu; h ^= h >> 13; h *= 0xc2b2ae35u; h ^= h >> 16;
  return h;
}
INLINE u32_lanes vector_counter_hash(uint32_t key0, uint32_t key1, uint32_t index) {
  u32_lanes h;
  for (uint32_t i = 0; i < LANES; i++) h[i] = (index + i) * 0x9e3779b1u + key0;
  return vector_fmix32(vector_fmix32(h) ^ key1);
}

/* LANES elements of an activation array of either type: the callers are compiled once a type. */
INLINE f32_lanes load_any(const void *p, size_t i, int is_bf16) {
  return is_bf16 ? load_bf16((const bf16 *)p + i) : load_f32((const float *)p + i);
}
INLINE f32_lanes load_any_tail(const void *p, size_t i, size_t n, int is_bf16) {
  return is_bf16 ? load_bf16_tail((const bf16 *)p + i, n) : load_f32_tail((const float *)p + i, n);
}
INLINE void store_any(void *p, size_t i, f32_lanes v, int is_bf16) {
  if (is_bf16) store_bf16((bf16 *)p + i, v); else store_f32((float *)p + i, v);
}
INLINE void store_any_tail(void *p, size_t i, f32_lanes v, size_t n, int is_bf16) {
  if (is_bf16) store_bf16_tail((bf16 *)p + i, v, n); else store_f32_tail((float *)p + i, v, n);
}

/* Up to LANES elements from i on, of the `left` that there still are. */
INLINE f32_lanes load_some(const void *p, size_t i, size_t left, int is_bf16) {
  return left >= LANES ? load_any(p, i, is_bf16) : load_any_tail(p, i, left, is_bf16);
}
INLINE void store_some(void *p, size_t i, size_t left, f32_lanes v, int is_bf16) {
  if (left >= LANES) store_any(p, i, v, is_bf16); else store_any_tail(p, i, v, left, is_bf16);
}

#endif
