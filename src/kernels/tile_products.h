/* C = or += A B of a few tiles: on AMX, or by products of pairs in vectors. Only files that compile to nothing without tiles include this. */
#ifndef ROOKERY_TILE_PRODUCTS_H
#define ROOKERY_TILE_PRODUCTS_H

#ifdef ROOKERY_AMX
#include "amx.h"
#else
#include "pairs.h"
#endif

/* Tiles of A follow each other by `tile` bytes for the next sixteen rows of C, by `step` for the next 32 summed. */
typedef struct { const void *at; size_t tile, step, stride; } a_tiles;
typedef struct { const void *at; size_t step; } b_tiles;

#ifdef ROOKERY_AMX
#define A_TILE(number) ((const char *)a.at + (number) * a.tile + step * a.step)
#define MULTIPLY(number, holder) _tile_loadd(holder, A_TILE(number), a.stride); _tile_dpbf16ps(number, holder, 4)

/* C of 1 to 4 tiles (c_tile floats apart, rows c_stride floats apart) = or += A B. */
INLINE void multiply(size_t tiles, a_tiles a, b_tiles b, size_t steps, float *c, size_t c_tile, size_t c_stride, int add) {
  size_t stride = c_stride * sizeof(float);
  settle_stores();
  if (add) {
    _tile_loadd(0, c, stride);
    if (tiles > 1) _tile_loadd(1, c + c_tile, stride);
    if (tiles > 2) _tile_loadd(2, c + 2 * c_tile, stride);
    if (tiles > 3) _tile_loadd(3, c + 3 * c_tile, stride);
  } else {
    _tile_zero(0); _tile_zero(1); _tile_zero(2); _tile_zero(3);
  }
  for (size_t step = 0; step < steps; step++) {
    _tile_loadd(4, (const char *)b.at + step * b.step, 64);
    MULTIPLY(0, 5);
    if (tiles > 1) { MULTIPLY(1, 6); }
    if (tiles > 2) { MULTIPLY(2, 7); }
    if (tiles > 3) { MULTIPLY(3, 5); }
  }
  _tile_stored(0, c, stride);
  if (tiles > 1) _tile_stored(1, c + c_tile, stride);
  if (tiles > 2) _tile_stored(2, c + 2 * c_tile, stride);
  if (tiles > 3) _tile_stored(3, c + 3 * c_tile, stride);
  settle_stores();
}
#else
/* One tile of C. */
static void multiply_tile(const char *a, a_tiles like, b_tiles b, size_t steps, float *c, size_t c_stride, int add) {
  f32_lanes sums[16];
  for (size_t r = 0; r < 16; r++) sums[r] = add ? load_f32(c + r * c_stride) : splat(0);
  const char *columns = b.at;
  for (size_t step = 0; step < steps; step++, a += like.step, columns += b.step) {
    for (size_t pair = 0; pair < 16; pair++) {
      __m512i row = _mm512_loadu_si512(columns + pair * 64);
      for (size_t r = 0; r < 16; r++) {
        uint32_t word;
        memcpy(&word, a + r * like.stride + pair * 4, sizeof word);
        sums[r] = add_pairs(sums[r], word, row);
      }
    }
  }
  for (size_t r = 0; r < 16; r++) store_f32(c + r * c_stride, sums[r]);
}

INLINE void multiply(size_t tiles, a_tiles a, b_tiles b, size_t steps, float *c, size_t c_tile, size_t c_stride, int add) {
  for (size_t tile = 0; tile < tiles; tile++) multiply_tile((const char *)a.at + tile * a.tile, a, b, steps, c + tile * c_tile, c_stride, add);
}
#endif

#endif
