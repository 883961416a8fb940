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
  size_t rows, columns;
  float key_scale, value_scale;
} cache_write;

INLINE void narrow_row(const void *from, uint8_t *to, size_t columns, float factor, int is_bf16) {
  for (size_t i = 0; i < columns; i += LANES) {
    store_fp8_some(to + i, load_some(from, i, columns - i, is_bf16) * splat(factor), columns - i);
  }
}

static void write_row(const cache_write *w, const char *from, char *cache, size_t row, float scale) {
  size_t bytes = w->columns * (w->is_bf16 ? 2 : 4), place = (size_t)w->places[row];
  const char *source = from + row * bytes;
  if (!w->is_fp8) memcpy(cache + place * bytes, source, bytes);
  else if (w->is_bf16) narrow_row(source, (uint8_t *)cache + place * w->columns, w->columns, 1 / scale, 1);
  else narrow_row(source, (uint8_t *)cache + place * w->columns, w->columns, 1 / scale, 0);
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
                                        size_t columns, size_t cache_rows, float key_scale, float value_scale) {
  if (!is_dtype(dtype) || (cache_dtype != dtype && cache_dtype != ROOKERY_FP8)) return ROOKERY_BAD_ARGUMENT;
  if (!is_array(rows, columns, 1) || !is_array(cache_rows, columns, 1) || rows > INT32_MAX) return ROOKERY_BAD_ARGUMENT;
  if (!k || !v || !places || !key_cache || !value_cache) return ROOKERY_BAD_ARGUMENT;
  if (!(key_scale > 0) || !(value_scale > 0)) return ROOKERY_BAD_ARGUMENT;
  cache_write w = {.is_bf16 = dtype == ROOKERY_BF16, .is_fp8 = cache_dtype == ROOKERY_FP8, .k = (const char *)k,
                   .v = (const char *)v, .key_cache = (char *)key_cache, .value_cache = (char *)value_cache,
                   .places = (const int32_t *)places, .rows = rows, .columns = columns, .key_scale = key_scale,
                   .value_scale = value_scale};
  for (size_t row = 0; row < rows; row++) {
    if (w.places[row] < 0 || (size_t)w.places[row] >= cache_rows) return ROOKERY_BAD_ARGUMENT;
  }
  rookery_parallel(pool, (int32_t)ceil_div(rows, TASK_ROWS), write_task, &w);
  return ROOKERY_OK;
}
