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
#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

#define LANES 16
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
  u32x16 w = __builtin_convertvector(v, u32x16) << 16;
  return (f32x16)w;
}
INLINE f32x16 load_bf16(const bf16 *p) { u16x16 v; memcpy(&v, p, sizeof v); return widen_bf16(v); }
INLINE f32x16 load_bf16_tail(const bf16 *p, size_t n) { u16x16 v = {0}; memcpy(&v, p, n * sizeof(bf16)); return widen_bf16(v); }

INLINE u16x16 narrow_bf16(f32x16 v) {
#if defined(__AVX512BF16__)
  return (u16x16)_mm512_cvtneps_pbh((__m512)v);
#else
  u32x16 u = (u32x16)v;
  u32x16 nan = (u32x16)((u & 0x7fffffffu) > 0x7f800000u);
  u32x16 rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  return __builtin_convertvector((nan & ((u >> 16) | 0x40u)) | (~nan & rounded), u16x16);
#endif
}
INLINE void store_bf16(bf16 *p, f32x16 v) { u16x16 w = narrow_bf16(v); memcpy(p, &w, sizeof w); }
INLINE void store_bf16_tail(bf16 *p, f32x16 v, size_t n) { u16x16 w = narrow_bf16(v); memcpy(p, &w, n * sizeof(bf16)); }

/* mask lanes are all ones or all zeros */
INLINE f32x16 select(i32x16 mask, f32x16 a, f32x16 b) { return (f32x16)(((i32x16)a & mask) | ((i32x16)b & ~mask)); }

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
  return select(a > b, a, b);
#endif
}
INLINE f32x16 min16(f32x16 a, f32x16 b) {
#if defined(__AVX512F__)
  return (f32x16)_mm512_min_ps((__m512)a, (__m512)b);
#else
  return select(a < b, a, b);
#endif
}

INLINE float sum16(f32x16 v) {
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
#else
  float s[LANES]; memcpy(s, &v, sizeof v);
  for (int i = 0; i < LANES; i++) {
#if defined(__SSE__) || defined(__x86_64__)
    s[i] = __builtin_ia32_sqrtss((__attribute__((vector_size(16))) float){s[i], 0, 0, 0})[0];
#else
    s[i] = __builtin_sqrtf(s[i]);
#endif
  }
  f32x16 r; memcpy(&r, s, sizeof r); return r;
#endif
}

/*
 * exp to about 1 ulp. exp(-inf) = 0, exp(+inf) = +inf, NaN stays NaN; results under the smallest normal
 * number are 0. Cody-Waite reduction by ln 2 in two parts, then a Taylor polynomial of degree 7 on [-ln2/2, ln2/2].
 */
INLINE f32x16 exp16(f32x16 x) {
  f32x16 clamped = min16(max16(x, splat(-88.0f)), splat(88.7f));
  f32x16 magic = splat(12582912.0f);
  f32x16 n = (fma16(clamped, splat(1.44269504088896341f), magic)) - magic;
  f32x16 r = fma16(n, splat(-0.693145751953125f), clamped);
  r = fma16(n, splat(-1.42860682030941723e-6f), r);
  f32x16 p = splat(1.0f / 5040);
  p = fma16(p, r, splat(1.0f / 720));
  p = fma16(p, r, splat(1.0f / 120));
  p = fma16(p, r, splat(1.0f / 24));
  p = fma16(p, r, splat(1.0f / 6));
  p = fma16(p, r, splat(0.5f));
  p = fma16(p, r, splat(1.0f));
  p = fma16(p, r, splat(1.0f));
  /* 2^n in two factors, since n reaches 128 */
  i32x16 k = __builtin_convertvector(n, i32x16);
  i32x16 half = k >> 1;
  f32x16 result = p * (f32x16)((half + 127) << 23) * (f32x16)((k - half + 127) << 23);
  result = select(x < splat(-87.33654f), splat(0.0f), result);
  result = select(x > splat(88.72283f), splat(__builtin_inff()), result);
  return select(x != x, x, result);
}

/*
 * Natural logarithm of x > 0, to about 2 ulp; log(0) = -inf, of a negative number NaN, of +inf +inf.
 * x = 2^e m with m in [sqrt(1/2), sqrt 2); log m = 2 atanh((m-1)/(m+1)) as an odd series.
 */
INLINE f32x16 log16(f32x16 x) {
  u32x16 u = (u32x16)x;
  i32x16 e = (i32x16)((u - 0x3f3504f3u) >> 23);
  e = (e << 24) >> 24;
  f32x16 m = (f32x16)(u - ((u32x16)e << 23));
  f32x16 t = (m - splat(1.0f)) / (m + splat(1.0f));
  f32x16 t2 = t * t;
  f32x16 p = splat(2.0f / 9);
  p = fma16(p, t2, splat(2.0f / 7));
  p = fma16(p, t2, splat(2.0f / 5));
  p = fma16(p, t2, splat(2.0f / 3));
  p = fma16(p, t2, splat(2.0f));
  f32x16 ef = __builtin_convertvector(e, f32x16);
  f32x16 result = fma16(ef, splat(0.693145751953125f), fma16(p, t, ef * splat(1.42860682030941723e-6f)));
  result = select(x == splat(0.0f), splat(-__builtin_inff()), result);
  result = select(x < splat(0.0f), splat(__builtin_nanf("")), result);
  result = select(x == splat(__builtin_inff()), x, result);
  return select(x != x, x, result);
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
