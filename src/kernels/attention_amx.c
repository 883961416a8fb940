/*
 * Attention in bf16 on AMX tiles. Each product is C [16 tall tiles][16 lanes] = A B, where B holds sixteen rows of queries
 * as lanes with pairs of the summed dimension interleaved:
 *   scores  [keys][lanes] = K  q^T      A: rows of K as they lie in memory     B: q, packed once a task
 *   out     [dims][lanes] = V^T p^T     A: V transposed by blocks of keys      B: probabilities, as the softmax leaves them
 *   dq      [dims][lanes] = K^T ds^T    A: K transposed once a sequence        B: gradients of the scores
 *   dk, dv  [keys][dims]  = ds^T q      A: [keys][32 queries]                  B: 32 queries, interleaved by rows
 */
#include "attention.h"

#ifdef ROOKERY_AMX

#define TILE_BYTES 1024
#define TILE_PAIRS 32 /* elements that one step of a product sums over */
#define FORWARD_TILES 16
#define BACKWARD_TILES 8
#define ROW_STEPS (BACKWARD_TILES / 2)
#define SCORE_FLOATS (KEY_BLOCK * LANES)

static size_t steps_of(size_t head_dim) { return (head_dim + 31) / 32; }
static size_t dim_tiles_of(size_t head_dim) { return (head_dim + 15) / 16; }

static void configure_tiles(void) {
  struct { uint8_t palette, start_row, reserved[14]; uint16_t column_bytes[16]; uint8_t rows[16]; } config;
  memset(&config, 0, sizeof config);
  config.palette = 1;
  for (int tile = 0; tile < 8; tile++) { config.column_bytes[tile] = 64; config.rows[tile] = 16; }
  _tile_loadconfig(&config);
}

/* Tiles of A follow each other by `tile` bytes for the next sixteen rows of C, by `step` for the next 32 summed. */
typedef struct { const void *at; size_t tile, step, stride; } a_tiles;
typedef struct { const void *at; size_t step; } b_tiles;

#define A_TILE(number) ((const char *)a.at + (number) * a.tile + step * a.step)
#define MULTIPLY(number, holder) _tile_loadd(holder, A_TILE(number), a.stride); _tile_dpbf16ps(number, holder, 4)

/* C of 1 to 4 tiles (c_tile floats apart, rows c_stride floats apart) = or += A B. */
INLINE void multiply(size_t tiles, a_tiles a, b_tiles b, size_t steps, float *c, size_t c_tile, size_t c_stride, int add) {
  size_t stride = c_stride * sizeof(float);
  __asm__ volatile("" ::: "memory"); /* tile loads do not tell the compiler that they read memory */
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
  __asm__ volatile("" ::: "memory");
}

/* ---- packing ---- */

/* Scores are those of |scale|; a negative one flips the sign of q. A factor of 0 would turn -inf into NaN. */
static float score_factor(float scale) {
  float factor = (scale < 0 ? -scale : scale) * LOG2_E;
  return factor > 1e-37f ? factor : 1e-37f;
}
static uint32_t score_sign(float scale) { return scale < 0 ? 0x80008000u : 0; }

/* 32 bf16 from p on, of the `left` that there still are. */
INLINE __m512i load_words(const bf16 *p, size_t left) {
  if (left >= 32) return _mm512_loadu_si512(p);
  return _mm512_maskz_loadu_epi16((__mmask32)((1u << left) - 1), p);
}

/* Two rows of 32 as pairs: {x0 y0 .. x15 y15} in `low`, the other sixteen in `high`. */
typedef struct { __m512i low, high; } row_pairs;
INLINE row_pairs interleave(__m512i x, __m512i y) {
  __m512i low = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39, 7, 38, 6, 37, 5, 36, 4,
                                 35, 3, 34, 2, 33, 1, 32, 0);
  __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
  return (row_pairs){_mm512_permutex2var_epi16(x, low, y), _mm512_permutex2var_epi16(x, high, y)};
}

/* Sixteen lanes of queries as B tiles [steps][16 pairs of dims][16 lanes]; `sign` is xored onto each element. */
static void pack_lanes(const attention *a, const lane_tile *t, const char *from, uint32_t sign, char *to) {
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

/* Two lane tiles, or one, as the B tiles [dim tiles][16 pairs of rows][16 dims] of their rows. */
static void pack_rows(const attention *a, const lane_tile *tiles, size_t count, const char *from, char *to) {
  size_t dim_tiles = dim_tiles_of(a->head_dim);
  for (size_t pair = 0; pair < 16; pair++) {
    for (size_t d = 0; d < a->head_dim; d += 32) {
      __m512i x[2];
      for (size_t i = 0; i < 2; i++) {
        size_t tile = pair / 8, lane = 2 * pair % LANES + i;
        x[i] = _mm512_setzero_si512();
        if (tile < count && lane < tiles[tile].lanes) {
          x[i] = load_words((const bf16 *)from + tiles[tile].vector[lane] * a->head_dim + d, a->head_dim - d);
        }
      }
      row_pairs pairs = interleave(x[0], x[1]);
      char *tile = to + d / 16 * TILE_BYTES + pair * 64;
      _mm512_storeu_si512(tile, pairs.low);
      if (d / 16 + 1 < dim_tiles) _mm512_storeu_si512(tile + TILE_BYTES, pairs.high);
    }
  }
}

/*
 * Up to 32 keys (of K or V) transposed to A tiles, the one of dims 16 i .. 16 i + 15 at to + i * tile; zeros behind the n-th.
 * Answers whether something is not finite.
 */
static int pack_transposed(const attention *a, const bf16 *from, size_t n, char *to, size_t tile) {
  size_t dim_tiles = dim_tiles_of(a->head_dim), stride = a->kv_heads * a->head_dim;
  __m512i exponent = _mm512_set1_epi16(0x7f80);
  __mmask32 seen = 0;
  for (size_t d = 0; d < a->head_dim; d += 32) {
    f32_lanes low[LANES], high[LANES];
    for (size_t pair = 0; pair < LANES; pair++) {
      __m512i x[2];
      for (size_t i = 0; i < 2; i++) {
        x[i] = _mm512_setzero_si512();
        if (2 * pair + i < n) x[i] = load_words(from + (2 * pair + i) * stride + d, a->head_dim - d);
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

/* A tiles of the keys from `first` on: as they lie, or, where a tile would reach past a row or the sequence, a copy. */
static a_tiles key_tiles(const attention *a, const attention_sequence *s, size_t kv_head, size_t first, size_t there,
                         const char *from, char *copy) {
  const bf16 *keys = (const bf16 *)from + key_vector(a, s, kv_head, first) * a->head_dim;
  size_t stride = a->kv_heads * a->head_dim, padded = round_up_to(there, 16), copy_stride = steps_of(a->head_dim) * 32;
  if (a->head_dim % 32 == 0 && first + padded <= (size_t)s->keys) return (a_tiles){keys, 16 * stride * 2, 64, stride * 2};
  for (size_t j = 0; j < padded; j++) {
    for (size_t d = 0; d < a->head_dim; d += 32) {
      __m512i x = j < there ? load_words(keys + j * stride + d, a->head_dim - d) : _mm512_setzero_si512();
      _mm512_storeu_si512((bf16 *)copy + j * copy_stride + d, x);
    }
  }
  return (a_tiles){copy, 16 * copy_stride * 2, 64, copy_stride * 2};
}

/* Two vectors of keys j and j + 1 as one row of pairs, rounded to bf16. */
INLINE __m512i join_words(__m512i words) {
  __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4,
                                   19, 3, 18, 2, 17, 1, 16, 0);
  return _mm512_permutexvar_epi16(order, words);
}
INLINE __m512i round_two(f32_lanes first, f32_lanes second) {
  return (__m512i)_mm512_cvtne2ps_pbh((__m512)second, (__m512)first);
}

/* ---- forward ---- */

typedef struct {
  char *q;        /* [tiles][steps] B tiles */
  float *out;     /* [tiles][dim tiles * 16][16] */
  float *maximum; /* [tiles][16], in base 2 */
  float *sum;     /* [tiles][16] */
  float *scores;  /* [2][64][16] */
  float *product; /* [64][16] */
  char *p;        /* [2] B tiles */
  char *values;   /* [dim tiles][2] A tiles */
  char *keys;     /* [64][steps * 32] bf16 */
} forward_room;

/* Gives each field its place from `start` on; answers the bytes of all. */
static size_t lay_out_forward(size_t head_dim, uintptr_t start, forward_room *room) {
  size_t steps = steps_of(head_dim), dim_tiles = dim_tiles_of(head_dim), used = 0;
#define ROOM(field, bytes) room->field = (void *)(start + used); used += (bytes)
  ROOM(q, FORWARD_TILES * steps * TILE_BYTES);
  ROOM(out, FORWARD_TILES * dim_tiles * TILE_BYTES);
  ROOM(maximum, FORWARD_TILES * 64);
  ROOM(sum, FORWARD_TILES * 64);
  ROOM(scores, 2 * SCORE_FLOATS * sizeof(float));
  ROOM(product, 4 * TILE_BYTES);
  ROOM(p, 2 * TILE_BYTES);
  ROOM(values, dim_tiles * 2 * TILE_BYTES);
  ROOM(keys, KEY_BLOCK * steps * 64);
  return used;
}

size_t attention_amx_forward_thread_bytes(size_t head_dim) {
  forward_room room;
  return lay_out_forward(head_dim, 0, &room);
}
size_t attention_amx_task_rows(void) { return FORWARD_TILES * LANES; }

/* Scores of n keys become probabilities in pairs; answers the scale for what was summed before. `factor` > 0. */
INLINE f32_lanes softmax_pairs(float *scores, size_t n, const lane_tile *t, size_t first_key, float factor, float *maximum,
                            float *sum, char *pairs) {
  f32_lanes infinity = splat(__builtin_inff()), before = load_f32(maximum);
  f32_lanes even = -infinity, odd = -infinity;
  if (some_lane_sees_less(t, first_key, n)) {
    for (size_t j = 0; j < n; j++) {
      f32_lanes x = select(lanes_that_see(t, first_key + j), load_f32(scores + j * LANES), -infinity);
      store_f32(scores + j * LANES, x);
    }
  }
  if (n % 2) store_f32(scores + n * LANES, -infinity);
  size_t even_n = n + n % 2;
  for (size_t j = 0; j < even_n; j += 2) {
    even = vector_max(load_f32(scores + j * LANES), even);
    odd = vector_max(load_f32(scores + (j + 1) * LANES), odd);
  }
  f32_lanes largest = vector_max(vector_max(even, odd) * splat(factor), before);
  /* where all scores are -inf so far, subtract 0 instead of -inf */
  f32_lanes subtracted = select(largest == -infinity, splat(0), largest);
  f32_lanes even_sum = splat(0), odd_sum = splat(0);
  for (size_t j = 0; j < even_n; j += 2) {
    f32_lanes first = vector_exp2(vector_fma(load_f32(scores + j * LANES), splat(factor), -subtracted), 0);
    f32_lanes second = vector_exp2(vector_fma(load_f32(scores + (j + 1) * LANES), splat(factor), -subtracted), 0);
    even_sum += first;
    odd_sum += second;
    _mm512_storeu_si512(pairs + j * 32, join_words(round_two(first, second)));
  }
  for (size_t j = even_n; j < round_up_to(n, TILE_PAIRS); j += 2) _mm512_storeu_si512(pairs + j * 32, _mm512_setzero_si512());
  f32_lanes scale = vector_exp2(before - subtracted, 1);
  store_f32(maximum, largest);
  store_f32(sum, vector_fma(load_f32(sum), scale, even_sum + odd_sum));
  return scale;
}

/* out = out * scale + values p for the lanes of `only`. */
INLINE void add_values(const forward_room *room, size_t dim_tiles, size_t n, f32_lanes scale, float *out, const i32_lanes *only) {
  for (size_t i = 0; i < dim_tiles; i += 4) {
    size_t tiles = smaller_of(4, dim_tiles - i);
    a_tiles values = {room->values + 2 * i * TILE_BYTES, 2 * TILE_BYTES, TILE_BYTES, 64};
    multiply(tiles, values, (b_tiles){room->p, TILE_BYTES}, (n + 31) / 32, room->product, 16 * LANES, LANES, 0);
    float *at = out + i * 16 * LANES;
    for (size_t d = 0; d < tiles * 16; d++) {
      f32_lanes before = load_f32(at + d * LANES), after = vector_fma(before, scale, load_f32(room->product + d * LANES));
      store_f32(at + d * LANES, only ? select(*only, after, before) : after);
    }
  }
}

static int pack_values(const attention *a, const bf16 *from, size_t n, char *to) {
  int special = pack_transposed(a, from, smaller_of(n, 32), to, 2 * TILE_BYTES);
  if (n > 32) special |= pack_transposed(a, from + 32 * a->kv_heads * a->head_dim, n - 32, to + TILE_BYTES, 2 * TILE_BYTES);
  return special;
}

/* Where values are not finite: 0 times them is NaN, so each lane's sum is taken over only the keys that it sees. */
static void add_values_by_lane(const attention *a, const forward_room *room, const bf16 *from, size_t first, size_t there,
                               const lane_tile *t, f32_lanes scale, float *out) {
  size_t n = keys_seen(t, first);
  for (int32_t position = t->least_position; position <= t->most_position; position++) {
    if (position < (int32_t)first) continue;
    size_t seen = smaller_of(n, (size_t)position + 1 - first);
    i32_lanes only = (i32_lanes)(t->position == (i32_lanes){0} + position);
    memset(room->values, 0, dim_tiles_of(a->head_dim) * 2 * TILE_BYTES);
    pack_values(a, from, seen, room->values);
    add_values(room, dim_tiles_of(a->head_dim), n, scale, out, &only);
  }
  pack_values(a, from, there, room->values);
}

void attention_amx_forward_task(void *context, int32_t task, int32_t thread) {
  const attention *a = context;
  size_t kv_head = (size_t)task % a->kv_heads;
  int32_t block = task / (int32_t)a->kv_heads;
  size_t number = sequence_of_task(a->first_task, a->count, block);
  const attention_sequence *s = a->sequences + number;
  size_t first_row = (size_t)(block - a->first_task[number]) * FORWARD_TILES * LANES;
  size_t end = smaller_of(first_row + FORWARD_TILES * LANES, (size_t)s->queries * a->group);
  size_t steps = steps_of(a->head_dim), dim_tiles = dim_tiles_of(a->head_dim), tile_floats = dim_tiles * 16 * LANES;
  float factor = score_factor(a->scale);

  forward_room room;
  lay_out_forward(a->head_dim, (uintptr_t)a->thread_scratch + (size_t)thread * a->thread_bytes, &room);
  configure_tiles();
  lane_tile tiles[FORWARD_TILES];
  size_t count = (end - first_row + LANES - 1) / LANES;
  memset(room.out, 0, count * tile_floats * sizeof(float));
  for (size_t i = 0; i < count; i++) {
    tiles[i] = make_lane_tile(a, s, kv_head, first_row + i * LANES, end);
    pack_lanes(a, &tiles[i], a->q, score_sign(a->scale), room.q + i * steps * TILE_BYTES);
    store_f32(room.maximum + i * LANES, splat(-__builtin_inff()));
    store_f32(room.sum + i * LANES, splat(0));
  }
  size_t key_end = (size_t)tiles[count - 1].most_position + 1;
  for (size_t first = 0; first < key_end; first += KEY_BLOCK) {
    size_t there = smaller_of(KEY_BLOCK, key_end - first);
    a_tiles keys = key_tiles(a, s, kv_head, first, there, a->k, room.keys);
    const bf16 *values = (const bf16 *)a->v + key_vector(a, s, kv_head, first) * a->head_dim;
    int special = pack_values(a, values, there, room.values);
    size_t i = 0;
    while (!keys_seen(&tiles[i], first)) i++;
    for (size_t ahead = i; i < count; i++) {
      /* the next tile's scores are under way while this one's softmax is */
      for (; ahead < count && ahead <= i + 1; ahead++) {
        b_tiles q = {room.q + ahead * steps * TILE_BYTES, TILE_BYTES};
        multiply((keys_seen(&tiles[ahead], first) + 15) / 16, keys, q, steps, room.scores + (ahead & 1) * SCORE_FLOATS,
                 16 * LANES, LANES, 0);
      }
      size_t n = keys_seen(&tiles[i], first);
      f32_lanes scale = softmax_pairs(room.scores + (i & 1) * SCORE_FLOATS, n, &tiles[i], first, factor,
                                   room.maximum + i * LANES, room.sum + i * LANES, room.p);
      float *out = room.out + i * tile_floats;
      if (special && some_lane_sees_less(&tiles[i], first, there)) {
        add_values_by_lane(a, &room, values, first, there, &tiles[i], scale, out);
      } else {
        add_values(&room, dim_tiles, n, scale, out, 0);
      }
    }
  }
  _tile_release();
  for (size_t i = 0; i < count; i++) {
    f32_lanes total = load_f32(room.sum + i * LANES);
    store_lanes(a, &tiles[i], room.out + i * tile_floats, splat(1) / total, a->out, 0, 1);
    store_log_sum_exp(a, &tiles[i], load_f32(room.maximum + i * LANES), total);
  }
}

/* ---- backward ---- */

typedef struct {
  char *q, *dout;           /* [tiles][steps] B tiles of lanes */
  char *q_rows, *dout_rows; /* [row steps][dim tiles] B tiles of rows */
  float *dq;                /* [tiles][dim tiles * 16][16] */
  float *log2_sum, *delta;  /* [tiles][16] */
  float *scores, *dscores;  /* [2][64][16] */
  char *p, *ds;             /* [4 tiles of keys][row steps] A tiles */
  char *ds_pairs;           /* [2] B tiles */
  char *keys, *values;      /* [64][steps * 32] bf16 */
} backward_room;

static size_t lay_out_backward(size_t head_dim, uintptr_t start, backward_room *room) {
  size_t steps = steps_of(head_dim), dim_tiles = dim_tiles_of(head_dim), used = 0;
  ROOM(q, BACKWARD_TILES * steps * TILE_BYTES);
  ROOM(dout, BACKWARD_TILES * steps * TILE_BYTES);
  ROOM(q_rows, ROW_STEPS * dim_tiles * TILE_BYTES);
  ROOM(dout_rows, ROW_STEPS * dim_tiles * TILE_BYTES);
  ROOM(dq, BACKWARD_TILES * dim_tiles * TILE_BYTES);
  ROOM(log2_sum, BACKWARD_TILES * 64);
  ROOM(delta, BACKWARD_TILES * 64);
  ROOM(scores, 2 * SCORE_FLOATS * sizeof(float));
  ROOM(dscores, 2 * SCORE_FLOATS * sizeof(float));
  ROOM(p, 4 * ROW_STEPS * TILE_BYTES);
  ROOM(ds, 4 * ROW_STEPS * TILE_BYTES);
  ROOM(ds_pairs, 2 * TILE_BYTES);
  ROOM(keys, KEY_BLOCK * steps * 64);
  ROOM(values, KEY_BLOCK * steps * 64);
  return used;
}

size_t attention_amx_backward_thread_bytes(size_t head_dim) {
  backward_room room;
  return lay_out_backward(head_dim, 0, &room);
}
/* sums of dk and dv in f32, and K transposed */
size_t attention_amx_key_bytes(size_t head_dim) { return dim_tiles_of(head_dim) * 16 * (4 + 4 + 2); }

/*
 * Probabilities p and gradients of scores ds = p (dscores - delta) scale of one lane tile, rounded to bf16: into its half of
 * the A tiles of p and ds (zeros from n to `padded` keys), and ds in pairs too.
 */
INLINE void softmax_backward_pairs(const float *scores, const float *dscores, size_t n, size_t padded, const lane_tile *t,
                                   size_t first_key, float factor, float scale, const float *log2_sum, const float *delta,
                                   char *p_half, char *ds_half, char *ds_pairs) {
  int masked = some_lane_sees_less(t, first_key, n) || n % 2;
  f32_lanes subtracted = load_f32(log2_sum), offset = load_f32(delta);
  for (size_t j = 0; j < padded; j += 2) {
    __m512i p_words = _mm512_setzero_si512(), ds_words = p_words;
    if (j < n) {
      f32_lanes p[2], ds[2];
      for (size_t u = 0; u < 2; u++) {
        size_t at = (j + u) * LANES;
        p[u] = vector_exp2(vector_fma(load_f32(scores + at), splat(factor), -subtracted), 0);
        ds[u] = p[u] * (load_f32(dscores + at) - offset) * splat(scale);
        if (masked) {
          i32_lanes sees = lanes_that_see(t, first_key + j + u);
          p[u] = select(sees, p[u], splat(0));
          ds[u] = select(sees, ds[u], splat(0));
        }
      }
      p_words = round_two(p[0], p[1]);
      ds_words = round_two(ds[0], ds[1]);
    }
    /* a tile of sixteen keys holds 32 queries a row; the next one is ROW_STEPS tiles on */
    size_t at = j / 16 * ROW_STEPS * TILE_BYTES + j % 16 * 64;
    _mm256_storeu_si256((__m256i *)(p_half + at), _mm512_castsi512_si256(p_words));
    _mm256_storeu_si256((__m256i *)(p_half + at + 64), _mm512_extracti64x4_epi64(p_words, 1));
    _mm256_storeu_si256((__m256i *)(ds_half + at), _mm512_castsi512_si256(ds_words));
    _mm256_storeu_si256((__m256i *)(ds_half + at + 64), _mm512_extracti64x4_epi64(ds_words, 1));
    _mm512_storeu_si512(ds_pairs + j * 32, join_words(ds_words));
  }
  for (size_t j = padded; j < round_up_to(padded, TILE_PAIRS); j += 2) {
    _mm512_storeu_si512(ds_pairs + j * 32, _mm512_setzero_si512());
  }
}

typedef struct {
  float *dk, *dv;   /* [keys][dim tiles * 16] */
  char *transposed; /* K: [blocks of 32 keys][dim tiles] A tiles */
} key_room;

/* Adds up to BACKWARD_TILES tiles of queries, from first_row on, to the sums of dk and dv, and stores their dq. */
static void backward_rows(const attention *a, const attention_sequence *s, size_t kv_head, size_t first_row, size_t end,
                          const key_room *sums, const backward_room *room) {
  size_t steps = steps_of(a->head_dim), dim_tiles = dim_tiles_of(a->head_dim), stride = dim_tiles * 16;
  size_t tile_floats = stride * LANES, lane_bytes = steps * TILE_BYTES;
  float factor = score_factor(a->scale);
  lane_tile tiles[BACKWARD_TILES];
  size_t count = (end - first_row + LANES - 1) / LANES, row_steps = (count + 1) / 2;
  memset(room->dq, 0, count * tile_floats * sizeof(float));
  for (size_t i = 0; i < count; i++) {
    tiles[i] = make_lane_tile(a, s, kv_head, first_row + i * LANES, end);
    pack_lanes(a, &tiles[i], a->q, score_sign(a->scale), room->q + i * lane_bytes);
    pack_lanes(a, &tiles[i], a->dout, 0, room->dout + i * lane_bytes);
    row_statistics(a, &tiles[i], room->log2_sum + i * LANES, room->delta + i * LANES, 1);
  }
  for (size_t i = 0; i < row_steps; i++) {
    pack_rows(a, tiles + 2 * i, count - 2 * i, a->q, room->q_rows + i * dim_tiles * TILE_BYTES);
    pack_rows(a, tiles + 2 * i, count - 2 * i, a->dout, room->dout_rows + i * dim_tiles * TILE_BYTES);
  }
  size_t key_end = (size_t)tiles[count - 1].most_position + 1;
  for (size_t first = 0; first < key_end; first += KEY_BLOCK) {
    size_t there = smaller_of(KEY_BLOCK, key_end - first), padded = round_up_to(there, 16);
    a_tiles keys = key_tiles(a, s, kv_head, first, there, a->k, room->keys);
    a_tiles values = key_tiles(a, s, kv_head, first, there, a->v, room->values);
    size_t i = 0;
    while (!keys_seen(&tiles[i], first)) i++;
    size_t first_step = i / 2;
    for (size_t ahead = i & ~(size_t)1, from = i; ahead < 2 * row_steps; ahead++) {
      if (ahead >= from && ahead < count) continue;
      /* the half of a step that no queries fill */
      size_t half = ahead / 2 * TILE_BYTES + ahead % 2 * 32;
      for (size_t j = 0; j < padded; j++) {
        size_t at = j / 16 * ROW_STEPS * TILE_BYTES + j % 16 * 64 + half;
        memset(room->p + at, 0, 32);
        memset(room->ds + at, 0, 32);
      }
    }
    for (size_t ahead = i; i < count; i++) {
      /* the next tile's products are under way while this one's softmax is */
      for (; ahead < count && ahead <= i + 1; ahead++) {
        size_t key_tiles_seen = (keys_seen(&tiles[ahead], first) + 15) / 16, at = (ahead & 1) * SCORE_FLOATS;
        b_tiles q = {room->q + ahead * lane_bytes, TILE_BYTES}, dout = {room->dout + ahead * lane_bytes, TILE_BYTES};
        multiply(key_tiles_seen, keys, q, steps, room->scores + at, 16 * LANES, LANES, 0);
        multiply(key_tiles_seen, values, dout, steps, room->dscores + at, 16 * LANES, LANES, 0);
      }
      size_t half = i / 2 * TILE_BYTES + i % 2 * 32, n = keys_seen(&tiles[i], first);
      softmax_backward_pairs(room->scores + (i & 1) * SCORE_FLOATS, room->dscores + (i & 1) * SCORE_FLOATS, n, padded,
                             &tiles[i], first, factor, a->scale, room->log2_sum + i * LANES, room->delta + i * LANES,
                             room->p + half, room->ds + half, room->ds_pairs);
      for (size_t d = 0; d < dim_tiles; d += 4) {
        const char *k = sums->transposed + (first / 32 * dim_tiles + d) * TILE_BYTES;
        multiply(smaller_of(4, dim_tiles - d), (a_tiles){k, TILE_BYTES, dim_tiles * TILE_BYTES, 64},
                 (b_tiles){room->ds_pairs, TILE_BYTES}, (n + 31) / 32, room->dq + i * tile_floats + d * 16 * LANES,
                 16 * LANES, LANES, 1);
      }
    }
    size_t at = first_step * TILE_BYTES, used = row_steps - first_step;
    for (size_t d = 0; d < dim_tiles; d++) {
      size_t rows_at = (first_step * dim_tiles + d) * TILE_BYTES;
      b_tiles dout = {room->dout_rows + rows_at, dim_tiles * TILE_BYTES}, q = {room->q_rows + rows_at, dim_tiles * TILE_BYTES};
      a_tiles p = {room->p + at, ROW_STEPS * TILE_BYTES, TILE_BYTES, 64}, ds = p;
      ds.at = room->ds + at;
      multiply(padded / 16, p, dout, used, sums->dv + first * stride + d * 16, 16 * stride, stride, 1);
      multiply(padded / 16, ds, q, used, sums->dk + first * stride + d * 16, 16 * stride, stride, 1);
    }
  }
  for (size_t i = 0; i < count; i++) {
    store_lanes(a, &tiles[i], room->dq + i * tile_floats, splat(1), a->dq, a->accumulate, 1);
  }
}

void attention_amx_backward_task(void *context, int32_t task, int32_t thread) {
  const attention *a = context;
  size_t kv_head = (size_t)task % a->kv_heads, number = (size_t)task / a->kv_heads;
  const attention_sequence *s = a->sequences + number;
  size_t dim_tiles = dim_tiles_of(a->head_dim), stride = dim_tiles * 16;
  size_t keys = (size_t)s->keys, floats = round_up_to(keys, KEY_PADDING) * stride;

  backward_room room;
  lay_out_backward(a->head_dim, (uintptr_t)a->thread_scratch + (size_t)thread * a->thread_bytes, &room);
  key_room sums;
  sums.dk = (float *)key_scratch(a, number, kv_head, attention_amx_key_bytes(a->head_dim));
  sums.dv = sums.dk + floats;
  sums.transposed = (char *)(sums.dv + floats);
  memset(sums.dk, 0, 2 * floats * sizeof(float));
  for (size_t key = 0; key < keys; key += 32) {
    const bf16 *from = (const bf16 *)a->k + key_vector(a, s, kv_head, key) * a->head_dim;
    pack_transposed(a, from, smaller_of(32, keys - key), sums.transposed + key / 32 * dim_tiles * TILE_BYTES, TILE_BYTES);
  }
  configure_tiles();
  size_t rows = (size_t)s->queries * a->group;
  for (size_t row = 0; row < rows; row += BACKWARD_TILES * LANES) {
    backward_rows(a, s, kv_head, row, smaller_of(row + BACKWARD_TILES * LANES, rows), &sums, &room);
  }
  _tile_release();
  store_key_sums(a, s, kv_head, sums.dk, stride, a->dk, 1);
  store_key_sums(a, s, kv_head, sums.dv, stride, a->dv, 1);
}

#endif
