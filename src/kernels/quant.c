/*
 * Rows times weights of 8 or 4 bits, group by group. Weights go from their codes to bf16 tiles (quant_tiles.c) or to f32 strips a few panels at
 * a time, where they are multiplied at once: nothing larger than a task's panels is ever made of them. Every element of the result sums in one
 * order, whatever the number of rows, so a row's bits do not depend on the rows beside it.
 */
#include "quant.h"
#include "gemm.h"
#include "threads.h"

#define TASK_BYTES (1024 * 1024) /* widened weights of a task, which stay in the second cache while rows go by */
#define ROWS_PER_TASK 32
#define FP8_LARGEST 448.0f
#define SMALLEST_ROW_SCALE (1.0f / (FP8_LARGEST * 512.0f)) /* as vLLM has it: rows of zeros get this one */

/* ---- activations: rounded to FP8 where the scheme says so, and laid as tiles where there are tiles ---- */
typedef struct {
  const quant_job *job;
  const float *scales; /* f32 [groups], or 0: one a row, from its largest magnitude */
  bf16 *tiles;
  float *floats, *row_scales, *row_sums;
  size_t blocks;
} row_job;

static float row_scale(const row_job *rows, size_t row, size_t group) {
  const quant_job *job = rows->job;
  if (rows->scales) return rows->scales[group];
  size_t inner = job->weight.inner, at = row * inner;
  f32_lanes most = splat(0);
  for (size_t k = 0; k < inner; k += LANES) {
    u32_lanes bits = (u32_lanes)load_some(job->a, at + k, inner - k, job->dtype == ROOKERY_BF16) & 0x7fffffffu;
    most = vector_max((f32_lanes)bits, most);
  }
  float scale = vector_largest(most) / FP8_LARGEST;
  return scale > SMALLEST_ROW_SCALE ? scale : SMALLEST_ROW_SCALE;
}

/*
 * Row r of a block of `count` rows to its place among tiles; or, if `tiles` is 0, to `plain` where there is one (of the row alone). Numbers are
 * read in one order in any case, and so is their sum.
 */
static void prepare_row(const row_job *rows, size_t group, size_t row, size_t r, size_t count, bf16 *tiles, bf16 *plain) {
  const quant_job *job = rows->job;
  size_t inner = job->weight.inner, at = row * inner;
  int is_bf16 = job->dtype == ROOKERY_BF16, on_tiles = rows->tiles != 0;
  float scale = job->rounds ? row_scale(rows, row, group) : 1;
  f32_lanes sum = splat(0);
  if (job->rounds && on_tiles) rows->row_scales[row] = scale;
  for (size_t k = 0; k < inner; k += LANES) {
    f32_lanes v = load_some(job->a, at + k, inner - k, is_bf16);
    if (job->rounds) v = widen_fp8(narrow_fp8(v / splat(scale)));
    sum += v;
    if (tiles) store_bf16(tiles + k / STEP * count * STEP + r * STEP + k % STEP, v);
    else if (plain) store_some(plain, k, inner - k, v, 1);
    else if (!on_tiles) store_some(rows->floats, at + k, inner - k, v * splat(scale), 0);
  }
  rows->row_sums[row] = vector_sum(sum);
  /* what is left of the last step */
  if (tiles) for (size_t k = round_up(inner, LANES); k < round_up(inner, STEP); k += LANES) store_bf16(tiles + k / STEP * count * STEP + r * STEP + k % STEP, splat(0));
}

static void prepare_rows(void *context, int32_t task, int32_t thread) {
  (void)thread;
  const row_job *rows = context;
  const quant_job *job = rows->job;
  size_t block = (size_t)task;
  for (size_t g = 0; g < job->weight.groups; g++) {
    size_t begin = (size_t)job->offsets[g], count = (size_t)job->offsets[g + 1] - begin, blocks = ceil_div(count, ROWS_PER_TASK);
    if (block >= blocks) { block -= blocks; continue; }
    size_t first = begin + block * ROWS_PER_TASK, n = smaller(count - block * ROWS_PER_TASK, ROWS_PER_TASK);
    bf16 *tiles = rows->tiles && !widens_once(job, count) ? rows->tiles + first * round_up(job->weight.inner, STEP) : 0;
    bf16 *plain = rows->tiles && job->rounds && !tiles ? rows->tiles + begin * round_up(job->weight.inner, STEP) : 0;
    for (size_t r = first; r < first + n; r++) prepare_row(rows, g, r, r - first, n, tiles, plain ? plain + (r - begin) * job->weight.inner : 0);
    return;
  }
}

/* ---- weights as f32 strips, true to scale ---- */

/* The codes of LANES columns at one place of a step, as numbers. `format` is a constant where this is inlined. */
INLINE f32_lanes widen_codes(int32_t format, const uint8_t *step, size_t k, size_t column) {
  size_t half = column / HALF, c = column % HALF, pair = k / 2;
  if (format == ROOKERY_QUANT_INT8) {
    u16_lanes pairs;
    memcpy(&pairs, step + (half * STEP + pair * 2) * HALF + c * 2, sizeof pairs);
    i32_lanes code = __builtin_convertvector(pairs >> (uint16_t)(8 * (k % 2)) & (uint16_t)0xff, i32_lanes);
    return __builtin_convertvector(code - INT8_ZERO, f32_lanes);
  }
  u32_lanes words;
  if (format == ROOKERY_QUANT_INT4) {
    memcpy(&words, step + (half * 4 + pair / 4) * 64 + c * 4, sizeof words);
    i32_lanes code = (i32_lanes)(words >> (uint32_t)(16 * (k % 2) + 4 * (pair % 4)) & 15u);
    return __builtin_convertvector(code - INT4_ZERO, f32_lanes);
  }
  memcpy(&words, step + (half * 8 + pair / 2) * 64 + c * 4, sizeof words);
  return widen_fp8(__builtin_convertvector(words >> (uint32_t)(16 * (k % 2) + 8 * (pair % 2)) & 0xffu, u8_lanes));
}

INLINE void widen_strips(int32_t format, const quant_weight *w, const uint8_t *codes, const float *scales, float *to) {
  for (size_t first = 0; first < PANEL; first += STRIP, to += w->inner * STRIP) {
    for (size_t k = 0; k < w->inner; k++) {
      const uint8_t *step = codes + k / STEP * step_bytes(format);
      const float *scale = scales + k / w->segment * PANEL + first;
      for (size_t c = 0; c < STRIP; c += LANES) store_f32(to + k * STRIP + c, widen_codes(format, step, k % STEP, first + c) * load_f32(scale + c));
    }
  }
}

static void widen_panel(const quant_weight *w, size_t group, size_t panel, float *to) {
  const uint8_t *codes = quant_panel(w, group, panel);
  const float *scales = quant_panel_scales(w, group, panel);
  switch (w->format) {
    case ROOKERY_QUANT_FP8: widen_strips(ROOKERY_QUANT_FP8, w, codes, scales, to); break;
    case ROOKERY_QUANT_INT8: widen_strips(ROOKERY_QUANT_INT8, w, codes, scales, to); break;
    default: widen_strips(ROOKERY_QUANT_INT4, w, codes, scales, to); break;
  }
}

static void vector_panels(const quant_job *job, size_t group, size_t first, size_t last, char *scratch) {
  size_t bytes = panel_bytes(ROOKERY_F32, job->weight.inner), begin = (size_t)job->offsets[group];
  for (size_t p = first; p < last; p++) widen_panel(&job->weight, group, p, (float *)(scratch + (p - first) * bytes));
  matmul_job product = {.dtype = job->dtype, .a = job->a, .target = job->target, .inner = job->weight.inner};
  matmul_units units = {scratch - first * bytes, bytes, 0, first, last, 0, job->weight.inner, 0};
  matmul_vector_block(&product, begin, (size_t)job->offsets[group + 1] - begin, units);
}

/* ---- the product ---- */
static void multiply_units(void *context, int32_t task, int32_t thread) {
  const quant_job *job = context;
  size_t group = (size_t)task % job->weight.groups, first = (size_t)task / job->weight.groups * job->units_per_task;
  size_t last = smaller(first + job->units_per_task, job->units);
  if (job->offsets[group] == job->offsets[group + 1]) return;
  char *scratch = job->scratch + (size_t)thread * job->thread_bytes;
#ifdef ROOKERY_TILES
  if (job->tiles) { quant_tile_units(job, group, first, last, (bf16 *)scratch); return; }
#endif
  vector_panels(job, group, first, last, scratch);
}

/* Bytes of the rows as they are prepared: tiles; f32 where they are rounded and there are none; nothing else. */
static size_t prepared_bytes(const quant_job *job, size_t rows, int rounds) {
  size_t inner = job->weight.inner;
  if (uses_tiles(job->dtype)) return round_up(rows * round_up(inner, STEP) * sizeof(bf16), 64);
  return rounds ? round_up(rows * inner * sizeof(float), 64) : 0;
}

/* Bytes of one number a row. */
static size_t row_bytes(size_t rows) { return round_up(rows * sizeof(float), 64); }

static void share_units(quant_job *job, size_t rows, size_t threads, int is_gated) {
  size_t panels = quant_panels(&job->weight), inner = round_up(job->weight.inner, STEP);
  int on_tiles = uses_tiles(job->dtype);
  job->halves = job->weight.format != ROOKERY_QUANT_INT4 && gates_on_the_way(job->dtype, job->weight.columns, is_gated) ? 2 : 1;
  job->units = panels / job->halves;
  size_t bytes = job->halves * (on_tiles ? inner * PANEL * sizeof(bf16) : panel_bytes(ROOKERY_F32, job->weight.inner));
  size_t most = smaller(larger(TASK_BYTES / bytes, 1), MOST_TASK_PANELS / job->halves);
  /* enough tasks that no thread waits long for another's last; groups are tasks of their own, but may have no rows */
  job->units_per_task = smaller(most, ceil_div(job->units, 4 * threads));
  job->thread_bytes = job->units_per_task * bytes;
  /* few rows only read: a task's first codes come late, so there are just as many tasks as make the threads end together */
  if (on_tiles && rows <= ROW_BLOCK_TILES) {
    job->units_per_task = ceil_div(job->units, 2 * threads);
    job->thread_bytes = 0;
  }
}

ROOKERY_API size_t rookery_quant_matmul_scratch_bytes(int32_t format, int32_t dtype, size_t rows, size_t inner, size_t columns, size_t groups,
                                                      size_t segment, int32_t rounds, int32_t threads) {
  quant_job job = {.weight = {format, groups, columns, inner, segment, 0, 0}, .dtype = dtype};
  if (!is_quant_weight(&job.weight) || !is_dtype(dtype) || threads < 1 || !is_array(rows, round_up(inner, STEP), 1)) return 0;
  share_units(&job, rows, (size_t)threads, 0);
  size_t scratch_bytes = job.thread_bytes;
  share_units(&job, rows, (size_t)threads, 1);
  scratch_bytes = larger(scratch_bytes, job.thread_bytes);
  if (!is_array((size_t)threads, scratch_bytes, 1)) return 0;
  return prepared_bytes(&job, rows, rounds != 0) + 2 * row_bytes(rows) + (size_t)threads * scratch_bytes;
}

static int32_t check_quant_matmul(quant_job *job, size_t rows, uintptr_t offsets, uintptr_t scratch) {
  const quant_weight *w = &job->weight;
  const sums_target *target = &job->target;
  if (!is_quant_weight(w) || !is_aligned((uintptr_t)w->codes) || !is_aligned(scratch) || !job->a || !target->c || rows > INT32_MAX) return ROOKERY_BAD_ARGUMENT;
  if (!is_dtype(job->dtype) || !is_dtype(target->dtype) || (w->groups > 1 && !offsets)) return ROOKERY_BAD_ARGUMENT;
  if (!is_array(rows, round_up(w->inner, STEP), 1) || !is_array(rows, w->columns, 1)) return ROOKERY_BAD_ARGUMENT;
  if (target->gated && (w->columns % 2 || target->addend || target->dtype != job->dtype)) return ROOKERY_BAD_ARGUMENT;
  job->all_rows[1] = (int32_t)rows;
  job->offsets = offsets ? (const int32_t *)offsets : job->all_rows;
  return offsets_are_sound(job->offsets, w->groups, rows) ? ROOKERY_OK : ROOKERY_BAD_ARGUMENT;
}

static int is_gated_on_the_way(const quant_job *job, size_t group) {
  return job->halves == 2 && widens_once(job, (size_t)(job->offsets[group + 1] - job->offsets[group]));
}

/* The gated products that were not made on the way: those of neighboring groups in one go. */
static int32_t gate_the_rest(uintptr_t pool, const quant_job *job) {
  const sums_target *target = &job->target;
  size_t c_row_bytes = target->columns * (target->dtype == ROOKERY_BF16 ? sizeof(bf16) : sizeof(float)), groups = job->weight.groups;
  int32_t status = ROOKERY_OK;
  for (size_t g = 0; target->gated && g < groups && !status; g++) {
    size_t first = (size_t)job->offsets[g];
    while (g < groups && !is_gated_on_the_way(job, g)) g++;
    size_t rows = (size_t)job->offsets[g] - first;
    if (!rows) continue;
    uintptr_t from = (uintptr_t)target->c + first * c_row_bytes, to = (uintptr_t)target->gated + first * c_row_bytes / 2;
    status = rookery_swiglu_forward(pool, target->dtype, from, to, rows, target->columns / 2, 0);
  }
  return status;
}

ROOKERY_API int32_t rookery_quant_matmul(uintptr_t pool, int32_t format, int32_t dtype, uintptr_t a, uintptr_t packed, uintptr_t addend,
                                         uintptr_t c, int32_t c_dtype, uintptr_t gated, size_t rows, size_t inner, size_t columns, size_t groups,
                                         size_t segment, int32_t rounds, uintptr_t activation_scales, uintptr_t offsets, uintptr_t scratch) {
  quant_job job = {.weight = {format, groups, columns, inner, segment, (const uint8_t *)packed, 0}, .dtype = dtype, .a = (const char *)a,
                   .target = {c_dtype, columns, (const char *)addend, (char *)c, 0, (char *)gated, 0}};
  if (check_quant_matmul(&job, rows, offsets, scratch)) return ROOKERY_BAD_ARGUMENT;
  job.weight.scales = (const float *)(packed + quant_code_bytes(&job.weight));
  size_t threads = (size_t)rookery_pool_threads(pool), blocks = 0, prepared = prepared_bytes(&job, rows, rounds != 0);
  job.rounds = rounds != 0;
  share_units(&job, rows, threads, gated != 0);
  for (size_t g = 0; g < groups; g++) blocks += ceil_div((size_t)(job.offsets[g + 1] - job.offsets[g]), ROWS_PER_TASK);
  size_t tasks = groups * ceil_div(job.units, job.units_per_task);
  if (tasks > INT32_MAX || blocks > INT32_MAX) return ROOKERY_BAD_ARGUMENT;
  if (!blocks) return ROOKERY_OK;
  int tiles = uses_tiles(dtype);
  row_job prepare = {.job = &job, .scales = (const float *)activation_scales, .blocks = blocks};
  if (tiles) prepare.tiles = (bf16 *)scratch;
  else prepare.floats = (float *)scratch;
  prepare.row_scales = (float *)(scratch + prepared);
  prepare.row_sums = (float *)(scratch + prepared + row_bytes(rows));
  job.scratch = (char *)scratch + prepared + 2 * row_bytes(rows);
  if (tiles || rounds) rookery_parallel(pool, (int32_t)blocks, prepare_rows, &prepare);
  if (tiles) {
    job.tiles = prepare.tiles;
    job.row_scales = rounds ? prepare.row_scales : 0;
    job.row_sums = prepare.row_sums;
  } else if (rounds) {
    job.a = (const char *)prepare.floats;
    job.dtype = ROOKERY_F32;
  }
  rookery_parallel(pool, (int32_t)tasks, multiply_units, &job);
  return gate_the_rest(pool, &job);
}
