/* The rate at which this level multiplies when nothing waits for memory: what other rates are a share of. */
#include "rookery.h"
#include "threads.h"
#include "vector.h"

typedef struct { int32_t dtype; size_t rounds; float *sink; } peak_job;

#define ACCUMULATORS 8

#ifdef ROOKERY_AMX
static void multiply_tiles(size_t rounds, float *sink) {
  struct { uint8_t palette, start_row, reserved[14]; uint16_t column_bytes[16]; uint8_t rows[16]; } config;
  memset(&config, 0, sizeof config);
  config.palette = 1;
  for (int tile = 0; tile < 8; tile++) { config.column_bytes[tile] = 64; config.rows[tile] = 16; }
  _tile_loadconfig(&config);
  _tile_zero(0); _tile_zero(1); _tile_zero(2); _tile_zero(3); _tile_zero(4); _tile_zero(5); _tile_zero(6); _tile_zero(7);
  for (size_t round = 0; round < rounds; round++) {
    _tile_dpbf16ps(0, 4, 6); _tile_dpbf16ps(1, 4, 7); _tile_dpbf16ps(2, 5, 6); _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, sink, 64);
  _tile_release();
}
#endif

static void multiply(void *context, int32_t task, int32_t thread) {
  (void)thread;
  const peak_job *job = context;
  float *sink = job->sink + (size_t)task * 256;
#ifdef ROOKERY_AMX
  if (job->dtype == ROOKERY_BF16) { multiply_tiles(job->rounds, sink); return; }
#endif
  f32_lanes sums[ACCUMULATORS], x = load_f32(sink), y = splat(0.999f);
  for (int i = 0; i < ACCUMULATORS; i++) sums[i] = x;
  for (size_t round = 0; round < job->rounds; round++) for (int i = 0; i < ACCUMULATORS; i++) sums[i] = vector_fma(sums[i], y, x);
  for (int i = 1; i < ACCUMULATORS; i++) sums[0] += sums[i];
  store_f32(sink, sums[0]);
}

ROOKERY_API size_t rookery_peak_flops(int32_t dtype, size_t rounds, int32_t threads) {
#ifdef ROOKERY_AMX
  if (dtype == ROOKERY_BF16) return rounds * 4 * 2 * 16 * 16 * 32 * (size_t)threads;
#endif
  (void)dtype;
  return rounds * ACCUMULATORS * 2 * LANES * (size_t)threads;
}

ROOKERY_API int32_t rookery_peak_run(uintptr_t pool, int32_t dtype, size_t rounds, int32_t threads, uintptr_t scratch) {
  if (!scratch || threads < 1) return ROOKERY_BAD_ARGUMENT;
  peak_job job = {dtype, rounds, (float *)scratch};
  rookery_parallel(pool, threads, multiply, &job);
  return ROOKERY_OK;
}
