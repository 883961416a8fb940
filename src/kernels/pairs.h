/* Products of pairs of bf16 in vectors (AVX512-BF16), where there are no AMX tiles to hold and multiply them. */
#ifndef ROOKERY_PAIRS_H
#define ROOKERY_PAIRS_H

#include "words.h"

/* There is nothing to set up, as there is for AMX. */
INLINE void configure_tiles(size_t rows) { (void)rows; }
INLINE void release_tiles(void) {}

/* `pair` is a word of two bf16 of A, `columns` the same two places of 16 columns of B. Denormal numbers count as zero. */
INLINE f32_lanes add_pairs(f32_lanes sums, uint32_t pair, __m512i columns) {
  return (f32_lanes)_mm512_dpbf16_ps((__m512)sums, (__m512bh)_mm512_set1_epi32((int32_t)pair), (__m512bh)columns);
}

#endif
