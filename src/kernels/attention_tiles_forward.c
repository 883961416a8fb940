/* Attention in tiles, forward: an online softmax over blocks of keys. See attention_tiles.h for the layouts. */
#include "attention.h"

#ifdef ROOKERY_TILES

#include "attention_tiles.h"

#define FORWARD_TILES 16

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
  char *wide;     /* the same, of 8-bit values */
} forward_room;

/* Gives each field its place from `start` on; answers the bytes of all. */
static size_t lay_out_forward(size_t head_dim, uintptr_t start, forward_room *room) {
  size_t steps = steps_of(head_dim), dim_tiles = dim_tiles_of(head_dim), used = 0;
  ROOM(q, FORWARD_TILES * steps * TILE_BYTES);
  ROOM(out, FORWARD_TILES * dim_tiles * TILE_BYTES);
  ROOM(maximum, FORWARD_TILES * 64);
  ROOM(sum, FORWARD_TILES * 64);
  ROOM(scores, 2 * SCORE_FLOATS * sizeof(float));
  ROOM(product, 4 * TILE_BYTES);
  ROOM(p, 2 * TILE_BYTES);
  ROOM(values, dim_tiles * 2 * TILE_BYTES);
  ROOM(keys, KEY_BLOCK * steps * 64);
  ROOM(wide, KEY_BLOCK * steps * 64);
  return used;
}

size_t attention_tiles_forward_bytes(size_t head_dim) {
  forward_room room;
  return lay_out_forward(head_dim, 0, &room);
}

/* The next block of a cache: pages lie anywhere, so the hardware does not foresee them. */
typedef struct { coming_lines keys, values; } coming_block;
static coming_block next_page(const attention *a, const attention_sequence *s, size_t kv_head, size_t first, size_t key_end) {
  if (!a->pages || first >= key_end) return (coming_block){0};
  size_t element = a->key_type == ROOKERY_FP8 ? 1 : sizeof(bf16), bytes = KEY_BLOCK * a->head_dim * element;
  size_t at = key_vector(a, s, kv_head, first) * a->head_dim * element;
  return (coming_block){{a->k + at, a->k + at + bytes}, {a->v + at, a->v + at + bytes}};
}

/* Scores of n keys become probabilities in pairs; answers the scale for what was summed before. `factor` > 0. */
INLINE f32_lanes softmax_pairs(const attention *a, float *scores, size_t n, const lane_tile *t, size_t first_key, float factor, float *maximum,
                            float *sum, char *pairs, coming_block *coming) {
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
    if (a->dropout_threshold) {
      first = select(lanes_that_keep(a, t, first_key + j), first, splat(0));
      second = select(lanes_that_keep(a, t, first_key + j + 1), second, splat(0));
    }
    _mm512_storeu_si512(pairs + j * 32, join_words(round_two(first, second)));
    fetch_lines(&coming->keys, 4);
    fetch_lines(&coming->values, 4);
  }
  for (size_t j = even_n; j < round_up(n, TILE_PAIRS); j += 2) _mm512_storeu_si512(pairs + j * 32, _mm512_setzero_si512());
  f32_lanes scale = vector_exp2(before - subtracted, 1);
  store_f32(maximum, largest);
  store_f32(sum, vector_fma(load_f32(sum), scale, even_sum + odd_sum));
  return scale;
}

/* out = out * scale + values p for the lanes of `only`. */
INLINE void add_values(const forward_room *room, size_t dim_tiles, size_t n, f32_lanes scale, float *out, const i32_lanes *only) {
  for (size_t i = 0; i < dim_tiles; i += 4) {
    size_t tiles = smaller(4, dim_tiles - i);
    a_tiles values = {room->values + 2 * i * TILE_BYTES, 2 * TILE_BYTES, TILE_BYTES, 64};
    multiply(tiles, values, (b_tiles){room->p, TILE_BYTES}, (n + 31) / 32, room->product, 16 * LANES, LANES, 0);
    float *at = out + i * 16 * LANES;
    for (size_t d = 0; d < tiles * 16; d++) {
      f32_lanes before = load_f32(at + d * LANES), after = vector_fma(before, scale, load_f32(room->product + d * LANES));
      store_f32(at + d * LANES, only ? select(*only, after, before) : after);
    }
  }
}

static int pack_values(size_t head_dim, key_rows values, size_t n, char *to) {
  int special = pack_transposed(head_dim, values, smaller(n, 32), to, 2 * TILE_BYTES);
  if (n <= 32) return special;
  key_rows rest = {values.at + 32 * values.stride, values.stride};
  return special | pack_transposed(head_dim, rest, n - 32, to + TILE_BYTES, 2 * TILE_BYTES);
}

/* Where values are not finite: 0 times them is NaN, so each lane's sum is taken over only the keys that it sees. */
static void add_values_by_lane(const attention *a, const forward_room *room, key_rows values, size_t first, size_t there,
                               const lane_tile *t, f32_lanes scale, float *out) {
  size_t n = keys_seen(t, first);
  for (int32_t position = t->least_position; position <= t->most_position; position++) {
    if (position < (int32_t)first) continue;
    size_t seen = smaller(n, (size_t)position + 1 - first);
    i32_lanes only = (i32_lanes)(t->position == (i32_lanes){0} + position);
    memset(room->values, 0, dim_tiles_of(a->head_dim) * 2 * TILE_BYTES);
    pack_values(a->head_dim, values, seen, room->values);
    add_values(room, dim_tiles_of(a->head_dim), n, scale, out, &only);
  }
  pack_values(a->head_dim, values, there, room->values);
}

const size_t attention_tiles_task_rows = FORWARD_TILES * LANES;

void attention_tiles_forward_task(void *context, int32_t task, int32_t thread) {
  const attention *a = context;
  size_t kv_head = (size_t)task % a->kv_heads;
  int32_t block = task / (int32_t)a->kv_heads;
  size_t number = sequence_of_task(a->first_task, a->count, block);
  const attention_sequence *s = a->sequences + number;
  size_t first_row = (size_t)(block - a->first_task[number]) * FORWARD_TILES * LANES;
  size_t end = smaller(first_row + FORWARD_TILES * LANES, (size_t)s->queries * a->group);
  size_t steps = steps_of(a->head_dim), dim_tiles = dim_tiles_of(a->head_dim), tile_floats = dim_tiles * 16 * LANES;
  float factor = score_factor(a->scale);

  forward_room room;
  lay_out_forward(a->head_dim, (uintptr_t)a->thread_scratch + (size_t)thread * a->thread_bytes, &room);
  configure_tiles(32);
  lane_tile tiles[FORWARD_TILES];
  size_t count = ceil_div(end - first_row, LANES);
  memset(room.out, 0, count * tile_floats * sizeof(float));
  for (size_t i = 0; i < count; i++) {
    tiles[i] = make_lane_tile(a, s, kv_head, first_row + i * LANES, end);
    pack_lanes(a, &tiles[i], a->q, score_sign(a->scale), room.q + i * steps * TILE_BYTES);
    store_f32(room.maximum + i * LANES, splat(-__builtin_inff()));
    store_f32(room.sum + i * LANES, splat(0));
  }
  size_t key_end = (size_t)tiles[count - 1].most_position + 1;
  for (size_t first = 0; first < key_end; first += KEY_BLOCK) {
    size_t there = smaller(KEY_BLOCK, key_end - first);
    coming_block coming = next_page(a, s, kv_head, first + KEY_BLOCK, key_end);
    size_t readable = a->pages ? KEY_BLOCK : (size_t)s->keys - first;
    a_tiles keys = key_tiles(a->head_dim, block_rows(a, s, kv_head, first, there, a->k, room.keys), there, readable, room.keys);
    key_rows values = block_rows(a, s, kv_head, first, there, a->v, room.wide);
    int special = pack_values(a->head_dim, values, there, room.values);
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
      f32_lanes scale = softmax_pairs(a, room.scores + (i & 1) * SCORE_FLOATS, n, &tiles[i], first, factor,
                                   room.maximum + i * LANES, room.sum + i * LANES, room.p, &coming);
      float *out = room.out + i * tile_floats;
      if (special && some_lane_sees_less(&tiles[i], first, there)) {
        add_values_by_lane(a, &room, values, first, there, &tiles[i], scale, out);
      } else {
        add_values(&room, dim_tiles, n, scale, out, 0);
      }
    }
  }
  release_tiles();
  for (size_t i = 0; i < count; i++) {
    f32_lanes total = load_f32(room.sum + i * LANES);
    store_lanes(a, &tiles[i], room.out + i * tile_floats, splat(a->value_scale) / total, a->out, 0, 1);
    store_log_sum_exp(a, &tiles[i], load_f32(room.maximum + i * LANES), total);
  }
}

#endif
