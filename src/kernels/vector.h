/*
 * Sixteen f32 lanes as one value, on every level: GCC and clang lower the vector type to whatever the
 * level's registers are. Only what the compiler would not find by itself is written with intrinsics.
 * No libc: exp, log and sigmoid are ours, so that a level gives the same bits everywhere it runs.
 */
#ifndef ROOKERY_VECTOR_H
#define ROOKERY_VECTOR_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#define LANES 16
#define PIECES 4 /* of four lanes: the registers that every machine has */
#define INLINE static inline __attribute__((always_inline, unused))

typedef float f32x16 __attribute__((vector_size(64)));
typedef int32_t i32x16 __attribute__((vector_size(64)));
typedef uint32_t u32x16 __attribute__((vector_size(64)));
typedef uint16_t u16x16 __attribute__((vector_size(32)));
typedef uint16_t bf16;

INLINE f32x16 splat(float x) { return (f32x16){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x}; }
INLINE f32x16 load_f32(const float *p) { f32x16 v; memcpy(&v, p, sizeof v); return v; }
INLINE void store_f32(float *p, f32x16 v) { memcpy(p, &v, sizeof v); }

INLINE f32x16 load_f32_tail(const float *p, size_t n) { f32x16 v = splat(0); memcpy(&v, p, n * sizeof(float)); return v; }
INLINE void store_f32_tail(float *p, f32x16 v, size_t n) { memcpy(p, &v, n * sizeof(float)); }

INLINE float bf16_to_f32(bf16 x) { uint32_t u = (uint32_t)x << 16; float f; memcpy(&f, &u, 4); return f; }

/* Round to nearest, ties to even; a NaN stays a (quiet) NaN. */
INLINE bf16 f32_to_bf16(float f) {
  uint32_t u; memcpy(&u, &f, 4);
  if ((u & 0x7fffffffu) > 0x7f800000u) return (bf16)((u >> 16) | 0x40u);
  return (bf16)((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}

INLINE f32x16 widen_bf16(u16x16 v) {
#if defined(__AVX512F__)
  return (f32x16)_mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)v), 16); /* GCC 12 splits the conversion in two */
#endif
  u32x16 w = __builtin_convertvector(v, u32x16) << 16;
  return (f32x16)w;
}
INLINE f32x16 load_bf16(const bf16 *p) { u16x16 v; memcpy(&v, p, sizeof v); return widen_bf16(v); }
INLINE f32x16 load_bf16_tail(const bf16 *p, size_t n) { u16x16 v = {0}; memcpy(&v, p, n * sizeof(bf16)); return widen_bf16(v); }

INLINE size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }
INLINE size_t round_up(size_t a, size_t b) { return ceil_div(a, b) * b; }
INLINE size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

/* mask lanes are all ones or all zeros */
INLINE f32x16 select(i32x16 mask, f32x16 a, f32x16 b) { return (f32x16)(((i32x16)a & mask) | ((i32x16)b & ~mask)); }

/*
 * Comparisons to masks. Without AVX-512 write these, not a < b: GCC takes a comparison that is wider than the
 * registers apart into sixteen scalar ones with branches, but keeps pieces of one register whole.
 */
#if defined(__AVX512F__)
#define COMPARISON(name, operator) \
  INLINE i32x16 name(f32x16 a, f32x16 b) { return a operator b; }
#else
typedef float f32x4 __attribute__((vector_size(16)));
typedef int32_t i32x4 __attribute__((vector_size(16)));
#define COMPARISON(name, operator)                                                 \
  INLINE i32x16 name(f32x16 a, f32x16 b) {                                         \
    f32x4 x[PIECES], y[PIECES];                                                    \
    i32x4 mask[PIECES];                                                            \
    i32x16 result;                                                                 \
    memcpy(x, &a, sizeof x);                                                       \
    memcpy(y, &b, sizeof y);                                                       \
    for (int i = 0; i < PIECES; i++) mask[i] = x[i] operator y[i];                 \
    memcpy(&result, mask, sizeof result);                                          \
    return result;                                                                 \
  }
#endif
COMPARISON(less16, <)
COMPARISON(equal16, ==)
COMPARISON(unequal16, !=)
#undef COMPARISON

INLINE u16x16 narrow_bf16(f32x16 v) {
#if defined(__AVX512BF16__)
  return (u16x16)_mm512_cvtneps_pbh((__m512)v);
#else
  u32x16 u = (u32x16)v, nan = (u32x16)unequal16(v, v);
  u32x16 rounded = u + 0x7fffu + ((u >> 16) & 1u);
  u32x16 bits = (nan & (u | 0x400000u)) | (~nan & rounded);
#if defined(__SSE2__)
  /* sign-extended halves survive the signed pack, which is the only one SSE2 has */
  __m128i half[PIECES];
  memcpy(half, &bits, sizeof half);
  for (int i = 0; i < PIECES; i++) half[i] = _mm_srai_epi32(half[i], 16);
  half[0] = _mm_packs_epi32(half[0], half[1]);
  half[1] = _mm_packs_epi32(half[2], half[3]);
  u16x16 result;
  memcpy(&result, half, sizeof result);
  return result;
#else
  return __builtin_convertvector(bits >> 16, u16x16);
#endif
#endif
}
INLINE void store_bf16(bf16 *p, f32x16 v) { u16x16 w = narrow_bf16(v); memcpy(p, &w, sizeof w); }
INLINE void store_bf16_tail(bf16 *p, f32x16 v, size_t n) { u16x16 w = narrow_bf16(v); memcpy(p, &w, n * sizeof(bf16)); }

INLINE f32x16 fma16(f32x16 a, f32x16 b, f32x16 c) {
#if defined(__AVX512F__)
  return (f32x16)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__FMA__)
  __m256 al, ah, bl, bh, cl, ch; f32x16 r;
  memcpy(&al, &a, 32); memcpy(&ah, (char *)&a + 32, 32); memcpy(&bl, &b, 32); memcpy(&bh, (char *)&b + 32, 32);
  memcpy(&cl, &c, 32); memcpy(&ch, (char *)&c + 32, 32);
  cl = _mm256_fmadd_ps(al, bl, cl); ch = _mm256_fmadd_ps(ah, bh, ch);
  memcpy(&r, &cl, 32); memcpy((char *)&r + 32, &ch, 32);
  return r;
#else
  return a * b + c;
#endif
}

/* The larger of two; b where either is NaN, so a running maximum is taken as max16(new, running). */
INLINE f32x16 max16(f32x16 a, f32x16 b) {
#if defined(__AVX512F__)
  return (f32x16)_mm512_max_ps((__m512)a, (__m512)b);
#else
  return select(less16(b, a), a, b);
#endif
}
INLINE f32x16 min16(f32x16 a, f32x16 b) {
#if defined(__AVX512F__)
  return (f32x16)_mm512_min_ps((__m512)a, (__m512)b);
#else
  return select(less16(a, b), a, b);
#endif
}

INLINE float sum16(f32x16 v) {
#if defined(__AVX512F__)
  /* the same tree as below, in registers */
  __m256 w8 = _mm256_add_ps(_mm512_castps512_ps256((__m512)v),
                            _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd((__m512)v), 1)));
  __m128 w4 = _mm_add_ps(_mm256_castps256_ps128(w8), _mm256_extractf128_ps(w8, 1));
  __m128 w2 = _mm_add_ps(w4, _mm_movehl_ps(w4, w4));
  return _mm_cvtss_f32(_mm_add_ss(w2, _mm_movehdup_ps(w2)));
#endif
  float s[LANES]; memcpy(s, &v, sizeof v);
  for (int width = 8; width; width >>= 1) for (int i = 0; i < width; i++) s[i] += s[i + width];
  return s[0];
}
INLINE float reduce_max16(f32x16 v) {
  float s[LANES]; memcpy(s, &v, sizeof v);
  float m = s[0];
  for (int i = 1; i < LANES; i++) m = s[i] > m ? s[i] : m;
  return m;
}

/* 1 / sqrt(x) for x > 0, correctly rounded square root then division. */
INLINE float rsqrt_f32(float x) {
#if defined(__SSE__) || defined(__x86_64__)
  return 1.0f / __builtin_ia32_sqrtss((__attribute__((vector_size(16))) float){x, 0, 0, 0})[0];
#else
  return 1.0f / __builtin_sqrtf(x);
#endif
}

INLINE f32x16 sqrt16(f32x16 v) {
#if defined(__AVX512F__)
  return (f32x16)_mm512_sqrt_ps((__m512)v);
#elif defined(__SSE2__)
  __m128 piece[PIECES];
  memcpy(piece, &v, sizeof piece);
  for (int i = 0; i < PIECES; i++) piece[i] = _mm_sqrt_ps(piece[i]);
  f32x16 result;
  memcpy(&result, piece, sizeof result);
  return result;
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
INLINE f32x16 exp16(f32x16 x) {
  const f32x16 magic = splat(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer, in the low bits */
  f32x16 clamped = min16(splat(89.0f), x); /* in this order a NaN passes */
  f32x16 shifted = fma16(clamped, splat(1.44269504088896341f), magic);
  f32x16 n = shifted - magic;
  f32x16 r = fma16(n, splat(-0.693145751953125f), clamped);
  r = fma16(n, splat(-1.42860682030941723e-6f), r);
  f32x16 p = splat(0x1.6a241ap-10f);
  p = fma16(p, r, splat(0x1.1239f2p-7f));
  p = fma16(p, r, splat(0x1.5558f2p-5f));
  p = fma16(p, r, splat(0x1.555492p-3f));
  p = fma16(p, r, splat(0x1.fffffcp-2f));
  p = fma16(p, r, splat(1.0f));
  p = fma16(p, r, splat(1.0f));
#if defined(__AVX512F__)
  __mmask16 kept = _mm512_cmp_ps_mask((__m512)x, (__m512)splat(-87.33654f), _CMP_NLT_UQ);
  return (f32x16)_mm512_maskz_scalef_ps(kept, (__m512)p, (__m512)n);
#else
  /* 2^n in two factors, since n reaches 128 */
  i32x16 k = (i32x16)((u32x16)shifted - 0x4b400000u), half = k >> 1;
  f32x16 low = (f32x16)(((u32x16)half + 127u) << 23), high = (f32x16)(((u32x16)k - (u32x16)half + 127u) << 23);
  return (f32x16)((i32x16)(p * low * high) & ~less16(x, splat(-87.33654f)));
#endif
}

/*
 * Natural logarithm to 3 ulp; log(0) = -inf, of a negative number NaN, of +inf +inf, NaN stays NaN.
 * x = 2^e m with m in [sqrt(1/2), sqrt 2); log m = 2 atanh((m-1)/(m+1)) as an odd series.
 */
INLINE f32x16 log16(f32x16 x) {
  i32x16 subnormal = less16(x, splat(1.17549435e-38f));
  u32x16 u = (u32x16)select(subnormal, x * splat(8388608.0f), x);
  i32x16 e = (i32x16)(u - 0x3f3504f3u) >> 23;
  f32x16 m = (f32x16)(u - ((u32x16)e << 23));
  f32x16 t = (m - splat(1.0f)) / (m + splat(1.0f));
  f32x16 t2 = t * t;
  f32x16 p = splat(2.0f / 9);
  p = fma16(p, t2, splat(2.0f / 7));
  p = fma16(p, t2, splat(2.0f / 5));
  p = fma16(p, t2, splat(2.0f / 3));
  p = fma16(p, t2, splat(2.0f));
  f32x16 ef = __builtin_convertvector(e - (subnormal & 23), f32x16);
  f32x16 result = fma16(ef, splat(0.693145751953125f), fma16(p, t, ef * splat(1.42860682030941723e-6f)));
  result = select(equal16(x, splat(0.0f)), splat(-__builtin_inff()), result);
  result = select(less16(x, splat(0.0f)), splat(__builtin_nanf("")), result);
  result = select(equal16(x, splat(__builtin_inff())), x, result);
  return select(unequal16(x, x), x, result);
}

INLINE f32x16 sigmoid16(f32x16 x) { return splat(1.0f) / (splat(1.0f) + exp16(-x)); }

/* One scalar through the vector code, so that scalars and vectors round alike. */
INLINE float exp_f32(float x) { return exp16(splat(x))[0]; }
INLINE float log_f32(float x) { return log16(splat(x))[0]; }

/* The counter hash of src/base/random.ts: the same bits there and here for the same keys and index. */
INLINE uint32_t fmix32(uint32_t h) {
  h ^= h >> 16; h *= 0x85ebca6bu; h ^= h >> 13; h *= 0xc2b2ae35u; h ^= h >> 16;
  return h;
}
INLINE uint32_t counter_hash(uint32_t key0, uint32_t key1, uint32_t index) {
  return fmix32(fmix32(index * 0x9e3779b1u + key0) ^ key1);
}

/* Sixteen elements of an activation array of either type: the callers are compiled once a type. */
INLINE f32x16 load_any(const void *p, size_t i, int is_bf16) {
  return is_bf16 ? load_bf16((const bf16 *)p + i) : load_f32((const float *)p + i);
}
INLINE f32x16 load_any_tail(const void *p, size_t i, size_t n, int is_bf16) {
  return is_bf16 ? load_bf16_tail((const bf16 *)p + i, n) : load_f32_tail((const float *)p + i, n);
}
INLINE void store_any(void *p, size_t i, f32x16 v, int is_bf16) {
  if (is_bf16) store_bf16((bf16 *)p + i, v); else store_f32((float *)p + i, v);
}
INLINE void store_any_tail(void *p, size_t i, f32x16 v, size_t n, int is_bf16) {
  if (is_bf16) store_bf16_tail((bf16 *)p + i, v, n); else store_f32_tail((float *)p + i, v, n);
}

#endif
