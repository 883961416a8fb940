/*
 * Sums of up to 32 rows and a panel that grow step by step: on AMX tiles, or in memory where products are of pairs in vectors. `lower`, a
 * constant where speed matters, says whether there are more than 16 rows.
 */
#ifndef ROOKERY_TILE_STEPS_H
#define ROOKERY_TILE_STEPS_H

#ifdef ROOKERY_AMX
#include "amx.h"

INLINE void clear_sums(float *sums, size_t rows, int lower) {
  (void)sums; (void)rows;
  _tile_zero(0);
  _tile_zero(1);
  if (lower) { _tile_zero(2); _tile_zero(3); }
}
/* The sums, in tiles until finish_sums, += `rows` of 32 times a step's B tiles. */
INLINE void add_step(const bf16 *a, const bf16 *b, size_t rows, int lower, float *sums) {
  (void)sums; (void)rows;
  _tile_loadd(4, a, 64);
  _tile_loadd(6, b, 64);
  _tile_dpbf16ps(0, 4, 6);
  _tile_loadd(7, b + 512, 64);
  _tile_dpbf16ps(1, 4, 7);
  if (lower) {
    _tile_loadd(5, a + 512, 64);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
}
INLINE void finish_sums(float *sums, int lower) {
  _tile_stored(0, sums, 128);
  _tile_stored(1, sums + 16, 128);
  if (lower) { _tile_stored(2, sums + 512, 128); _tile_stored(3, sums + 528, 128); }
  settle_stores();
}
#else
#include "pair_rows.h"

INLINE void clear_sums(float *sums, size_t rows, int lower) {
  (void)lower;
  memset(sums, 0, rows * PANEL * sizeof(float));
}
INLINE void add_step(const bf16 *a, const bf16 *b, size_t rows, int lower, float *sums) {
  (void)lower;
  multiply_pairs(a, 0, b, 1, rows, sums, sums, (coming_rows){0});
}
INLINE void finish_sums(float *sums, int lower) { (void)sums; (void)lower; }
#endif

#endif
