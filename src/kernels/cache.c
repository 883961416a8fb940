/* New keys and values into their places in a KV cache. */
#include "arguments.h"
#include "fp8.h"
#include "threads.h"

#define TASK_ROWS 32

typedef struct {
  int is_bf16, is_fp8;
  const char *k, *v;
  char *key_cache, *value_cache;
  const int32_t *places;
  size_t rows, kv_heads, head_dim;
  float key_scale, value_scale;
} cache_write;

INLINE void narrow_vector(const void *from, uint8_t *to, size_t count, float factor, int is_bf16) {
  for (size_t i = 0; i < count; i += LANES) {
    store_fp8_some(to + i, load_some(from, i, count - i, is_bf16) * splat(factor), count - i);
  }
}

/* A row's heads go each to its own part of the page. */
static void write_row(const cache_write *w, const char *from, char *cache, size_t row, float scale) {
  size_t bytes = w->head_dim * (w->is_bf16 ? 2 : 4), place = (size_t)w->places[row];
  size_t page = place / ROOKERY_KEY_BLOCK, within = place % ROOKERY_KEY_BLOCK;
  for (size_t head = 0; head < w->kv_heads; head++) {
    const char *source = from + (row * w->kv_heads + head) * bytes;
    size_t vector = (page * w->kv_heads + head) * ROOKERY_KEY_BLOCK + within;
    uint8_t *narrow = (uint8_t *)cache + vector * w->head_dim;
    if (!w->is_fp8) memcpy(cache + vector * bytes, source, bytes);
    else if (w->is_bf16) narrow_vector(source, narrow, w->head_dim, 1 / scale, 1);
    else narrow_vector(source, narrow, w->head_dim, 1 / scale, 0);
  }
}

static void write_task(void *context, int32_t task, int32_t thread) {
  (void)thread;
  const cache_write *w = context;
  size_t first = (size_t)task * TASK_ROWS, end = smaller(first + TASK_ROWS, w->rows);
  for (size_t row = first; row < end; row++) {
    write_row(w, w->k, w->key_cache, row, w->key_scale);
    write_row(w, w->v, w->value_cache, row, w->value_scale);
  }
}

ROOKERY_API int32_t rookery_cache_write(uintptr_t pool, int32_t dtype, uintptr_t k, uintptr_t v, uintptr_t places,
                                        int32_t cache_dtype, uintptr_t key_cache, uintptr_t value_cache, size_t rows,
                                        size_t pages, size_t kv_heads, size_t head_dim, float key_scale, float value_scale) {
  if (!is_dtype(dtype) || (cache_dtype != dtype && cache_dtype != ROOKERY_FP8)) return ROOKERY_BAD_ARGUMENT;
  size_t cache_rows;
  if (__builtin_mul_overflow(pages, (size_t)ROOKERY_KEY_BLOCK, &cache_rows) || rows > INT32_MAX) return ROOKERY_BAD_ARGUMENT;
  if (!is_array(rows, kv_heads, head_dim) || !is_array(cache_rows, kv_heads, head_dim)) return ROOKERY_BAD_ARGUMENT;
  if (!k || !v || !places || !key_cache || !value_cache) return ROOKERY_BAD_ARGUMENT;
  if (!(key_scale > 0) || !(value_scale > 0)) return ROOKERY_BAD_ARGUMENT;
  cache_write w = {.is_bf16 = dtype == ROOKERY_BF16, .is_fp8 = cache_dtype == ROOKERY_FP8, .k = (const char *)k,
                   .v = (const char *)v, .key_cache = (char *)key_cache, .value_cache = (char *)value_cache,
                   .places = (const int32_t *)places, .rows = rows, .kv_heads = kv_heads, .head_dim = head_dim,
                   .key_scale = key_scale, .value_scale = value_scale};
  for (size_t row = 0; row < rows; row++) {
    if (w.places[row] < 0 || (size_t)w.places[row] >= cache_rows) return ROOKERY_BAD_ARGUMENT;
  }
  rookery_parallel(pool, (int32_t)ceil_div(rows, TASK_ROWS), write_task, &w);
  return ROOKERY_OK;
}
