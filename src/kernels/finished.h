/* Blocks of 32 x 32 sums of tiles on their way to memory, whoever made them. Only files that compile to nothing without tiles include this. */
#ifndef ROOKERY_FINISHED_H
#define ROOKERY_FINISHED_H

#include "panels.h"
#include "words.h"

/* A block of finished sums [rows, 32] on its way to c, row by row. */
typedef struct {
  const sums_target *target;
  const float *sums;
  size_t row, column, left; /* what is next, and how many rows are left */
  const float *gate;        /* where these are an up projection's sums: those of its gate, whose product goes to target->gated */
  f32_lanes *squares;       /* of f32 rows as they are stored, added up here, unless 0 */
} finished_block;

/* How the rows of a block go to memory. Blocks of whole panels, which most are, have loops of their own: see multiply_chunk. */
enum { NO_ROWS, BF16_ROWS, BF16_SUM_ROWS, GATED_ROWS, F32_ROWS, F32_SUM_ROWS, PAST_CACHE_ROWS, SCALED = 8 };

INLINE int way_of(const finished_block *block) {
  const sums_target *target = block->target;
  if (!block->left || block->column + PANEL > target->columns) return NO_ROWS;
  int scaled = target->scales ? SCALED : 0;
  if (block->gate) return GATED_ROWS | scaled;
  if (target->dtype == ROOKERY_BF16) return (target->addend ? BF16_SUM_ROWS : BF16_ROWS) | scaled;
  if (scaled) return target->addend ? NO_ROWS : F32_ROWS | SCALED;
  return target->past_cache ? PAST_CACHE_ROWS : target->addend ? F32_SUM_ROWS : F32_ROWS;
}

/* Where the next row of a block lies and goes. */
typedef struct {
  const float *sums, *gate;
  char *c, *gated;
  const char *addend;
  size_t row_bytes, left;
  f32_lanes squares;
  const sums_scales *scales;
  size_t row, column, gate_column;
} row_cursor;

INLINE row_cursor first_row(const finished_block *block) {
  const sums_target *target = block->target;
  size_t element = target->dtype == ROOKERY_F32 ? sizeof(float) : sizeof(bf16), row_bytes = target->columns * element;
  size_t at = block->row * row_bytes + block->column * element;
  row_cursor row = {.sums = block->sums, .gate = block->gate, .c = target->c + at, .addend = target->addend + (target->addend ? at : 0),
                    .row_bytes = row_bytes, .left = block->left, .scales = target->scales, .row = block->row, .column = block->column,
                    .gate_column = block->column - (block->gate ? target->columns / 2 : 0)};
  /* an up projection's columns stand in the right half of c, their products at the same place of a row half as long */
  if (block->gate) row.gated = target->gated + block->row * (row_bytes / 2) + block->column * element - row_bytes / 2;
  return row;
}

/* silu(gate) up, of both as they are rounded to bf16: what is made of the stored ones on the way back is the same. */
INLINE __m512i gated_product(f32_lanes low, f32_lanes high, __m512i up) {
  __m512i narrow = narrow32((__m512)low, (__m512)high);
  f32_lanes product[2];
  for (int half = 0; half < 2; half++) {
    __m256i g = half ? _mm512_extracti64x4_epi64(narrow, 1) : _mm512_castsi512_si256(narrow), u = half ? _mm512_extracti64x4_epi64(up, 1) : _mm512_castsi512_si256(up);
    f32_lanes wide = (f32_lanes)_mm512_slli_epi32(_mm512_cvtepu16_epi32(g), 16);
    product[half] = wide * vector_sigmoid(wide) * (f32_lanes)_mm512_slli_epi32(_mm512_cvtepu16_epi32(u), 16);
  }
  return narrow32((__m512)product[0], (__m512)product[1]);
}

INLINE int is_f32_way(int way) { return way == F32_ROWS || way == (F32_ROWS | SCALED) || way == F32_SUM_ROWS || way == PAST_CACHE_ROWS; }

INLINE void store_next_row(row_cursor *row, int way) {
  if (way == NO_ROWS || !row->left) return;
  f32_lanes low = load_f32(row->sums), high = load_f32(row->sums + LANES);
  int is_scaled = way & SCALED;
  way &= ~SCALED;
  if (is_scaled) { low = scaled_sums(row->scales, low, row->row, row->column); high = scaled_sums(row->scales, high, row->row, row->column + LANES); }
  if (way == F32_SUM_ROWS) { low += load_f32((const float *)row->addend); high += load_f32((const float *)row->addend + LANES); }
  if (way == BF16_SUM_ROWS) { low += load_bf16((const bf16 *)row->addend); high += load_bf16((const bf16 *)row->addend + LANES); }
  if (is_f32_way(way)) row->squares = vector_fma(high, high, vector_fma(low, low, row->squares));
  if (way == F32_ROWS || way == F32_SUM_ROWS) {
    store_f32((float *)row->c, low);
    store_f32((float *)row->c + LANES, high);
  } else if (way == PAST_CACHE_ROWS) {
    _mm512_stream_ps((float *)row->c, (__m512)low);
    _mm512_stream_ps((float *)row->c + LANES, (__m512)high);
  } else {
    __m512i narrow = narrow32((__m512)low, (__m512)high);
    _mm512_storeu_si512(row->c, narrow);
    if (way == GATED_ROWS) {
      low = load_f32(row->gate);
      high = load_f32(row->gate + LANES);
      if (is_scaled) { low = scaled_sums(row->scales, low, row->row, row->gate_column); high = scaled_sums(row->scales, high, row->row, row->gate_column + LANES); }
      _mm512_storeu_si512(row->gated, gated_product(low, high, narrow));
      row->gate += PANEL;
      row->gated += row->row_bytes / 2;
    }
  }
  if (way == F32_SUM_ROWS || way == BF16_SUM_ROWS) row->addend += row->row_bytes;
  row->sums += PANEL;
  row->c += row->row_bytes;
  row->row++;
  row->left--;
}

/* Blocks with columns past the last go at once. */
INLINE void store_edge_block(finished_block *block) {
  store_block(block->target, block->sums, block->row, block->left, block->column);
  if (!block->squares) return;
  const float *c = (const float *)block->target->c + block->row * block->target->columns + block->column;
  size_t columns = smaller(block->target->columns - block->column, PANEL);
  for (size_t row = 0; row < block->left; row++, c += block->target->columns) {
    for (size_t i = 0; i < columns; i += LANES) {
      f32_lanes v = columns - i >= LANES ? load_f32(c + i) : load_f32_tail(c + i, columns - i);
      *block->squares = vector_fma(v, v, *block->squares);
    }
  }
}

/* What is read after this chunk, fetched early: at each step a line of `rows` rows, `stride` apart; then `step_stride` further on. */
typedef struct { const char *at; size_t rows, stride, step_stride; } coming_rows;

#endif
