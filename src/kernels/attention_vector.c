/*
 * Causal attention on vectors of f32, for both dtypes on every level. Keys go by in blocks from position 0 under an online
 * softmax; the way back goes piece by piece (attention.h) and recomputes the probabilities from log_sum_exp, as in
 * FlashAttention-2 (Dao 2023, arXiv 2307.08691).
 */
#include "attention.h"
#include "fp8.h"

#define TILES (128 / LANES) /* lane tiles that share a copy of a block of keys */
#define TASK_ROWS (TILES * LANES)
/* Running sums held in registers: as many as two units of latency four keep busy, where there are registers. Divides LANES. */
#define SUMS (LANES < 8 ? LANES : 8)

/* ---- the four products, over keys [n][stride] and lanes [.][LANES] ---- */

/* scores[j] = keys[j] . lanes, for j < n rounded up to SUMS. */
INLINE void dot_keys(const float *keys, size_t stride, size_t n, const float *lanes, size_t head_dim, float *scores) {
  for (size_t j = 0; j < n; j += SUMS) {
    f32_lanes sums[SUMS];
    for (int u = 0; u < SUMS; u++) sums[u] = splat(0);
    const float *key = keys + j * stride;
    for (size_t d = 0; d < head_dim; d++) {
      f32_lanes lane = load_f32(lanes + d * LANES);
      for (int u = 0; u < SUMS; u++) sums[u] = vector_fma(splat(key[(size_t)u * stride + d]), lane, sums[u]);
    }
    for (int u = 0; u < SUMS; u++) store_f32(scores + (j + (size_t)u) * LANES, sums[u]);
  }
}

/* out[d] = out[d] * scale + sum over j < n of weights[j] values[j][d]; `guard` keeps values a lane does not see from it. */
INLINE void add_keys(const float *values, size_t stride, size_t n, const float *weights, f32_lanes scale, float *out,
                     const lane_tile *guard, size_t first_key) {
  for (size_t d = 0; d < stride; d += SUMS) {
    f32_lanes sums[SUMS];
    for (int u = 0; u < SUMS; u++) sums[u] = load_f32(out + (d + (size_t)u) * LANES) * scale;
    for (size_t j = 0; j < n; j++) {
      f32_lanes weight = load_f32(weights + j * LANES);
      const float *value = values + j * stride + d;
      if (guard) {
        i32_lanes sees = lanes_that_see(guard, first_key + j);
        for (int u = 0; u < SUMS; u++) sums[u] = select(sees, vector_fma(splat(value[u]), weight, sums[u]), sums[u]);
      } else {
        for (int u = 0; u < SUMS; u++) sums[u] = vector_fma(splat(value[u]), weight, sums[u]);
      }
    }
    for (int u = 0; u < SUMS; u++) store_f32(out + (d + (size_t)u) * LANES, sums[u]);
  }
}

/* out[j] += sum over lanes of weights[j][lane] rows[lane], for j < n rounded up to SUMS; rows [LANES][stride]. */
INLINE void add_lanes(const float *weights, size_t n, const float *rows, size_t stride, float *out) {
  for (size_t j = 0; j < n; j += SUMS) {
    for (size_t d = 0; d < stride; d += LANES) {
      f32_lanes sums[SUMS];
      for (int u = 0; u < SUMS; u++) sums[u] = load_f32(out + (j + (size_t)u) * stride + d);
      for (size_t lane = 0; lane < LANES; lane++) {
        f32_lanes row = load_f32(rows + lane * stride + d);
        for (int u = 0; u < SUMS; u++) sums[u] = vector_fma(splat(weights[(j + (size_t)u) * LANES + lane]), row, sums[u]);
      }
      for (int u = 0; u < SUMS; u++) store_f32(out + (j + (size_t)u) * stride + d, sums[u]);
    }
  }
}

/* ---- moving rows in and out ---- */

/* Copies keys [n][head_dim] to f32 [64][stride], zeros behind; answers whether something is not finite. */
INLINE int copy_keys(const attention *a, const char *from, size_t vector, size_t n, float *to, size_t stride, int key_type) {
  i32_lanes seen = {0};
  size_t key_bytes = a->head_dim * (key_type == ROOKERY_F32 ? 4 : key_type == ROOKERY_BF16 ? 2 : 1);
  for (size_t j = 0; j < KEY_BLOCK; j++) {
    const char *key = from + (vector + j * key_step(a)) * key_bytes;
    for (size_t d = 0; d < stride; d += LANES) {
      f32_lanes x = splat(0);
      if (j < n && key_type == ROOKERY_FP8) x = load_fp8_some((const uint8_t *)key + d, a->head_dim - d);
      else if (j < n) x = load_some(key, d, a->head_dim - d, key_type == ROOKERY_BF16);
      seen |= (i32_lanes)(((u32_lanes)x & 0x7f800000u) == 0x7f800000u);
      store_f32(to + j * stride + d, x);
    }
  }
  int32_t any = 0;
  for (int i = 0; i < LANES; i++) any |= seen[i];
  return any != 0;
}

/* A tile's rows as lanes [stride][LANES], times `scale`, and, unless `rows` is 0, as they are [LANES][stride]. */
INLINE void load_lanes(const attention *a, const lane_tile *t, const char *from, float scale, float *lanes, float *rows,
                       size_t stride, int is_bf16) {
  for (size_t d = 0; d < stride; d += LANES) {
    f32_lanes r[LANES];
    for (size_t lane = 0; lane < LANES; lane++) {
      r[lane] = splat(0);
      if (lane < t->lanes) {
        r[lane] = load_some(from + t->vector[lane] * a->head_dim * (is_bf16 ? 2 : 4), d, a->head_dim - d, is_bf16);
      }
      if (rows) store_f32(rows + lane * stride + d, r[lane]);
      r[lane] = r[lane] * splat(scale);
    }
    transpose_lanes(r);
    for (size_t i = 0; i < LANES; i++) store_f32(lanes + (d + i) * LANES, r[i]);
  }
}

/* ---- forward ---- */

static size_t forward_thread_bytes(size_t head_dim) {
  size_t stride = round_up(head_dim, LANES);
  return (2 * KEY_BLOCK * stride + 2 * TILES * stride * LANES + KEY_BLOCK * LANES + 2 * TILES * LANES) * sizeof(float);
}

/* Probabilities (not yet divided by their sum) in place of scores, and the scale for what was summed before. */
INLINE f32_lanes online_softmax(float *scores, size_t n, const lane_tile *t, size_t first_key, float *maximum, float *sum) {
  f32_lanes before = load_f32(maximum), largest = before, total = splat(0);
  int masked = some_lane_sees_less(t, first_key, n);
  for (size_t j = 0; j < n; j++) {
    f32_lanes x = load_f32(scores + j * LANES);
    if (masked) {
      x = select(lanes_that_see(t, first_key + j), x, splat(-__builtin_inff()));
      store_f32(scores + j * LANES, x);
    }
    largest = vector_max(x, largest);
  }
  /* where all scores are -inf so far, subtract 0 instead of -inf */
  f32_lanes subtracted = select(largest == splat(-__builtin_inff()), splat(0), largest);
  for (size_t j = 0; j < n; j++) {
    f32_lanes p = vector_exp2(load_f32(scores + j * LANES) - subtracted, 1);
    total += p;
    store_f32(scores + j * LANES, p);
  }
  f32_lanes scale = vector_exp2(before - subtracted, 1);
  store_f32(maximum, largest);
  store_f32(sum, vector_fma(load_f32(sum), scale, total));
  return scale;
}

/* Probabilities that are dropped become 0, after they counted in the sum. */
INLINE void drop_probabilities(const attention *a, const lane_tile *t, float *probabilities, size_t n, size_t first_key) {
  for (size_t j = 0; j < n; j++) {
    f32_lanes p = load_f32(probabilities + j * LANES);
    store_f32(probabilities + j * LANES, select(lanes_that_keep(a, t, first_key + j), p, splat(0)));
  }
}

INLINE void forward(const attention *a, int32_t task, int32_t thread, int is_bf16, int key_type) {
  size_t kv_head = (size_t)task % a->kv_heads;
  int32_t block = task / (int32_t)a->kv_heads;
  size_t number = sequence_of_task(a->first_task, a->count, block);
  const attention_sequence *s = a->sequences + number;
  size_t first_row = (size_t)(block - a->first_task[number]) * TASK_ROWS;
  size_t end = smaller(first_row + TASK_ROWS, (size_t)s->queries * a->group);
  size_t stride = round_up(a->head_dim, LANES), tile_floats = stride * LANES;

  float *keys = (float *)(a->thread_scratch + (size_t)thread * a->thread_bytes), *values = keys + KEY_BLOCK * stride;
  float *lanes = values + KEY_BLOCK * stride, *out = lanes + TILES * tile_floats, *scores = out + TILES * tile_floats;
  float *maximum = scores + KEY_BLOCK * LANES, *sum = maximum + TILES * LANES;

  lane_tile tiles[TILES];
  size_t count = ceil_div(end - first_row, LANES);
  memset(out, 0, count * tile_floats * sizeof(float));
  for (size_t i = 0; i < count; i++) {
    tiles[i] = make_lane_tile(a, s, kv_head, first_row + i * LANES, end);
    load_lanes(a, &tiles[i], a->q, a->scale * LOG2_E, lanes + i * tile_floats, 0, stride, is_bf16);
    store_f32(maximum + i * LANES, splat(-__builtin_inff()));
    store_f32(sum + i * LANES, splat(0));
  }
  size_t key_end = (size_t)tiles[count - 1].most_position + 1;
  for (size_t first = 0; first < key_end; first += KEY_BLOCK) {
    size_t vector = key_vector(a, s, kv_head, first), there = smaller(KEY_BLOCK, key_end - first);
    copy_keys(a, a->k, vector, there, keys, stride, key_type);
    int guarded = copy_keys(a, a->v, vector, there, values, stride, key_type);
    for (size_t i = 0; i < count; i++) {
      size_t n = keys_seen(&tiles[i], first);
      if (!n) continue;
      dot_keys(keys, stride, n, lanes + i * tile_floats, a->head_dim, scores);
      f32_lanes scale = online_softmax(scores, n, &tiles[i], first, maximum + i * LANES, sum + i * LANES);
      if (a->dropout_threshold) drop_probabilities(a, &tiles[i], scores, n, first);
      if (guarded) add_keys(values, stride, n, scores, scale, out + i * tile_floats, &tiles[i], first);
      else add_keys(values, stride, n, scores, scale, out + i * tile_floats, 0, first);
    }
  }
  for (size_t i = 0; i < count; i++) {
    f32_lanes total = load_f32(sum + i * LANES);
    store_lanes(a, &tiles[i], out + i * tile_floats, splat(a->value_scale) / total, a->out, 0, is_bf16);
    store_log_sum_exp(a, &tiles[i], load_f32(maximum + i * LANES), total);
  }
}

static void forward_task(void *context, int32_t task, int32_t thread) {
  const attention *a = context;
  if (a->key_type == ROOKERY_FP8) {
    if (a->is_bf16) forward(a, task, thread, 1, ROOKERY_FP8); else forward(a, task, thread, 0, ROOKERY_FP8);
  } else if (a->is_bf16) forward(a, task, thread, 1, ROOKERY_BF16);
  else forward(a, task, thread, 0, ROOKERY_F32);
}

/* ---- backward ---- */

static size_t backward_thread_bytes(size_t head_dim) {
  size_t stride = round_up(head_dim, LANES);
  return (2 * KEY_BLOCK * stride + 5 * TILES * stride * LANES + 2 * KEY_BLOCK * LANES + 2 * TILES * LANES) * sizeof(float);
}

/*
 * In place: scores become probabilities p, and dscores (the gradients of the probabilities) become
 * p (dscores - delta) scale, the gradient of q k. Rows up to `padded` become 0. With dropout p is what was left of it, and
 * only that has had a gradient.
 */
INLINE void softmax_backward(const attention *a, float *scores, float *dscores, size_t n, size_t padded, const lane_tile *t, size_t first_key,
                             const float *log2_sum, const float *delta) {
  int masked = some_lane_sees_less(t, first_key, n);
  f32_lanes subtracted = load_f32(log2_sum), offset = load_f32(delta);
  for (size_t j = 0; j < n; j++) {
    f32_lanes p = vector_exp2(load_f32(scores + j * LANES) - subtracted, 1);
    if (masked) p = select(lanes_that_see(t, first_key + j), p, splat(0));
    f32_lanes used = p, dp = load_f32(dscores + j * LANES);
    if (a->dropout_threshold) {
      i32_lanes keeps = lanes_that_keep(a, t, first_key + j);
      used = select(keeps, p * splat(a->dropout_scale), splat(0));
      dp = select(keeps, dp * splat(a->dropout_scale), splat(0));
    }
    store_f32(scores + j * LANES, used);
    store_f32(dscores + j * LANES, p * (dp - offset) * splat(a->scale));
  }
  memset(scores + n * LANES, 0, (padded - n) * LANES * sizeof(float));
  memset(dscores + n * LANES, 0, (padded - n) * LANES * sizeof(float));
}

/*
 * Adds up to TILES tiles of a piece's queries, from first_row on, to the sums of dk and dv, and their dq to summed_dq (0
 * where no other piece adds to it), which the last piece stores.
 */
INLINE void backward_rows(const attention *a, const backward_piece *piece, size_t first_row, size_t end, float *dk_sums,
                          float *dv_sums, float *summed_dq, int32_t thread, int is_bf16) {
  const attention_sequence *s = piece->sequence;
  size_t kv_head = piece->kv_head;
  size_t stride = round_up(a->head_dim, LANES), tile_floats = stride * LANES;
  float *keys = (float *)(a->thread_scratch + (size_t)thread * a->thread_bytes), *values = keys + KEY_BLOCK * stride;
  float *q_lanes = values + KEY_BLOCK * stride, *dout_lanes = q_lanes + TILES * tile_floats;
  float *q_rows = dout_lanes + TILES * tile_floats, *dout_rows = q_rows + TILES * tile_floats;
  float *own_dq = dout_rows + TILES * tile_floats, *scores = own_dq + TILES * tile_floats;
  float *dq = summed_dq ? summed_dq : own_dq;
  float *dscores = scores + KEY_BLOCK * LANES, *log2_sum = dscores + KEY_BLOCK * LANES, *delta = log2_sum + TILES * LANES;

  lane_tile tiles[TILES];
  size_t count = ceil_div(end - first_row, LANES);
  if (piece->starts_queries) memset(dq, 0, count * tile_floats * sizeof(float));
  for (size_t i = 0; i < count; i++) {
    size_t at = i * tile_floats;
    tiles[i] = make_lane_tile(a, s, kv_head, first_row + i * LANES, end);
    load_lanes(a, &tiles[i], a->q, a->scale * LOG2_E, q_lanes + at, q_rows + at, stride, is_bf16);
    load_lanes(a, &tiles[i], a->dout, 1, dout_lanes + at, dout_rows + at, stride, is_bf16);
    row_statistics(a, &tiles[i], log2_sum + i * LANES, delta + i * LANES, is_bf16);
  }
  size_t key_end = smaller(piece->key_end, (size_t)tiles[count - 1].most_position + 1);
  for (size_t first = piece->first_key; first < key_end; first += KEY_BLOCK) {
    size_t vector = key_vector(a, s, kv_head, first), there = smaller(KEY_BLOCK, key_end - first);
    copy_keys(a, a->k, vector, there, keys, stride, is_bf16);
    copy_keys(a, a->v, vector, there, values, stride, is_bf16);
    for (size_t i = 0; i < count; i++) {
      size_t n = keys_seen(&tiles[i], first), at = i * tile_floats;
      if (!n) continue;
      dot_keys(keys, stride, n, q_lanes + at, a->head_dim, scores);
      dot_keys(values, stride, n, dout_lanes + at, a->head_dim, dscores);
      softmax_backward(a, scores, dscores, n, round_up(n, SUMS), &tiles[i], first, log2_sum + i * LANES,
                       delta + i * LANES);
      add_lanes(scores, n, dout_rows + at, stride, dv_sums + first * stride);
      add_lanes(dscores, n, q_rows + at, stride, dk_sums + first * stride);
      add_keys(keys, stride, n, dscores, splat(1), dq + at, 0, first);
    }
  }
  if (!piece->ends_queries) return;
  for (size_t i = 0; i < count; i++) {
    store_lanes(a, &tiles[i], dq + i * tile_floats, splat(1), a->dq, a->accumulate, is_bf16);
  }
}

static size_t key_bytes_of(size_t head_dim) { return 2 * round_up(head_dim, LANES) * sizeof(float); }

INLINE void backward(const attention *a, int32_t task, int32_t thread, int is_bf16) {
  backward_piece piece = piece_of_task(a, task);
  size_t stride = round_up(a->head_dim, LANES);
  size_t floats = round_up((size_t)piece.sequence->keys, KEY_PADDING) * stride;
  float *dk_sums = (float *)key_scratch(a, piece.number, piece.kv_head, key_bytes_of(a->head_dim)), *dv_sums = dk_sums + floats;
  if (piece.starts_keys) {
    size_t at = piece.first_key * stride, bytes = (round_up(piece.key_end, KEY_PADDING) * stride - at) * sizeof(float);
    memset(dk_sums + at, 0, bytes);
    memset(dv_sums + at, 0, bytes);
  }
  float *dq = piece.starts_queries && piece.ends_queries ? 0 : query_sums(a, &piece, stride);
  size_t first = piece.first_query * a->group, end = piece.query_end * a->group;
  for (size_t row = first; row < end; row += TASK_ROWS) {
    backward_rows(a, &piece, row, smaller(row + TASK_ROWS, end), dk_sums, dv_sums, dq ? dq + (row - first) * stride : 0,
                  thread, is_bf16);
  }
  if (!piece.ends_keys) return;
  store_key_sums(a, &piece, dk_sums, stride, a->dk, is_bf16);
  store_key_sums(a, &piece, dv_sums, stride, a->dv, is_bf16);
}

static void backward_task(void *context, int32_t task, int32_t thread) {
  const attention *a = context;
  if (a->is_bf16) backward(a, task, thread, 1); else backward(a, task, thread, 0);
}

attention_way attention_vector_way(size_t head_dim) {
  size_t tile_bytes = round_up(head_dim, LANES) * LANES * sizeof(float);
  return (attention_way){TASK_ROWS, forward_thread_bytes(head_dim), backward_thread_bytes(head_dim),
                         key_bytes_of(head_dim), tile_bytes, forward_task, backward_task};
}
