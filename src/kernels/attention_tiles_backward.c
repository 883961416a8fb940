/* Attention in tiles, backward, piece by piece (attention.h). See attention_tiles.h for the layouts. */
#include "attention.h"

#ifdef ROOKERY_TILES

#include "attention_tiles.h"

#define BACKWARD_TILES 8
#define ROW_STEPS (BACKWARD_TILES / 2)

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

/* sums of dk and dv in f32, and K transposed */
static size_t key_bytes_of(size_t head_dim) { return dim_tiles_of(head_dim) * 16 * (4 + 4 + 2); }

/*
 * Probabilities p and gradients of scores ds = p (dscores - delta) scale of one lane tile, rounded to bf16: into its half of
 * the A tiles of p and ds (zeros from n to `padded` keys), and ds in pairs too.
 */
INLINE void softmax_backward_pairs(const attention *a, const float *scores, const float *dscores, size_t n, size_t padded, const lane_tile *t,
                                   size_t first_key, float factor, const float *log2_sum, const float *delta, char *p_half, char *ds_half, char *ds_pairs) {
  int masked = some_lane_sees_less(t, first_key, n) || n % 2;
  f32_lanes subtracted = load_f32(log2_sum), offset = load_f32(delta);
  for (size_t j = 0; j < padded; j += 2) {
    __m512i p_words = _mm512_setzero_si512(), ds_words = p_words;
    if (j < n) {
      f32_lanes p[2], ds[2];
      for (size_t u = 0; u < 2; u++) {
        size_t at = (j + u) * LANES;
        p[u] = vector_exp2(vector_fma(load_f32(scores + at), splat(factor), -subtracted), 0);
        f32_lanes dp = load_f32(dscores + at), used = p[u];
        if (a->dropout_threshold) {
          i32_lanes keeps = lanes_that_keep(a, t, first_key + j + u);
          used = select(keeps, p[u] * splat(a->dropout_scale), splat(0));
          dp = select(keeps, dp * splat(a->dropout_scale), splat(0));
        }
        ds[u] = p[u] * (dp - offset) * splat(a->scale);
        p[u] = used;
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
  for (size_t j = padded; j < round_up(padded, TILE_PAIRS); j += 2) {
    _mm512_storeu_si512(ds_pairs + j * 32, _mm512_setzero_si512());
  }
}

typedef struct {
  float *dk, *dv;   /* [keys][dim tiles * 16] */
  char *transposed; /* K: [blocks of 32 keys][dim tiles] A tiles */
} key_room;

/* A step of p and ds takes two lane tiles: zeros in the halves that no tile of [first, count) fills, for `padded` keys. */
INLINE void zero_missing_halves(const backward_room *room, size_t first, size_t count, size_t row_steps, size_t padded) {
  for (size_t tile = first & ~(size_t)1; tile < 2 * row_steps; tile++) {
    if (tile >= first && tile < count) continue;
    size_t half = tile / 2 * TILE_BYTES + tile % 2 * 32;
    for (size_t j = 0; j < padded; j++) {
      size_t at = j / 16 * ROW_STEPS * TILE_BYTES + j % 16 * 64 + half;
      memset(room->p + at, 0, 32);
      memset(room->ds + at, 0, 32);
    }
  }
}

/* dv += p^T dout and dk += ds^T q for the block of keys from `first_key` on, over the steps [first_step, row_steps) of queries. */
INLINE void add_to_keys(const backward_room *room, const key_room *sums, size_t dim_tiles, size_t first_key, size_t padded,
                        size_t first_step, size_t row_steps) {
  size_t at = first_step * TILE_BYTES, steps = row_steps - first_step, stride = dim_tiles * 16;
  for (size_t d = 0; d < dim_tiles; d++) {
    size_t rows_at = (first_step * dim_tiles + d) * TILE_BYTES, sums_at = first_key * stride + d * 16;
    b_tiles dout = {room->dout_rows + rows_at, dim_tiles * TILE_BYTES}, q = {room->q_rows + rows_at, dim_tiles * TILE_BYTES};
    a_tiles p = {room->p + at, ROW_STEPS * TILE_BYTES, TILE_BYTES, 64}, ds = p;
    ds.at = room->ds + at;
    multiply(padded / 16, p, dout, steps, sums->dv + sums_at, 16 * stride, stride, 1);
    multiply(padded / 16, ds, q, steps, sums->dk + sums_at, 16 * stride, stride, 1);
  }
}

/*
 * Adds up to BACKWARD_TILES tiles of a piece's queries, from first_row on, to the sums of dk and dv, and their dq to dq,
 * which the last piece stores.
 */
static void backward_rows(const attention *a, const backward_piece *piece, size_t first_row, size_t end,
                          const key_room *sums, float *dq, const backward_room *room) {
  const attention_sequence *s = piece->sequence;
  size_t kv_head = piece->kv_head;
  size_t steps = steps_of(a->head_dim), dim_tiles = dim_tiles_of(a->head_dim), stride = dim_tiles * 16;
  size_t tile_floats = stride * LANES, lane_bytes = steps * TILE_BYTES;
  float factor = score_factor(a->scale);
  lane_tile tiles[BACKWARD_TILES];
  size_t count = ceil_div(end - first_row, LANES), row_steps = (count + 1) / 2;
  if (piece->starts_queries) memset(dq, 0, count * tile_floats * sizeof(float));
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
  size_t key_end = smaller(piece->key_end, (size_t)tiles[count - 1].most_position + 1);
  for (size_t first = piece->first_key; first < key_end; first += KEY_BLOCK) {
    size_t there = smaller(KEY_BLOCK, key_end - first), padded = round_up(there, 16);
    size_t readable = (size_t)s->keys - first;
    a_tiles keys = key_tiles(a->head_dim, rows_from(a, s, kv_head, first, a->k), there, readable, room->keys);
    a_tiles values = key_tiles(a->head_dim, rows_from(a, s, kv_head, first, a->v), there, readable, room->values);
    size_t i = 0;
    while (!keys_seen(&tiles[i], first)) i++;
    size_t first_step = i / 2;
    zero_missing_halves(room, i, count, row_steps, padded);
    for (size_t ahead = i; i < count; i++) {
      /* the next tile's products are under way while this one's softmax is */
      for (; ahead < count && ahead <= i + 1; ahead++) {
        size_t key_tiles_seen = (keys_seen(&tiles[ahead], first) + 15) / 16, at = (ahead & 1) * SCORE_FLOATS;
        b_tiles q = {room->q + ahead * lane_bytes, TILE_BYTES}, dout = {room->dout + ahead * lane_bytes, TILE_BYTES};
        multiply(key_tiles_seen, keys, q, steps, room->scores + at, 16 * LANES, LANES, 0);
        multiply(key_tiles_seen, values, dout, steps, room->dscores + at, 16 * LANES, LANES, 0);
      }
      size_t half = i / 2 * TILE_BYTES + i % 2 * 32, n = keys_seen(&tiles[i], first);
      softmax_backward_pairs(a, room->scores + (i & 1) * SCORE_FLOATS, room->dscores + (i & 1) * SCORE_FLOATS, n, padded,
                             &tiles[i], first, factor, room->log2_sum + i * LANES, room->delta + i * LANES,
                             room->p + half, room->ds + half, room->ds_pairs);
      for (size_t d = 0; d < dim_tiles; d += 4) {
        const char *k = sums->transposed + (first / 32 * dim_tiles + d) * TILE_BYTES;
        multiply(smaller(4, dim_tiles - d), (a_tiles){k, TILE_BYTES, dim_tiles * TILE_BYTES, 64},
                 (b_tiles){room->ds_pairs, TILE_BYTES}, (n + 31) / 32, dq + i * tile_floats + d * 16 * LANES,
                 16 * LANES, LANES, 1);
      }
    }
    add_to_keys(room, sums, dim_tiles, first, padded, first_step, row_steps);
  }
  if (!piece->ends_queries) return;
  for (size_t i = 0; i < count; i++) {
    store_lanes(a, &tiles[i], dq + i * tile_floats, splat(1), a->dq, a->accumulate, 1);
  }
}

static void backward_task(void *context, int32_t task, int32_t thread) {
  const attention *a = context;
  backward_piece piece = piece_of_task(a, task);
  const attention_sequence *s = piece.sequence;
  size_t dim_tiles = dim_tiles_of(a->head_dim), stride = dim_tiles * 16;
  size_t floats = round_up((size_t)s->keys, KEY_PADDING) * stride;

  backward_room room;
  lay_out_backward(a->head_dim, (uintptr_t)a->thread_scratch + (size_t)thread * a->thread_bytes, &room);
  key_room sums;
  sums.dk = (float *)key_scratch(a, piece.number, piece.kv_head, key_bytes_of(a->head_dim));
  sums.dv = sums.dk + floats;
  sums.transposed = (char *)(sums.dv + floats);
  if (piece.starts_keys) {
    size_t at = piece.first_key * stride, bytes = (round_up(piece.key_end, KEY_PADDING) * stride - at) * sizeof(float);
    memset(sums.dk + at, 0, bytes);
    memset(sums.dv + at, 0, bytes);
    for (size_t key = piece.first_key; key < piece.key_end; key += 32) {
      char *to = sums.transposed + key / 32 * dim_tiles * TILE_BYTES;
      key_rows rows = rows_from(a, s, piece.kv_head, key, a->k);
      pack_transposed(a->head_dim, rows, smaller(32, piece.key_end - key), to, TILE_BYTES);
    }
  }
  configure_tiles(32);
  float *summed_dq = piece.starts_queries && piece.ends_queries ? 0 : query_sums(a, &piece, stride);
  size_t first = piece.first_query * a->group, end = piece.query_end * a->group;
  for (size_t row = first; row < end; row += BACKWARD_TILES * LANES) {
    float *dq = summed_dq ? summed_dq + (row - first) * stride : room.dq;
    backward_rows(a, &piece, row, smaller(row + BACKWARD_TILES * LANES, end), &sums, dq, &room);
  }
  release_tiles();
  if (!piece.ends_keys) return;
  store_key_sums(a, &piece, sums.dk, stride, a->dk, 1);
  store_key_sums(a, &piece, sums.dv, stride, a->dv, 1);
}

attention_way attention_tiles_way(size_t head_dim) {
  backward_room room;
  return (attention_way){attention_tiles_task_rows, attention_tiles_forward_bytes(head_dim), lay_out_backward(head_dim, 0, &room),
                         key_bytes_of(head_dim), dim_tiles_of(head_dim) * TILE_BYTES, attention_tiles_forward_task,
                         backward_task};
}

#endif
