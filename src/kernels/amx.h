/* The shapes of AMX tiles. */
#ifndef ROOKERY_AMX_H
#define ROOKERY_AMX_H

#include "words.h"

/*
 * Tiles 0-3 hold C (2 x 2 blocks of 16 x 16, of which `rows` <= 32 are there), 4-5 the rows of A, 6-7 the columns of B; with 32
 * every tile is 16 rows of 64 bytes.
 */
INLINE void configure_tiles(size_t rows) {
  struct { uint8_t palette, start_row, reserved[14]; uint16_t column_bytes[16]; uint8_t rows[16]; } config;
  memset(&config, 0, sizeof config);
  config.palette = 1;
  uint8_t upper = (uint8_t)smaller(rows, 16), lower = (uint8_t)(rows > 16 ? rows - 16 : 16);
  for (int tile = 0; tile < 8; tile++) {
    config.column_bytes[tile] = 64;
    config.rows[tile] = tile == 2 || tile == 3 || tile == 5 ? lower : tile >= 6 ? 16 : upper;
  }
  _tile_loadconfig(&config);
}
INLINE void release_tiles(void) { _tile_release(); }

#endif
