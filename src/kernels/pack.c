/* Weights into panels, for y = x W^T and for dx = dy W. panels.h has the layout. */
#include "pack.h"
#include "threads.h"
#ifdef ROOKERY_TILES
#include "words.h"
#endif

ROOKERY_API size_t rookery_pack_bytes(int32_t dtype, size_t groups, size_t out, size_t in, int32_t transpose) {
  return is_weight(groups, out, in) ? groups * matrix_bytes(dtype, transpose ? out : in, transpose ? in : out) : 0;
}

#ifdef ROOKERY_TILES
/* A B tile whose columns are rows of W: tile[pair][column] = {W[column][2 pair], W[column][2 pair + 1]}. */
static void pack_tile_from_rows(const float *w, size_t row_stride, size_t columns, size_t inner, bf16 *tile) {
  __m512i r[16];
  for (size_t c = 0; c < 16; c++) {
    if (c >= columns) { r[c] = _mm512_setzero_si512(); continue; }
    const float *row = w + c * row_stride;
    r[c] = narrow32(_mm512_maskz_loadu_ps(lanes_below(inner), row),
                    inner > 16 ? _mm512_maskz_loadu_ps(lanes_below(inner - 16), row + 16) : _mm512_setzero_ps());
  }
  transpose16(r);
  for (int pair = 0; pair < 16; pair++) _mm512_store_si512(tile + pair * 32, r[pair]);
}

/* A B tile whose columns are columns of W: tile[pair][column] = {W[2 pair][column], W[2 pair + 1][column]}. */
static void pack_tile_from_columns(const float *w, size_t row_stride, size_t columns, size_t inner, bf16 *tile) {
  __mmask16 mask = lanes_below(columns);
  for (size_t pair = 0; pair < 16; pair++) {
    __m512 even = 2 * pair < inner ? _mm512_maskz_loadu_ps(mask, w + 2 * pair * row_stride) : _mm512_setzero_ps();
    __m512 odd = 2 * pair + 1 < inner ? _mm512_maskz_loadu_ps(mask, w + (2 * pair + 1) * row_stride) : _mm512_setzero_ps();
    __m512i e = _mm512_castsi256_si512((__m256i)_mm512_cvtneps_pbh(even));
    __m512i o = _mm512_castsi256_si512((__m256i)_mm512_cvtneps_pbh(odd));
    _mm512_store_si512(tile + pair * 32, zip_words(e, o));
  }
}
#endif

/* A strip from rows of W, which are its columns: blocks of LANES x LANES, transposed. */
INLINE void pack_strip_from_rows(const float *w, size_t row_stride, size_t columns, size_t inner, float *strip, int rounds) {
  for (size_t k = 0; k < inner; k += LANES) {
    size_t left = inner - k;
    for (size_t first = 0; first < STRIP; first += LANES) {
      f32_lanes r[LANES];
      for (size_t c = 0; c < LANES; c++) {
        const float *from = w + (first + c) * row_stride + k;
        r[c] = first + c >= columns ? splat(0) : left >= LANES ? load_f32(from) : load_f32_tail(from, left);
      }
      transpose_lanes(r);
      for (size_t i = 0; i < smaller(left, LANES); i++) store_f32(strip + (k + i) * STRIP + first, rounds ? widen_bf16(narrow_bf16(r[i])) : r[i]);
    }
  }
}

/* A strip from columns of W, which are its columns. */
INLINE void pack_strip_from_columns(const float *w, size_t row_stride, size_t columns, size_t inner, float *strip, int rounds) {
  for (size_t k = 0; k < inner; k++) {
    for (size_t c = 0; c < STRIP; c += LANES) {
      const float *from = w + k * row_stride + c;
      f32_lanes v = c >= columns ? splat(0) : columns - c >= LANES ? load_f32(from) : load_f32_tail(from, columns - c);
      store_f32(strip + k * STRIP + c, rounds ? widen_bf16(narrow_bf16(v)) : v);
    }
  }
}

INLINE void pack_strip(const float *w, size_t row_stride, size_t columns, size_t inner, float *strip, int transpose, int rounds) {
  if (transpose) pack_strip_from_columns(w, row_stride, columns, inner, strip, rounds);
  else pack_strip_from_rows(w, row_stride, columns, inner, strip, rounds);
}

#ifdef ROOKERY_TILES
/* Asks for what is packed next but a few: strides so wide are lost on the hardware's prefetcher. */
INLINE void fetch_rows(const float *from, size_t row_stride) {
  for (size_t row = 0; row < 32; row++) {
    _mm_prefetch((const char *)(from + row * row_stride), _MM_HINT_T1);
    _mm_prefetch((const char *)(from + row * row_stride + 16), _MM_HINT_T1);
  }
}

/* 32 of the inner dimension of a panel: two B tiles. */
static void pack_step(const unpacked_weight *weight, const float *w, size_t first, size_t k, bf16 *to) {
  size_t inner = weight->transpose ? weight->out : weight->in, columns = weight->transpose ? weight->in : weight->out;
  if (weight->transpose && k + 64 <= inner && first + PANEL <= columns) fetch_rows(w + (k + 32) * weight->in + first, weight->in);
  if (!weight->transpose && k + 32 <= inner && first + 2 * PANEL <= columns) fetch_rows(w + (first + PANEL) * weight->in + k, weight->in);
  for (size_t half = 0; half < 2; half++, to += 512) {
    size_t column = first + half * 16, left = column < columns ? columns - column : 0;
    if (!left) memset(to, 0, 1024);
    else if (weight->transpose) pack_tile_from_columns(w + k * weight->in + column, weight->in, smaller(left, 16), smaller(inner - k, 32), to);
    else pack_tile_from_rows(w + column * weight->in + k, weight->in, smaller(left, 16), smaller(inner - k, 32), to);
  }
}
#endif

static void pack_strips(const unpacked_weight *weight, const float *w, size_t first, char *to) {
  size_t inner = weight->transpose ? weight->out : weight->in, columns = weight->transpose ? weight->in : weight->out;
  for (size_t column = first; column < first + PANEL; column += STRIP) {
    size_t left = column < columns ? columns - column : 0;
    float *strip = (float *)to + (column - first) * inner;
    const float *from = w + (left ? weight->transpose ? column : column * weight->in : 0);
    if (weight->dtype == ROOKERY_BF16) pack_strip(from, weight->in, left, inner, strip, weight->transpose, 1);
    else pack_strip(from, weight->in, left, inner, strip, weight->transpose, 0);
  }
}

void pack_panels(const unpacked_weight *weight, size_t group, panel_set set, size_t k, size_t k_end, char *to, size_t stride) {
  const float *w = weight->w + group * weight->out * weight->in;
  size_t panels = set.count * set.halves;
#ifdef ROOKERY_TILES
  if (uses_tiles(weight->dtype)) {
    /* as the weight lies: across its rows where they are what is summed over, so that all panels of a row are read together; else along them */
    size_t steps = ceil_div(k_end - k, 32), outer = weight->transpose ? steps : panels, inner = weight->transpose ? panels : steps;
    for (size_t i = 0; i < outer; i++) {
      for (size_t j = 0; j < inner; j++) {
        size_t p = weight->transpose ? j : i, step = weight->transpose ? i : j;
        size_t panel = set.first + p / set.halves + p % set.halves * set.distance;
        pack_step(weight, w, panel * PANEL, k + step * 32, (bf16 *)(to + p * stride) + step * 1024);
      }
    }
    return;
  }
#endif
  (void)k; (void)k_end;
  for (size_t p = 0; p < panels; p++) pack_strips(weight, w, (set.first + p / set.halves + p % set.halves * set.distance) * PANEL, to + p * stride);
}

#define TASK_PANELS 16
#define TASK_INNER 256 /* with tiles; divides blocks of the inner dimension */
typedef struct { unpacked_weight weight; char *packed; size_t inner, columns, sets, pieces; } pack_job;

static void pack_some_panels(void *context, int32_t task, int32_t thread) {
  (void)thread;
  const pack_job *job = context;
  const unpacked_weight *weight = &job->weight;
  size_t piece = (size_t)task % job->pieces, first = (size_t)task / job->pieces % job->sets * TASK_PANELS, group = (size_t)task / job->pieces / job->sets;
  size_t panels = ceil_div(job->columns, PANEL), length = inner_block(weight->dtype, job->inner);
  size_t k = piece * TASK_INNER, k_end = job->pieces > 1 ? smaller(k + TASK_INNER, job->inner) : job->inner, block = k / length * length;
  size_t bytes = panel_bytes(weight->dtype, smaller(length, job->inner - block));
  char *to = job->packed + group * matrix_bytes(weight->dtype, job->inner, job->columns) + panels * panel_bytes(weight->dtype, block) + first * bytes +
             panel_bytes(weight->dtype, k - block);
  pack_panels(weight, group, (panel_set){first, smaller(TASK_PANELS, panels - first), 1, 0}, k, k_end, to, bytes);
}

ROOKERY_API int32_t rookery_pack(uintptr_t pool, int32_t dtype, uintptr_t weight, uintptr_t packed, size_t groups, size_t out,
                                 size_t in, int32_t transpose) {
  if (!weight || !is_aligned(packed) || !is_weight(groups, out, in) || !is_dtype(dtype)) return ROOKERY_BAD_ARGUMENT;
  pack_job job = {{dtype, transpose, (const float *)weight, out, in}, (char *)packed, transpose ? out : in, transpose ? in : out, 0, 1};
  job.sets = ceil_div(ceil_div(job.columns, PANEL), TASK_PANELS);
  if (uses_tiles(dtype)) job.pieces = ceil_div(job.inner, TASK_INNER);
  size_t tasks = groups * job.sets * job.pieces;
  if (groups * ceil_div(job.columns, PANEL) > INT32_MAX || tasks > INT32_MAX) return ROOKERY_BAD_ARGUMENT;
  rookery_parallel(pool, (int32_t)tasks, pack_some_panels, &job);
  return ROOKERY_OK;
}
