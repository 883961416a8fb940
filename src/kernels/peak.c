/* What other rates are a share of: how fast this level multiplies when nothing waits for memory, and how fast memory is read. */
#include "arguments.h"
#include "threads.h"
#include "vector.h"
#ifdef ROOKERY_AMX
#include "amx.h"
#endif

typedef struct { int32_t dtype; size_t rounds; float *sink; } peak_job;

/* More chains than two units of latency four need: with just eight, whatever delays one of them is lost, and products beat "the peak". */
#define CHAINS 12
#define CHAIN_STEPS 10 /* in a round, which then takes about as long as one on tiles */

#ifdef ROOKERY_AMX
static void multiply_tiles(size_t rounds, float *sink) {
  configure_tiles(32);
  _tile_zero(0); _tile_zero(1); _tile_zero(2); _tile_zero(3); _tile_zero(4); _tile_zero(5); _tile_zero(6); _tile_zero(7);
  for (size_t round = 0; round < rounds; round++) {
    _tile_dpbf16ps(0, 4, 6); _tile_dpbf16ps(1, 4, 7); _tile_dpbf16ps(2, 5, 6); _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, sink, 64);
  release_tiles();
}
#endif

#if defined(ROOKERY_TILES) && !defined(ROOKERY_AMX)
static void multiply_pairs(size_t rounds, float *sink) {
  f32_lanes sums[CHAINS];
  __m512bh x = (__m512bh)_mm512_set1_epi16(0x3f80);
  for (int i = 0; i < CHAINS; i++) sums[i] = splat((float)i);
  for (size_t step = 0; step < rounds * CHAIN_STEPS; step++) {
    for (int i = 0; i < CHAINS; i++) sums[i] = (f32_lanes)_mm512_dpbf16_ps((__m512)sums[i], x, x);
  }
  for (int i = 1; i < CHAINS; i++) sums[0] += sums[i];
  store_f32(sink, sums[0]);
}
#endif

static void multiply(void *context, int32_t task, int32_t thread) {
  (void)thread;
  const peak_job *job = context;
  float *sink = job->sink + (size_t)task * 256;
#ifdef ROOKERY_AMX
  if (job->dtype == ROOKERY_BF16) { multiply_tiles(job->rounds, sink); return; }
#elif defined(ROOKERY_TILES)
  if (job->dtype == ROOKERY_BF16) { multiply_pairs(job->rounds, sink); return; }
#endif
  f32_lanes sums[CHAINS], x = splat(0.001f), y = splat(0.999f);
  for (int i = 0; i < CHAINS; i++) sums[i] = splat((float)i);
  for (size_t step = 0; step < job->rounds * CHAIN_STEPS; step++) for (int i = 0; i < CHAINS; i++) sums[i] = vector_fma(sums[i], y, x);
  for (int i = 1; i < CHAINS; i++) sums[0] += sums[i];
  store_f32(sink, sums[0]);
}

ROOKERY_API size_t rookery_peak_flops(int32_t dtype, size_t rounds, int32_t threads) {
#ifdef ROOKERY_AMX
  if (dtype == ROOKERY_BF16) return rounds * 4 * 2 * 16 * 16 * 32 * (size_t)threads;
#endif
  size_t products = LANES; /* of a vector */
#ifdef ROOKERY_TILES
  if (dtype == ROOKERY_BF16) products *= 2;
#endif
  (void)dtype;
  return rounds * CHAIN_STEPS * CHAINS * 2 * products * (size_t)threads;
}

ROOKERY_API int32_t rookery_peak_run(uintptr_t pool, int32_t dtype, size_t rounds, int32_t threads, uintptr_t scratch) {
  if (!is_dtype(dtype) || !is_aligned(scratch) || threads < 1) return ROOKERY_BAD_ARGUMENT;
  peak_job job = {dtype, rounds, (float *)scratch};
  rookery_parallel(pool, threads, multiply, &job);
  return ROOKERY_OK;
}

#define READ_BLOCK (1024 * 1024)
#define READ_SUMS 8

typedef struct { const char *memory; float *sink; } read_job;

static void read_block(void *context, int32_t task, int32_t thread) {
  const read_job *job = context;
  size_t first = (size_t)task * READ_BLOCK, step = READ_SUMS * sizeof(f32_lanes);
  const char *from = job->memory + first, *end = from + READ_BLOCK;
  u32_lanes sums[READ_SUMS] = {{0}};
  for (; from + step <= end; from += step) {
    for (size_t line = 0; line < step; line += 64) __builtin_prefetch(from + 2048 + line);
    for (int i = 0; i < READ_SUMS; i++) sums[i] += (u32_lanes)load_f32((const float *)from + i * LANES);
  }
  for (int i = 1; i < READ_SUMS; i++) sums[0] += sums[i];
  /* a word of the thread's own, so that no compiler finds the reading useless */
  ((volatile uint32_t *)job->sink)[(size_t)thread * 256] = sums[0][0];
}

ROOKERY_API int32_t rookery_peak_read(uintptr_t pool, uintptr_t memory, size_t bytes, uintptr_t scratch) {
  if (!memory || !is_aligned(scratch) || !bytes || bytes % READ_BLOCK || bytes / READ_BLOCK > INT32_MAX) return ROOKERY_BAD_ARGUMENT;
  read_job job = {(const char *)memory, (float *)scratch};
  rookery_parallel(pool, (int32_t)(bytes / READ_BLOCK), read_block, &job);
  return ROOKERY_OK;
}
