/*
 * What the two ways of computing attention (attention_vector.c, attention_tiles_*.c) share.
 *
 * Both lay scores out transposed: rows of queries are the lanes of a vector and keys go down. A maximum, a sum or a
 * scaling over keys is then plain vector arithmetic, and no row of queries ever meets another one. A row is a query with
 * one of the query heads of the KV head: row r of a sequence is query r / group, head r % group of the
 * group, so the heads of a group share keys and values and causality cuts their tile at nearly one place.
 */
#ifndef ROOKERY_ATTENTION_H
#define ROOKERY_ATTENTION_H

#include "arguments.h"
#include "threads.h"
#include "vector.h"

#define KEY_BLOCK ROOKERY_KEY_BLOCK
#define LOG2_E 1.44269504088896341f
#define LN_2 0.693147180559945309f
#define KEY_PADDING 32 /* keys of a sequence are padded to this in the scratch of the way back */

typedef struct { int32_t query_row, queries, key_row, keys; } attention_sequence;

typedef struct {
  int is_bf16, accumulate, accumulate_kv;
  int key_type;          /* of k and v: ROOKERY_F32, ROOKERY_BF16, or ROOKERY_FP8 forward */
  const char *q, *k, *v, *dout;
  char *out, *dq, *dk, *dv;
  float *log_sum_exp;
  const attention_sequence *sequences;
  const int32_t *pages;  /* 0, or where blocks of keys lie: then key_row counts the entries before a sequence's own */
  size_t count, heads, kv_heads, group, head_dim;
  float scale, value_scale;
  uint32_t dropout_threshold; /* 0 for no dropout of probabilities; hashes below it drop, and the rest is times dropout_scale */
  float dropout_scale;
  uint32_t key0, key1;        /* of the dropout's stream */
  int32_t *first_task;  /* [count] tasks of one KV head before a sequence; on the way back: pieces of this step */
  int32_t *first_key;   /* [count] backward: padded keys before a sequence */
  int32_t *first_tile;  /* [count] backward: tiles of dq of one KV head before a sequence */
  size_t step;          /* backward: by how many chunks the queries of a piece stand behind its keys */
  char *thread_scratch; /* [threads, thread_bytes] */
  size_t thread_bytes;
  char *shared_scratch; /* backward: sums of dk and dv */
  char *query_scratch;  /* backward: sums of dq, of sequences with more than one chunk */
} attention;

/* LANES rows of queries. Lanes past the last row hold zeros and stand at position -1. */
typedef struct {
  size_t lanes;
  size_t vector[LANES]; /* a lane's head vector, counted through [query rows, heads] */
  i32_lanes position;
  u32_lanes stream; /* with dropout: names the random numbers of each lane */
  int32_t least_position, most_position;
} lane_tile;

/* Number of the head vector of a key, counted through [key rows, kv_heads], or [pages, kv_heads, KEY_BLOCK]. */
static inline size_t key_vector(const attention *a, const attention_sequence *s, size_t kv_head, size_t key) {
  if (!a->pages) return ((size_t)s->key_row + key) * a->kv_heads + kv_head;
  size_t page = (size_t)a->pages[(size_t)s->key_row + key / KEY_BLOCK];
  return (page * a->kv_heads + kv_head) * KEY_BLOCK + key % KEY_BLOCK;
}
/* And how many there are from a key to the next of its block. */
static inline size_t key_step(const attention *a) { return a->pages ? 1 : a->kv_heads; }

/* The rows from `row` on, and before `end`, of a sequence and KV head. */
static inline lane_tile make_lane_tile(const attention *a, const attention_sequence *s, size_t kv_head, size_t row, size_t end) {
  lane_tile t = {.lanes = smaller(LANES, end - row)};
  int32_t position[LANES];
  size_t query = row / a->group, head = row % a->group;
  for (size_t lane = 0; lane < LANES; lane++) {
    position[lane] = lane < t.lanes ? s->keys - s->queries + (int32_t)query : -1;
    t.vector[lane] = ((size_t)s->query_row + query) * a->heads + kv_head * a->group + head;
    if (++head == a->group) { head = 0; query++; }
  }
  memcpy(&t.position, position, sizeof position);
  if (a->dropout_threshold) {
    for (size_t lane = 0; lane < LANES; lane++) t.stream[lane] = counter_hash(a->key0, a->key1, (uint32_t)t.vector[lane]);
  }
  t.least_position = position[0];
  t.most_position = position[t.lanes - 1];
  return t;
}

/* Of the keys from `first` on, how many of a block the tile's last row sees. */
static inline size_t keys_seen(const lane_tile *t, size_t first) {
  if (t->most_position < (int32_t)first) return 0;
  return smaller(KEY_BLOCK, (size_t)t->most_position + 1 - first);
}
static inline int some_lane_sees_less(const lane_tile *t, size_t first, size_t keys) {
  return t->least_position < (int32_t)(first + keys) - 1;
}
INLINE i32_lanes lanes_that_see(const lane_tile *t, size_t key) {
  return (i32_lanes)(t->position >= (i32_lanes){0} + (int32_t)key);
}

/* With dropout: the lanes whose probability of `key` stays. Forward and backward ask alike. */
INLINE i32_lanes lanes_that_keep(const attention *a, const lane_tile *t, size_t key) {
  return (i32_lanes)(vector_fmix32(t->stream + (uint32_t)key * 0x9e3779b1u) >= a->dropout_threshold);
}

/* The last sequence whose first task is not after `task`, among those that have any. */
static inline size_t sequence_of_task(const int32_t *first_task, size_t count, int32_t task) {
  size_t low = 0, high = count;
  while (high - low > 1) {
    size_t middle = low + (high - low) / 2;
    if (first_task[middle] <= task) low = middle; else high = middle;
  }
  return low;
}

/*
 * 2^t for t up to 127; under 2^-126 it is 0, NaN stays NaN. `precise`: about 1 ulp of f32, else to 3e-6,
 * for what is rounded to bf16 afterwards. 2^0 is exactly 1 in both.
 */
INLINE f32_lanes vector_exp2(f32_lanes t, int precise) {
#if defined(__AVX512F__)
  f32_lanes n = (f32_lanes)_mm512_roundscale_ps((__m512)t, 8);
#else
  f32_lanes magic = splat(12582912.0f);
  f32_lanes bounded = vector_max(splat(-200.0f), t);
  f32_lanes n = (bounded + magic) - magic;
#endif
  f32_lanes r = t - n, p;
  if (precise) {
    p = splat(1.5403530393381610e-4f);
    p = vector_fma(p, r, splat(1.3333558146428443e-3f));
    p = vector_fma(p, r, splat(9.6181291076284772e-3f));
    p = vector_fma(p, r, splat(5.5504108664821580e-2f));
    p = vector_fma(p, r, splat(2.4022650695910071e-1f));
    p = vector_fma(p, r, splat(6.9314718055994531e-1f));
  } else {
    p = splat(9.582853615e-3f);
    p = vector_fma(p, r, splat(5.590643335e-2f));
    p = vector_fma(p, r, splat(2.402409865e-1f));
    p = vector_fma(p, r, splat(6.931241924e-1f));
  }
  p = vector_fma(p, r, splat(1.0f));
#if defined(__AVX512F__)
  __mmask16 normal = _mm512_cmp_ps_mask((__m512)t, _mm512_set1_ps(-126.0f), _CMP_NLT_UQ);
  return (f32_lanes)_mm512_maskz_scalef_ps(normal, (__m512)p, (__m512)n);
#else
  i32_lanes k = __builtin_convertvector(n, i32_lanes);
  f32_lanes result = p * (f32_lanes)((k + 127) << 23);
  result = select(t < splat(-126.0f), splat(0.0f), result);
  return select(t != t, t, result);
#endif
}

/* What the way back needs of a tile's rows: log_sum_exp in base 2, and delta = dout . out. */
INLINE void row_statistics(const attention *a, const lane_tile *t, float *log2_sum, float *delta, int is_bf16) {
  store_f32(log2_sum, splat(0));
  store_f32(delta, splat(0));
  for (size_t lane = 0; lane < t->lanes; lane++) {
    size_t at = t->vector[lane] * a->head_dim * (is_bf16 ? 2 : 4);
    f32_lanes sum = splat(0);
    for (size_t d = 0; d < a->head_dim; d += LANES) {
      size_t left = a->head_dim - d;
      sum = vector_fma(load_some(a->dout + at, d, left, is_bf16), load_some(a->out + at, d, left, is_bf16), sum);
    }
    delta[lane] = vector_sum(sum);
    log2_sum[lane] = a->log_sum_exp[t->vector[lane]] * LOG2_E;
  }
}

/*
 * The way back goes by pieces: a chunk of queries against a chunk of keys, of one sequence and KV head. In a step the
 * queries of all pieces stand equally many chunks behind their keys. So no two pieces of a step add to one sum, each sum
 * is made in an order that threads do not change, and keys that no query of a chunk sees are not gone through.
 */
#define CHUNK 512 /* positions, from 0; a multiple of KEY_BLOCK */

typedef struct {
  const attention_sequence *sequence;
  size_t number, kv_head;
  size_t first_key, key_end, first_query, query_end;  /* counted in the sequence */
  int starts_keys, ends_keys, starts_queries, ends_queries; /* whether it is the first or the last for their sums */
  size_t query_tile; /* the first of its tiles among those of the sequence's dq */
} backward_piece;

static inline size_t chunks_of(const attention_sequence *s) { return ceil_div((size_t)s->keys, CHUNK); }
static inline size_t first_query_chunk(const attention_sequence *s) {
  size_t chunks = chunks_of(s);
  return chunks ? smaller((size_t)(s->keys - s->queries) / CHUNK, chunks - 1) : 0;
}
static inline size_t pieces_in_step(const attention_sequence *s, size_t step) {
  size_t chunks = chunks_of(s), first = larger(first_query_chunk(s), step);
  return chunks > first ? chunks - first : 0;
}
/* Room for the tiles of a sequence's dq, each chunk beginning with a tile of its own. */
static inline size_t query_tiles(size_t queries, size_t group) { return queries * group / LANES + queries / CHUNK + 2; }

static inline backward_piece piece_of_task(const attention *a, int32_t task) {
  int32_t index = task / (int32_t)a->kv_heads;
  size_t number = sequence_of_task(a->first_task, a->count, index);
  const attention_sequence *s = a->sequences + number;
  size_t first_chunk = first_query_chunk(s), before = (size_t)(s->keys - s->queries);
  size_t chunk = larger(first_chunk, a->step) + (size_t)(index - a->first_task[number]), key_chunk = chunk - a->step;
  backward_piece piece = {.sequence = s, .number = number, .kv_head = (size_t)task % a->kv_heads};
  piece.first_key = key_chunk * CHUNK;
  piece.key_end = smaller(piece.first_key + CHUNK, (size_t)s->keys);
  piece.first_query = larger(chunk * CHUNK, before) - before;
  piece.query_end = smaller((chunk + 1) * CHUNK, (size_t)s->keys) - before;
  piece.starts_keys = chunk == larger(first_chunk, key_chunk);
  piece.ends_keys = chunk == chunks_of(s) - 1;
  piece.starts_queries = a->step == 0;
  piece.ends_queries = key_chunk == 0;
  piece.query_tile = piece.first_query * a->group / LANES + chunk - first_chunk;
  return piece;
}

/* The sums of a piece's dq [tiles][stride][LANES] where other pieces add to them too. */
static inline float *query_sums(const attention *a, const backward_piece *piece, size_t stride) {
  size_t tiles = query_tiles((size_t)piece->sequence->queries, a->group);
  size_t tile = (size_t)a->first_tile[piece->number] * a->kv_heads + piece->kv_head * tiles + piece->query_tile;
  return (float *)a->query_scratch + tile * stride * LANES;
}

/* The part of the shared scratch that belongs to a sequence and KV head: `key_bytes` for each of its keys, padded. */
static inline char *key_scratch(const attention *a, size_t number, size_t kv_head, size_t key_bytes) {
  size_t before = (size_t)a->first_key[number], padded = round_up((size_t)a->sequences[number].keys, KEY_PADDING);
  return a->shared_scratch + (before * a->kv_heads + kv_head * padded) * key_bytes;
}

/* Rounds the sums f32 [keys of the sequence][stride] of a piece's keys to dk or dv. */
INLINE void store_key_sums(const attention *a, const backward_piece *piece, const float *sums, size_t stride, char *to,
                           int is_bf16) {
  for (size_t key = piece->first_key; key < piece->key_end; key++) {
    char *row = to + key_vector(a, piece->sequence, piece->kv_head, key) * a->head_dim * (is_bf16 ? 2 : 4);
    for (size_t d = 0; d < a->head_dim; d += LANES) {
      f32_lanes x = load_f32(sums + key * stride + d);
      if (a->accumulate_kv) x += load_some(row, d, a->head_dim - d, is_bf16);
      store_some(row, d, a->head_dim - d, x, is_bf16);
    }
  }
}

/* to = (to +) lanes * scale, as rows again. */
INLINE void store_lanes(const attention *a, const lane_tile *t, const float *lanes, f32_lanes scale, char *to, int accumulate,
                        int is_bf16) {
  for (size_t d = 0; d < a->head_dim; d += LANES) {
    f32_lanes r[LANES];
    for (size_t i = 0; i < LANES; i++) r[i] = load_f32(lanes + (d + i) * LANES) * scale;
    transpose_lanes(r);
    for (size_t lane = 0; lane < t->lanes; lane++) {
      void *row = to + t->vector[lane] * a->head_dim * (is_bf16 ? 2 : 4);
      f32_lanes x = r[lane];
      if (accumulate) x += load_some(row, d, a->head_dim - d, is_bf16);
      store_some(row, d, a->head_dim - d, x, is_bf16);
    }
  }
}

/* Keeps the logarithm (base e) of the sums: `maximum` is in base 2. */
static inline void store_log_sum_exp(const attention *a, const lane_tile *t, f32_lanes maximum, f32_lanes sum) {
  if (!a->log_sum_exp) return;
  f32_lanes value = vector_fma(maximum, splat(LN_2), vector_log(sum));
  for (size_t lane = 0; lane < t->lanes; lane++) a->log_sum_exp[t->vector[lane]] = value[lane];
}

/* ---- the two ways ---- */

typedef struct {
  size_t task_rows;      /* rows of a task forward */
  size_t forward_bytes;  /* scratch of a thread */
  size_t backward_bytes;
  size_t key_bytes;      /* shared scratch of one padded key of one KV head on the way back */
  size_t query_tile_bytes; /* and of one tile of dq */
  rookery_task forward, backward;
} attention_way;

attention_way attention_vector_way(size_t head_dim);
#define ATTENTION_TILES_MAX_HEAD_DIM 256
attention_way attention_tiles_way(size_t head_dim);

#endif
