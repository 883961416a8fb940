/*
 * Attention in bf16, in tiles. Each product is C [16 tall tiles][16 lanes] = A B, where B holds sixteen rows of queries
 * as lanes with pairs of the summed dimension interleaved:
 *   scores  [keys][lanes] = K  q^T      A: rows of K as they lie in memory     B: q, packed once a task
 *   out     [dims][lanes] = V^T p^T     A: V transposed by blocks of keys      B: probabilities, as the softmax leaves them
 *   dq      [dims][lanes] = K^T ds^T    A: K transposed once a sequence        B: gradients of the scores
 *   dk, dv  [keys][dims]  = ds^T q      A: [keys][32 queries]                  B: 32 queries, interleaved by rows
 */
#ifndef ROOKERY_ATTENTION_TILES_H
#define ROOKERY_ATTENTION_TILES_H

#include "attention.h"
#include "fp8.h"
#include "tile_products.h"

#define TILE_BYTES 1024
#define TILE_PAIRS 32 /* elements that one step of a product sums over */
#define SCORE_FLOATS (KEY_BLOCK * LANES)

INLINE size_t steps_of(size_t head_dim) { return ceil_div(head_dim, 32); }
INLINE size_t dim_tiles_of(size_t head_dim) { return ceil_div(head_dim, 16); }

/* Gives a field of a room its place, `used` bytes behind `start`. */
#define ROOM(field, bytes) room->field = (void *)(start + used); used += (bytes)

/* ---- packing ---- */

/* Scores are those of |scale|; a negative one flips the sign of q. A factor of 0 would turn -inf into NaN. */
INLINE float score_factor(float scale) {
  float factor = (scale < 0 ? -scale : scale) * LOG2_E;
  return factor > 1e-37f ? factor : 1e-37f;
}
INLINE uint32_t score_sign(float scale) { return scale < 0 ? 0x80008000u : 0; }

/* 32 bf16 from p on, of the `left` that there still are. */
INLINE __m512i load_words(const bf16 *p, size_t left) {
  return left >= 32 ? _mm512_loadu_si512(p) : _mm512_maskz_loadu_epi16(lanes_below32(left), p);
}

/* Sixteen lanes of queries as B tiles [steps][16 pairs of dims][16 lanes]; `sign` is xored onto each element. */
static inline void pack_lanes(const attention *a, const lane_tile *t, const char *from, uint32_t sign, char *to) {
  for (size_t d = 0; d < a->head_dim; d += 32, to += TILE_BYTES) {
    f32_lanes r[LANES];
    for (size_t lane = 0; lane < LANES; lane++) {
      __m512i x = _mm512_setzero_si512();
      if (lane < t->lanes) {
        const bf16 *row = (const bf16 *)from + t->vector[lane] * a->head_dim;
        x = _mm512_xor_si512(load_words(row + d, a->head_dim - d), _mm512_set1_epi32((int)sign));
      }
      r[lane] = (f32_lanes)x;
    }
    transpose_lanes(r);
    for (size_t i = 0; i < LANES; i++) store_f32((float *)to + i * LANES, r[i]);
  }
}

/* Rows of one KV head, `stride` elements apart. */
typedef struct { const bf16 *at; size_t stride; } key_rows;

INLINE key_rows rows_from(const attention *a, const attention_sequence *s, size_t kv_head, size_t first, const char *from) {
  return (key_rows){(const bf16 *)from + key_vector(a, s, kv_head, first) * a->head_dim, key_step(a) * a->head_dim};
}

/* Where a block of keys can be read as bf16: as it lies, or, of 8-bit ones, a copy [64][steps * 32] with zeros behind each row. */
INLINE key_rows block_rows(const attention *a, const attention_sequence *s, size_t kv_head, size_t first, size_t there,
                           const char *from, char *copy) {
  if (a->key_type != ROOKERY_FP8) return rows_from(a, s, kv_head, first, from);
  const uint8_t *at = (const uint8_t *)from + key_vector(a, s, kv_head, first) * a->head_dim;
  size_t stride = steps_of(a->head_dim) * 32;
  for (size_t j = 0; j < there; j++, at += key_step(a) * a->head_dim) {
    for (size_t d = 0; d < a->head_dim; d += 32) {
      __m256i x = _mm256_maskz_loadu_epi8(lanes_below32(smaller(32, a->head_dim - d)), at + d);
      _mm512_storeu_si512((bf16 *)copy + j * stride + d, fp8_to_bf16(x));
    }
  }
  return (key_rows){(const bf16 *)copy, stride};
}

/* Memory that is read soon, asked for a few lines at a time beside other work: all at once would hold up what is read now. */
typedef struct { const char *at, *end; } coming_lines;
INLINE void fetch_lines(coming_lines *coming, size_t lines) {
  for (size_t i = 0; i < lines && coming->at < coming->end; i++, coming->at += 64) _mm_prefetch(coming->at, _MM_HINT_T0);
}

/*
 * Up to 32 keys (of K or V) transposed to A tiles, the one of dims 16 i .. 16 i + 15 at to + i * tile; zeros behind the n-th.
 * Answers whether something is not finite.
 */
static inline int pack_transposed(size_t head_dim, key_rows rows, size_t n, char *to, size_t tile) {
  size_t dim_tiles = dim_tiles_of(head_dim);
  __m512i exponent = _mm512_set1_epi16(0x7f80);
  __mmask32 seen = 0;
  for (size_t d = 0; d < head_dim; d += 32) {
    f32_lanes low[LANES], high[LANES];
    for (size_t pair = 0; pair < LANES; pair++) {
      __m512i x[2];
      for (size_t i = 0; i < 2; i++) {
        x[i] = _mm512_setzero_si512();
        if (2 * pair + i < n) x[i] = load_words(rows.at + (2 * pair + i) * rows.stride + d, head_dim - d);
        seen |= _mm512_cmpeq_epi16_mask(_mm512_and_si512(x[i], exponent), exponent);
      }
      row_pairs pairs = interleave(x[0], x[1]);
      low[pair] = (f32_lanes)pairs.low;
      high[pair] = (f32_lanes)pairs.high;
    }
    char *at = to + d / 16 * tile;
    transpose_lanes(low);
    for (size_t i = 0; i < LANES; i++) store_f32((float *)at + i * LANES, low[i]);
    if (d / 16 + 1 < dim_tiles) {
      transpose_lanes(high);
      for (size_t i = 0; i < LANES; i++) store_f32((float *)(at + tile) + i * LANES, high[i]);
    }
  }
  return seen != 0;
}

/*
 * A tiles of `there` keys: as they lie, if rows fill steps and there are `readable` of them, at least the tiles' own; else a
 * copy [64][steps * 32]. What follows the last key may be anything: it makes scores that nobody looks at.
 */
static inline a_tiles key_tiles(size_t head_dim, key_rows rows, size_t there, size_t readable, char *copy) {
  size_t padded = round_up(there, 16), copy_stride = steps_of(head_dim) * 32;
  int fills_steps = head_dim % 32 == 0 || (const char *)rows.at == copy;
  if (fills_steps && padded <= readable) return (a_tiles){rows.at, 16 * rows.stride * 2, 64, rows.stride * 2};
  for (size_t j = 0; j < padded; j++) {
    for (size_t d = 0; d < head_dim; d += 32) {
      __m512i x = j < there ? load_words(rows.at + j * rows.stride + d, head_dim - d) : _mm512_setzero_si512();
      _mm512_storeu_si512((bf16 *)copy + j * copy_stride + d, x);
    }
  }
  return (a_tiles){copy, 16 * copy_stride * 2, 64, copy_stride * 2};
}

/* The words of keys j and j + 1, one after the other, as one row of pairs. */
INLINE __m512i join_words(__m512i words) {
  __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4,
                                   19, 3, 18, 2, 17, 1, 16, 0);
  return _mm512_permutexvar_epi16(order, words);
}
INLINE __m512i round_two(f32_lanes first, f32_lanes second) { return narrow32((__m512)first, (__m512)second); }

/* ---- attention_tiles_forward.c, attention_tiles_backward.c ---- */

extern const size_t attention_tiles_task_rows;
size_t attention_tiles_forward_bytes(size_t head_dim);
void attention_tiles_forward_task(void *context, int32_t task, int32_t thread);

#endif
