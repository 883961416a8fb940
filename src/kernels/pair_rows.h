/* Rows times a panel's part by products of pairs. */
#ifndef ROOKERY_PAIR_ROWS_H
#define ROOKERY_PAIR_ROWS_H

#include "finished.h"
#include "pairs.h"

/* Rows whose sums of 32 columns stay in registers, beside a row of B: 22 + 2 + a pair of A, of 32 registers. */
#define PAIR_ROWS 11

/* `rows` is a constant where this is inlined. */
INLINE void multiply_constant_pairs(const bf16 *a, size_t a_step, const bf16 *b, size_t steps, size_t rows, const float *before, float *sums,
                                    coming_rows coming) {
  f32_lanes acc[PAIR_ROWS][2];
  for (size_t r = 0; r < rows; r++) {
    for (size_t half = 0; half < 2; half++) acc[r][half] = before ? load_f32(before + r * PANEL + half * LANES) : splat(0);
  }
  for (size_t step = 0; step < steps; step++, a += a_step, b += 1024) {
    for (size_t r = 0; r < coming.rows; r++) _mm_prefetch(coming.at + r * coming.stride + step * coming.step_stride, _MM_HINT_T1);
    for (size_t pair = 0; pair < 16; pair++) {
      __m512i left = _mm512_loadu_si512(b + pair * 32), right = _mm512_loadu_si512(b + 512 + pair * 32);
      for (size_t r = 0; r < rows; r++) {
        uint32_t word;
        memcpy(&word, a + r * 32 + pair * 2, sizeof word);
        acc[r][0] = add_pairs(acc[r][0], word, left);
        acc[r][1] = add_pairs(acc[r][1], word, right);
      }
    }
  }
  for (size_t r = 0; r < rows; r++) {
    for (size_t half = 0; half < 2; half++) store_f32(sums + r * PANEL + half * LANES, acc[r][half]);
  }
}

/*
 * sums [rows, 32] = before (or 0; may be `sums`) + A B, over `steps` of 32: of A a tile's rows, 32 bf16 each, lie one after the other, and steps
 * `a_step` apart; of B a step is two tiles. One order over what is summed for every number of rows.
 */
static void multiply_pairs(const bf16 *a, size_t a_step, const bf16 *b, size_t steps, size_t rows, const float *before, float *sums,
                           coming_rows coming) {
  for (size_t first = 0, some; first < rows; first += some) {
    /* evenly: 32 rows go as 11, 11 and 10 */
    some = ceil_div(rows - first, ceil_div(rows - first, PAIR_ROWS));
    const bf16 *from = a + first * 32;
    const float *base = before ? before + first * PANEL : 0;
    float *to = sums + first * PANEL;
#define ROWS(n) case n: multiply_constant_pairs(from, a_step, b, steps, n, base, to, coming); break
    switch (some) {
      ROWS(1); ROWS(2); ROWS(3); ROWS(4); ROWS(5); ROWS(6); ROWS(7); ROWS(8); ROWS(9); ROWS(10); ROWS(11);
      default: break;
    }
#undef ROWS
    coming.rows = 0;
  }
}

#endif
