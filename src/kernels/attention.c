/* Causal attention: the entry points, which lay out scratch and hand tasks to tiles (bf16, where there are any) or vectors. */
#include "attention.h"

static attention_way way_of(int32_t dtype, size_t head_dim) {
#ifdef ROOKERY_TILES
  if (dtype == ROOKERY_BF16 && head_dim <= ATTENTION_TILES_MAX_HEAD_DIM) return attention_tiles_way(head_dim);
#else
  (void)dtype;
#endif
  return attention_vector_way(head_dim);
}

static int arguments_are_bad(int32_t dtype, const attention *a, size_t query_rows, size_t key_rows) {
  if (!is_dtype(dtype)) return 1;
  if (!a->kv_heads || !a->heads || a->heads % a->kv_heads || !a->head_dim || a->head_dim > INT32_MAX) return 1;
  if (!is_array(query_rows, a->heads, a->head_dim) || !is_array(key_rows, a->kv_heads, a->head_dim)) return 1;
  if (a->scale != a->scale || !a->q || !a->k || !a->v || !a->out) return 1;
  if (a->count > INT32_MAX || (a->count && !a->sequences)) return 1;
  for (size_t i = 0; i < a->count; i++) {
    attention_sequence s = a->sequences[i];
    if (s.query_row < 0 || s.queries < 0 || s.key_row < 0 || s.keys < s.queries) return 1;
    if ((uint64_t)s.query_row + (uint64_t)s.queries > query_rows) return 1;
    if (!a->pages && (uint64_t)s.key_row + (uint64_t)s.keys > key_rows) return 1;
  }
  return 0;
}

/* Whether a sequence has fewer entries than blocks of keys, or one that leads out of the cache. */
static int pages_are_bad(const attention *a, size_t entries, size_t pages) {
  for (size_t i = 0; i < a->count; i++) {
    size_t first = (size_t)a->sequences[i].key_row, end = first + ceil_div((size_t)a->sequences[i].keys, KEY_BLOCK);
    if (end > entries) return 1;
    for (size_t entry = first; entry < end; entry++) {
      if (a->pages[entry] < 0 || (size_t)a->pages[entry] >= pages) return 1;
    }
  }
  return 0;
}

/* Head sizes and numbers of sequences that are not refused, so that scratch for them can be counted. */
static int is_scratch(size_t head_dim, size_t count) { return head_dim && head_dim <= INT32_MAX && count <= INT32_MAX; }
static size_t threads_of(int32_t threads) { return threads > 1 ? (size_t)threads : 1; }
static size_t table_bytes(size_t count) { return round_up(count * sizeof(int32_t), 64); }

/* Scratch is {tables, a part for each thread, sums of the keys}. */
static void lay_out_scratch(attention *a, uintptr_t scratch, size_t tables, size_t thread_bytes, int32_t threads) {
  a->thread_bytes = round_up(thread_bytes, 64);
  a->first_task = (int32_t *)scratch;
  a->thread_scratch = (char *)(scratch + tables * table_bytes(a->count));
  a->shared_scratch = a->thread_scratch + threads_of(threads) * a->thread_bytes;
}

/* Answers whether the scale is no number. */
static int set_dropout(attention *a, int32_t threshold, float scale, int32_t key0, int32_t key1) {
  a->dropout_threshold = (uint32_t)threshold;
  a->dropout_scale = threshold ? scale : 1;
  a->key0 = (uint32_t)key0;
  a->key1 = (uint32_t)key1;
  return scale != scale;
}

ROOKERY_API size_t rookery_attention_forward_scratch_bytes(int32_t dtype, size_t head_dim, size_t count, int32_t threads) {
  if (!is_scratch(head_dim, count)) return 0;
  return table_bytes(count) + threads_of(threads) * round_up(way_of(dtype, head_dim).forward_bytes, 64);
}

static int32_t attend(uintptr_t pool, int32_t dtype, attention *a, uintptr_t scratch) {
  attention_way way = way_of(dtype, a->head_dim);
  a->group = a->heads / a->kv_heads;
  lay_out_scratch(a, scratch, 1, way.forward_bytes, rookery_pool_threads(pool));
  size_t tasks = 0;
  for (size_t i = 0; i < a->count; i++) {
    a->first_task[i] = (int32_t)tasks;
    tasks += ceil_div((size_t)a->sequences[i].queries * a->group, way.task_rows);
    if (tasks * a->kv_heads > INT32_MAX) return ROOKERY_BAD_ARGUMENT;
  }
  rookery_parallel(pool, (int32_t)(tasks * a->kv_heads), way.forward, a);
  return ROOKERY_OK;
}

ROOKERY_API int32_t rookery_attention_forward(uintptr_t pool, int32_t dtype, uintptr_t q, uintptr_t k, uintptr_t v,
                                              uintptr_t sequences, size_t count, uintptr_t out, uintptr_t log_sum_exp,
                                              size_t query_rows, size_t key_rows, size_t heads, size_t kv_heads,
                                              size_t head_dim, float scale, int32_t dropout_threshold,
                                              float dropout_scale, int32_t key0, int32_t key1, uintptr_t scratch) {
  attention a = {.is_bf16 = dtype == ROOKERY_BF16, .key_type = dtype, .q = (const char *)q, .k = (const char *)k,
                 .v = (const char *)v, .out = (char *)out, .log_sum_exp = (float *)log_sum_exp,
                 .sequences = (const attention_sequence *)sequences, .count = count, .heads = heads,
                 .kv_heads = kv_heads, .head_dim = head_dim, .scale = scale, .value_scale = 1};
  if (set_dropout(&a, dropout_threshold, dropout_scale, key0, key1)) return ROOKERY_BAD_ARGUMENT;
  a.value_scale = a.dropout_scale;
  if (!is_aligned(scratch) || arguments_are_bad(dtype, &a, query_rows, key_rows)) return ROOKERY_BAD_ARGUMENT;
  return attend(pool, dtype, &a, scratch);
}

ROOKERY_API int32_t rookery_attention_paged(uintptr_t pool, int32_t dtype, uintptr_t q, int32_t cache_dtype, uintptr_t k,
                                            uintptr_t v, size_t pages, uintptr_t table, size_t entries,
                                            uintptr_t sequences, size_t count, uintptr_t out, size_t query_rows, size_t heads,
                                            size_t kv_heads, size_t head_dim, float scale, float value_scale,
                                            uintptr_t scratch) {
  attention a = {.is_bf16 = dtype == ROOKERY_BF16, .key_type = cache_dtype, .q = (const char *)q, .k = (const char *)k,
                 .v = (const char *)v, .out = (char *)out, .sequences = (const attention_sequence *)sequences,
                 .pages = (const int32_t *)table, .count = count, .heads = heads, .kv_heads = kv_heads,
                 .head_dim = head_dim, .scale = scale, .value_scale = value_scale};
  size_t rows;
  if (__builtin_mul_overflow(pages, (size_t)KEY_BLOCK, &rows)) return ROOKERY_BAD_ARGUMENT;
  if (!is_aligned(scratch) || !table || arguments_are_bad(dtype, &a, query_rows, rows)) return ROOKERY_BAD_ARGUMENT;
  if ((cache_dtype != dtype && cache_dtype != ROOKERY_FP8) || value_scale != value_scale) return ROOKERY_BAD_ARGUMENT;
  if (pages_are_bad(&a, entries, pages)) return ROOKERY_BAD_ARGUMENT;
  return attend(pool, dtype, &a, scratch);
}

ROOKERY_API size_t rookery_attention_backward_scratch_bytes(int32_t dtype, size_t query_rows, size_t key_rows, size_t heads,
                                                            size_t kv_heads, size_t head_dim, size_t count, int32_t threads) {
  if (!is_scratch(head_dim, count) || !is_array(query_rows, heads, head_dim) || !is_array(key_rows, kv_heads, head_dim)) return 0;
  attention_way way = way_of(dtype, head_dim);
  size_t padded_keys = key_rows + count * (KEY_PADDING - 1), group = kv_heads ? heads / kv_heads : 0;
  size_t tiles = query_tiles(query_rows, group) + 2 * count;
  return 3 * table_bytes(count) + threads_of(threads) * round_up(way.backward_bytes, 64) +
         round_up(padded_keys * kv_heads * way.key_bytes, 64) + tiles * kv_heads * way.query_tile_bytes;
}

ROOKERY_API int32_t rookery_attention_backward(uintptr_t pool, int32_t dtype, uintptr_t dout, uintptr_t q, uintptr_t k,
                                               uintptr_t v, uintptr_t out, uintptr_t log_sum_exp, uintptr_t sequences,
                                               size_t count, uintptr_t dq, uintptr_t dk, uintptr_t dv,
                                               size_t query_rows, size_t key_rows, size_t heads, size_t kv_heads,
                                               size_t head_dim, float scale, int32_t dropout_threshold,
                                               float dropout_scale, int32_t key0, int32_t key1, int32_t accumulate,
                                               int32_t accumulate_kv, uintptr_t scratch) {
  attention a = {.is_bf16 = dtype == ROOKERY_BF16, .key_type = dtype, .accumulate = accumulate, .accumulate_kv = accumulate_kv,
                 .q = (const char *)q, .k = (const char *)k, .v = (const char *)v, .dout = (const char *)dout,
                 .out = (char *)out, .dq = (char *)dq, .dk = (char *)dk, .dv = (char *)dv,
                 .log_sum_exp = (float *)log_sum_exp, .sequences = (const attention_sequence *)sequences,
                 .count = count, .heads = heads, .kv_heads = kv_heads, .head_dim = head_dim, .scale = scale};
  if (set_dropout(&a, dropout_threshold, dropout_scale, key0, key1)) return ROOKERY_BAD_ARGUMENT;
  if (!is_aligned(scratch) || arguments_are_bad(dtype, &a, query_rows, key_rows)) return ROOKERY_BAD_ARGUMENT;
  if (!dout || !log_sum_exp || !dq || !dk || !dv || count * kv_heads > INT32_MAX) return ROOKERY_BAD_ARGUMENT;
  attention_way way = way_of(dtype, head_dim);
  a.group = heads / kv_heads;
  lay_out_scratch(&a, scratch, 3, way.backward_bytes, rookery_pool_threads(pool));
  a.first_key = a.first_task + table_bytes(count) / sizeof(int32_t);
  a.first_tile = a.first_key + table_bytes(count) / sizeof(int32_t);
  /* sequences that share rows would add to one gradient at once; this many rows cannot be without sharing */
  size_t queries = 0, keys = 0, padded = 0, tiles = 0, steps = 0;
  for (size_t i = 0; i < count; i++) {
    a.first_key[i] = (int32_t)padded;
    a.first_tile[i] = (int32_t)tiles;
    queries += (size_t)a.sequences[i].queries;
    keys += (size_t)a.sequences[i].keys;
    padded += round_up((size_t)a.sequences[i].keys, KEY_PADDING);
    tiles += query_tiles((size_t)a.sequences[i].queries, a.group);
    steps = larger(steps, chunks_of(a.sequences + i));
    if (queries > query_rows || keys > key_rows || padded > INT32_MAX || tiles > INT32_MAX) return ROOKERY_BAD_ARGUMENT;
  }
  a.query_scratch = a.shared_scratch + round_up(padded * kv_heads * way.key_bytes, 64);
  for (; a.step < steps; a.step++) {
    size_t pieces = 0;
    for (size_t i = 0; i < count; i++) {
      a.first_task[i] = (int32_t)pieces;
      pieces += pieces_in_step(a.sequences + i, a.step);
    }
    rookery_parallel(pool, (int32_t)(pieces * kv_heads), way.backward, &a);
  }
  return ROOKERY_OK;
}
