/* The largest of a row of logits, and the sum of their exponentials beside it: one order, whoever asks. */
#ifndef ROOKERY_SOFTMAX_H
#define ROOKERY_SOFTMAX_H

#include "vector.h"

/* The last `n` < LANES logits of a row; the lanes beyond are -inf, which no maximum and no sum of exponentials sees. */
INLINE f32_lanes load_logits_tail(const float *p, size_t n) {
  f32_lanes v = splat(-__builtin_inff());
  memcpy(&v, p, n * sizeof(float));
  return v;
}

INLINE float row_maximum(const float *x, size_t n) {
  f32_lanes m0 = splat(-__builtin_inff()), m1 = m0, m2 = m0, m3 = m0;
  size_t i = 0;
  for (; i + 4 * LANES <= n; i += 4 * LANES) {
    m0 = vector_max(load_f32(x + i), m0);
    m1 = vector_max(load_f32(x + i + LANES), m1);
    m2 = vector_max(load_f32(x + i + 2 * LANES), m2);
    m3 = vector_max(load_f32(x + i + 3 * LANES), m3);
  }
  for (; i + LANES <= n; i += LANES) m0 = vector_max(load_f32(x + i), m0);
  if (i < n) m1 = vector_max(load_logits_tail(x + i, n - i), m1);
  return vector_largest(vector_max(vector_max(m0, m1), vector_max(m2, m3)));
}

/* Sum of exp(x - maximum). A NaN, which row_maximum passed over, makes it NaN; so does an infinite maximum. */
INLINE float row_sum_of_exponentials(const float *x, size_t n, float maximum) {
  f32_lanes m = splat(maximum), s0 = splat(0), s1 = s0, s2 = s0, s3 = s0;
  size_t i = 0;
  for (; i + 4 * LANES <= n; i += 4 * LANES) {
    s0 += vector_exp(load_f32(x + i) - m);
    s1 += vector_exp(load_f32(x + i + LANES) - m);
    s2 += vector_exp(load_f32(x + i + 2 * LANES) - m);
    s3 += vector_exp(load_f32(x + i + 3 * LANES) - m);
  }
  for (; i + LANES <= n; i += LANES) s0 += vector_exp(load_f32(x + i) - m);
  if (i < n) s1 += vector_exp(load_logits_tail(x + i, n - i) - m);
  return vector_sum((s0 + s1) + (s2 + s3));
}

#endif
