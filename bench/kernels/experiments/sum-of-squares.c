/* Σ x² over a flat array: how many sums at once does it take to be bound by memory instead of by the latency of an FMA? */
#include "rookery.h"
#include "vector.h"

ROOKERY_API float one_scalar(uintptr_t values, size_t count) {
  const float *x = (const float *)values;
  float sum = 0;
  for (size_t i = 0; i < count; i++) sum += x[i] * x[i];
  return sum;
}

#define VERSION(name, SUMS) \
  ROOKERY_API float name(uintptr_t values, size_t count) { \
    const float *x = (const float *)values; \
    f32_lanes sums[SUMS]; \
    for (int s = 0; s < SUMS; s++) sums[s] = splat(0); \
    size_t i = 0; \
    for (; i + SUMS * LANES <= count; i += SUMS * LANES) \
      for (int s = 0; s < SUMS; s++) { \
        f32_lanes v = load_f32(x + i + (size_t)s * LANES); \
        sums[s] = vector_fma(v, v, sums[s]); \
      } \
    for (int s = 1; s < SUMS; s++) sums[0] += sums[s]; \
    float total = vector_sum(sums[0]); \
    for (; i < count; i++) total += x[i] * x[i]; \
    return total; \
  }

VERSION(one_vector, 1)
VERSION(four_vectors, 4)
VERSION(eight_vectors, 8)
