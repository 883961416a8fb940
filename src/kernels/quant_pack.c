/* Codes and scales as files have them, row by row, into the panels of quant.h. */
#include "quant.h"
#include "threads.h"

static quant_weight described(int32_t format, size_t groups, size_t out, size_t in, size_t segment) {
  return (quant_weight){format, groups, out, in, segment, 0, 0};
}

ROOKERY_API size_t rookery_quant_bytes(int32_t format, size_t groups, size_t out, size_t in, size_t segment) {
  quant_weight w = described(format, groups, out, in, segment);
  return is_quant_weight(&w) ? quant_code_bytes(&w) + quant_scale_count(&w) * sizeof(float) : 0;
}

typedef struct {
  quant_weight weight;
  uint8_t *to;      /* panels of the group */
  float *to_scales;
  const uint8_t *codes;
  const float *scales;
  size_t first_row, rows;
} quant_pack_job;

/* Two bytes of one parity that stand two apart in the inner dimension are a word. */
static void place_fp8(const uint8_t *row, size_t inner, size_t column, uint8_t *panel) {
  for (size_t k = 0; k < inner; k++) {
    size_t step = k / STEP, pair = k % STEP / 2, line = column / HALF * 8 + pair / 2;
    panel[step * STEP * PANEL + line * 64 + (column % HALF * 2 + k % 2) * 2 + pair % 2] = row[k];
  }
}

/* A word is two bytes of a column that follow each other. */
static void place_int8(const uint8_t *row, size_t inner, size_t column, uint8_t *panel) {
  for (size_t k = 0; k < inner; k++) {
    size_t step = k / STEP, line = column / HALF * STEP + k % STEP / 2 * 2;
    panel[step * STEP * PANEL + line * HALF + column % HALF * 2 + k % 2] = row[k];
  }
}

/* Eight nibbles in a row of W: those of even places are the column's first word, the others its second. */
static void place_int4(const uint8_t *row, size_t inner, size_t column, uint8_t *panel) {
  for (size_t k = 0; k < inner; k += 8) {
    uint32_t source, words = 0;
    memcpy(&source, row + k / 2, 4);
    for (int i = 0; i < 4; i++) words |= (source >> (8 * i) & 15u) << (4 * i) | (source >> (8 * i + 4) & 15u) << (16 + 4 * i);
    size_t line = column / HALF * 4 + k % STEP / 8;
    memcpy(panel + k / STEP * (STEP * PANEL / 2) + line * 64 + column % HALF * 4, &words, 4);
  }
}

static void pack_panel(void *context, int32_t task, int32_t thread) {
  (void)thread;
  const quant_pack_job *job = context;
  const quant_weight *w = &job->weight;
  size_t panel = job->first_row / PANEL + (size_t)task, segments = quant_segments(w);
  uint8_t *to = job->to + panel * quant_panel_bytes(w);
  float *to_scales = job->to_scales + panel * segments * PANEL;
  size_t begin = larger(panel * PANEL, job->first_row), end = smaller((panel + 1) * PANEL, job->first_row + job->rows);
  for (size_t at = begin; at < end; at++) {
    size_t row = at - job->first_row, column = at % PANEL;
    for (size_t s = 0; s < segments; s++) to_scales[s * PANEL + column] = job->scales[row * segments + s];
    if (w->format == ROOKERY_QUANT_FP8) place_fp8(job->codes + row * w->inner, w->inner, column, to);
    else if (w->format == ROOKERY_QUANT_INT8) place_int8(job->codes + row * w->inner, w->inner, column, to);
    else place_int4(job->codes + row * (w->inner / 2), w->inner, column, to);
  }
}

ROOKERY_API int32_t rookery_quant_pack(uintptr_t pool, int32_t format, uintptr_t codes, uintptr_t scales, uintptr_t packed, size_t groups,
                                       size_t out, size_t in, size_t segment, size_t group, size_t first_row, size_t rows) {
  quant_weight w = described(format, groups, out, in, segment);
  if (!codes || !scales || !is_aligned(packed) || !is_quant_weight(&w) || group >= groups || !rows || first_row >= out || rows > out - first_row) return ROOKERY_BAD_ARGUMENT;
  size_t panels = quant_panels(&w), tasks = ceil_div(first_row + rows, PANEL) - first_row / PANEL;
  if (tasks > INT32_MAX) return ROOKERY_BAD_ARGUMENT;
  quant_pack_job job = {w, (uint8_t *)packed + group * panels * quant_panel_bytes(&w),
                        (float *)(packed + quant_code_bytes(&w)) + group * panels * quant_segments(&w) * PANEL,
                        (const uint8_t *)codes, (const float *)scales, first_row, rows};
  rookery_parallel(pool, (int32_t)tasks, pack_panel, &job);
  return ROOKERY_OK;
}
