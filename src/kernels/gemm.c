/*
 * Matrix products: rows times a packed weight (forward and input gradient), and the weight gradient.
 *
 * A weight is packed in panels of 32 columns. For bf16 on AMX a panel holds, for each 32 of the inner dimension, two B tiles
 * (16 pairs x 16 columns x 2 bf16); elsewhere it holds f32 rows of 32 columns, rounded to bf16 if that is the dtype.
 * Columns and inner dimension are padded with zeros, so kernels have no edge there. Every element of the result sums over the inner
 * dimension in one order, whatever the number of rows, so a row's bits do not depend on the rows beside it.
 */
#include "rookery.h"
#include "threads.h"
#include "vector.h"

#define PANEL 32
#define ROW_BLOCK 256
#define PANEL_BYTES_IN_CACHE (1024 * 1024) /* weights that stay in the second cache while rows go by */
#define CHUNK_STEPS 8 /* of 32: what of 32 rows fits in the first cache together with the panel that streams past */
#define FEW_PANELS 16
#define MOST_PANELS 64 /* a task's partial sums, when the inner dimension has several chunks, are this many blocks */

static size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }
static size_t round_up(size_t a, size_t b) { return ceil_div(a, b) * b; }
static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

static int uses_tiles(int32_t dtype) {
#ifdef ROOKERY_AMX
  return dtype == ROOKERY_BF16;
#else
  (void)dtype;
  return 0;
#endif
}

/* Bytes of one packed matrix [inner, columns], and of one of its panels. */
static size_t panel_bytes(int32_t dtype, size_t inner) {
  return uses_tiles(dtype) ? round_up(inner, 32) * PANEL * sizeof(bf16) : inner * PANEL * sizeof(float);
}
static size_t matrix_bytes(int32_t dtype, size_t inner, size_t columns) {
  return ceil_div(columns, PANEL) * panel_bytes(dtype, inner);
}

ROOKERY_API size_t rookery_pack_bytes(int32_t dtype, size_t groups, size_t out, size_t in, int32_t transpose) {
  return groups * matrix_bytes(dtype, transpose ? out : in, transpose ? in : out);
}

/* ---- AMX ---- */
#ifdef ROOKERY_AMX

/* Tiles 0-3 hold C (2 x 2 blocks of 16 x 16), 4-5 the rows of A, 6-7 the columns of B. */
static void configure_tiles(size_t rows) {
  struct { uint8_t palette, start_row, reserved[14]; uint16_t column_bytes[16]; uint8_t rows[16]; } config;
  memset(&config, 0, sizeof config);
  config.palette = 1;
  uint8_t upper = (uint8_t)smaller(rows, 16), lower = (uint8_t)(rows > 16 ? rows - 16 : 16);
  for (int tile = 0; tile < 8; tile++) {
    config.column_bytes[tile] = 64;
    config.rows[tile] = tile == 2 || tile == 3 || tile == 5 ? lower : tile >= 6 ? 16 : upper;
  }
  _tile_loadconfig(&config);
}

/* GCC does not know that a tile load reads memory: without this it may move the stores that fill a buffer past the loads. */
INLINE void settle_stores(void) { __asm__ volatile("" ::: "memory"); }

/* Transposes 16 x 16 words of 32 bits held in registers. */
INLINE void transpose16(__m512i r[16]) {
  __m512i t[16];
  for (int i = 0; i < 16; i += 2) { t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]); t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]); }
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]); r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]); r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int i = 0; i < 4; i++) {
    t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88); t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88); t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
  }
  for (int i = 0; i < 8; i++) {
    r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
  }
}

/* 32 f32 to 32 bf16 in order. */
INLINE __m512i narrow32(__m512 low, __m512 high) { return (__m512i)_mm512_cvtne2ps_pbh(high, low); }

INLINE __mmask16 lanes_below(size_t n) { return n >= 16 ? 0xffff : (__mmask16)((1u << n) - 1); }
INLINE __mmask32 lanes_below32(size_t n) { return n >= 32 ? 0xffffffffu : (__mmask32)((1u << n) - 1); }

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

INLINE __m512i zip_words(__m512i even, __m512i odd) {
  /* even and odd hold 16 bf16 each in their low halves; the result alternates them */
  __m512i low = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(even));
  __m512i high = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(odd));
  return _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
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

/* ---- packing ---- */
typedef struct { int32_t dtype, transpose; const float *weight; char *packed; size_t groups, out, in; } pack_job;

static void pack_panel(void *context, int32_t task, int32_t thread) {
  (void)thread;
  const pack_job *job = context;
  size_t inner = job->transpose ? job->out : job->in, columns = job->transpose ? job->in : job->out;
  size_t panels = ceil_div(columns, PANEL), group = (size_t)task / panels, first = (size_t)task % panels * PANEL;
  const float *w = job->weight + group * job->out * job->in;
  char *to = job->packed + (size_t)task * panel_bytes(job->dtype, inner);
#ifdef ROOKERY_AMX
  if (uses_tiles(job->dtype)) {
    for (size_t k = 0; k < inner; k += 32) {
      for (size_t half = 0; half < 2; half++, to += 1024) {
        size_t column = first + half * 16, left = column < columns ? columns - column : 0;
        if (!left) { memset(to, 0, 1024); continue; }
        if (job->transpose) pack_tile_from_columns(w + k * job->in + column, job->in, smaller(left, 16), smaller(inner - k, 32), (bf16 *)to);
        else pack_tile_from_rows(w + column * job->in + k, job->in, smaller(left, 16), smaller(inner - k, 32), (bf16 *)to);
      }
    }
    return;
  }
#endif
  float *out = (float *)to;
  for (size_t k = 0; k < inner; k++) {
    for (size_t c = 0; c < PANEL; c++) {
      size_t column = first + c;
      float value = column >= columns ? 0 : job->transpose ? w[k * job->in + column] : w[column * job->in + k];
      out[k * PANEL + c] = job->dtype == ROOKERY_BF16 ? bf16_to_f32(f32_to_bf16(value)) : value;
    }
  }
}

ROOKERY_API int32_t rookery_pack(uintptr_t pool, int32_t dtype, uintptr_t weight, uintptr_t packed, size_t groups, size_t out,
                                 size_t in, int32_t transpose) {
  if (!weight || !packed || packed % 64 || !groups || !out || !in || (dtype != ROOKERY_F32 && dtype != ROOKERY_BF16)) return ROOKERY_BAD_ARGUMENT;
  pack_job job = {dtype, transpose, (const float *)weight, (char *)packed, groups, out, in};
  rookery_parallel(pool, (int32_t)(groups * ceil_div(transpose ? in : out, PANEL)), pack_panel, &job);
  return ROOKERY_OK;
}

/* ---- rows times packed weight ---- */
typedef struct {
  int32_t dtype, c_dtype;
  const char *a, *packed, *addend;
  char *c;
  size_t inner, columns, groups, row_blocks, panels_per_task;
  const int32_t *offsets;
  int32_t all_rows[2];
} matmul_job;

/* The rows of the `block`-th row block, counted over all groups. Groups with no rows have no block. */
static void find_rows(const matmul_job *job, size_t block, size_t *group, size_t *first, size_t *count) {
  for (size_t g = 0; g < job->groups; g++) {
    size_t begin = (size_t)job->offsets[g], rows = (size_t)job->offsets[g + 1] - begin, blocks = ceil_div(rows, ROW_BLOCK);
    if (block < blocks) {
      *group = g; *first = begin + block * ROW_BLOCK; *count = smaller(rows - block * ROW_BLOCK, ROW_BLOCK);
      return;
    }
    block -= blocks;
  }
  *count = 0;
}

/* Writes a block of sums [rows, 32] into c, of which `columns` exist. */
INLINE void store_block(const matmul_job *job, const float *sums, size_t row, size_t rows, size_t column) {
  size_t columns = smaller(job->columns - column, PANEL);
  int is_bf16 = job->c_dtype == ROOKERY_BF16;
  for (size_t r = 0; r < rows; r++, sums += PANEL) {
    size_t at = (row + r) * job->columns + column;
    for (size_t c = 0; c < columns; c += LANES) {
      size_t n = columns - c;
      f32x16 v = load_f32(sums + c);
      if (n >= LANES) {
        if (job->addend) v += load_any(job->addend, at + c, is_bf16);
        store_any(job->c, at + c, v, is_bf16);
      } else {
        if (job->addend) v += load_any_tail(job->addend, at + c, n, is_bf16);
        store_any_tail(job->c, at + c, v, n, is_bf16);
      }
    }
  }
}

/* sums [rows, 32] = a [rows, inner] b [inner, 32]; rows and a_bf16 are constants where this is inlined. */
#if defined(__AVX512F__)
#define ROWS_AT_ONCE 8
#define VECTORS_AT_ONCE 2
#else
#define ROWS_AT_ONCE 2
#define VECTORS_AT_ONCE 1
#endif
INLINE void vector_block(const char *a, int a_bf16, size_t inner, const float *b, size_t rows, float *sums) {
  for (size_t half = 0; half < PANEL / LANES; half += VECTORS_AT_ONCE) {
    f32x16 acc[ROWS_AT_ONCE][VECTORS_AT_ONCE];
    for (size_t r = 0; r < rows; r++) for (size_t v = 0; v < VECTORS_AT_ONCE; v++) acc[r][v] = splat(0);
    for (size_t k = 0; k < inner; k++) {
      f32x16 column[VECTORS_AT_ONCE];
      for (size_t v = 0; v < VECTORS_AT_ONCE; v++) column[v] = load_f32(b + k * PANEL + (half + v) * LANES);
      for (size_t r = 0; r < rows; r++) {
        float x = a_bf16 ? bf16_to_f32(((const bf16 *)a)[r * inner + k]) : ((const float *)a)[r * inner + k];
        for (size_t v = 0; v < VECTORS_AT_ONCE; v++) acc[r][v] = fma16(splat(x), column[v], acc[r][v]);
      }
    }
    for (size_t r = 0; r < rows; r++) for (size_t v = 0; v < VECTORS_AT_ONCE; v++) store_f32(sums + r * PANEL + (half + v) * LANES, acc[r][v]);
  }
}

static void vector_rows(const matmul_job *job, size_t row, size_t rows, size_t column, const float *b) {
  float sums[ROWS_AT_ONCE * PANEL];
  int is_bf16 = job->dtype == ROOKERY_BF16;
  size_t element = is_bf16 ? sizeof(bf16) : sizeof(float);
  for (size_t r = 0; r < rows;) {
    const char *a = job->a + (row + r) * job->inner * element;
    size_t step = rows - r >= ROWS_AT_ONCE ? ROWS_AT_ONCE : 1;
    if (step == 1) is_bf16 ? vector_block(a, 1, job->inner, b, 1, sums) : vector_block(a, 0, job->inner, b, 1, sums);
    else is_bf16 ? vector_block(a, 1, job->inner, b, ROWS_AT_ONCE, sums) : vector_block(a, 0, job->inner, b, ROWS_AT_ONCE, sums);
    store_block(job, sums, row + r, step, column);
    r += step;
  }
}

#ifdef ROOKERY_AMX
/* A block of finished sums [rows, 32] on its way to c. */
typedef struct { const float *sums; size_t row, rows, column, stored; } finished_block;

/* Stores the next `count` rows of a finished block. */
INLINE void store_next_rows(const matmul_job *job, finished_block *block, size_t count) {
  size_t last = smaller(block->stored + count, block->rows);
  if (job->c_dtype != ROOKERY_BF16 || block->column + PANEL > job->columns) {
    store_block(job, block->sums + block->stored * PANEL, block->row + block->stored, last - block->stored, block->column);
    block->stored = last;
    return;
  }
  for (; block->stored < last; block->stored++) {
    size_t at = (block->row + block->stored) * job->columns + block->column;
    const float *sums = block->sums + block->stored * PANEL;
    f32x16 low = load_f32(sums), high = load_f32(sums + LANES);
    if (job->addend) {
      low += load_bf16((const bf16 *)job->addend + at);
      high += load_bf16((const bf16 *)job->addend + at + LANES);
    }
    _mm512_storeu_si512((bf16 *)job->c + at, narrow32((__m512)low, (__m512)high));
  }
}

/* A chunk of up to 32 rows as A tiles, one after the other: tile loads from the second cache are slow, and slower over a stride. */
static void copy_rows_as_tiles(const bf16 *a, size_t row_elements, size_t rows, size_t inner, bf16 *tiles) {
  for (size_t k = 0; k < inner; k += 32) {
    __mmask32 mask = lanes_below32(inner - k);
    for (size_t r = 0; r < rows; r++) _mm512_store_si512(tiles + k * 32 + r * 32, _mm512_maskz_loadu_epi16(mask, a + r * row_elements + k));
  }
  settle_stores();
}

/*
 * sums [32, 32] = before (or 0) + a chunk of A times a panel's part. Meanwhile the block before goes to memory, a few rows a step: the
 * tile unit and the vector units have different work then.
 */
INLINE void multiply_chunk(const matmul_job *job, const bf16 *a, const bf16 *b, size_t steps, int lower, const float *before, float *sums,
                           finished_block *finished) {
  if (before) {
    _tile_loadd(0, before, 128); _tile_loadd(1, before + 16, 128);
    if (lower) { _tile_loadd(2, before + 512, 128); _tile_loadd(3, before + 528, 128); }
  } else {
    _tile_zero(0); _tile_zero(1);
    if (lower) { _tile_zero(2); _tile_zero(3); }
  }
  for (size_t step = 0; step < steps; step++, a += 1024, b += 1024) {
    _tile_loadd(6, b, 64);
    _tile_loadd(7, b + 512, 64);
    _tile_loadd(4, a, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    if (lower) {
      _tile_loadd(5, a + 512, 64);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
    if (finished->stored < finished->rows) store_next_rows(job, finished, PANEL / CHUNK_STEPS);
  }
  store_next_rows(job, finished, PANEL);
  _tile_stored(0, sums, 128);
  _tile_stored(1, sums + 16, 128);
  if (lower) { _tile_stored(2, sums + 512, 128); _tile_stored(3, sums + 528, 128); }
}

/* Rows [row, row + rows) of c, columns of the panels [panel, last). */
static void multiply_tiles(const matmul_job *job, size_t row, size_t rows, const char *b, size_t panel, size_t last) {
  _Alignas(64) bf16 tiles[CHUNK_STEPS * 1024];
  _Alignas(64) float sums[2][PANEL * PANEL];
  _Alignas(64) float partial[MOST_PANELS][PANEL * PANEL];
  size_t inner = job->inner, all_steps = ceil_div(inner, 32), bytes = panel_bytes(job->dtype, inner), configured = 0, turn = 0;
  finished_block finished = {0, 0, 0, 0, 0};
  for (size_t r = 0; r < rows; r += 32) {
    size_t count = smaller(rows - r, 32);
    if (count != configured) { configure_tiles(count); configured = count; }
    for (size_t step = 0; step < all_steps; step += CHUNK_STEPS) {
      size_t steps = smaller(all_steps - step, CHUNK_STEPS), k = step * 32;
      copy_rows_as_tiles((const bf16 *)job->a + (row + r) * inner + k, inner, count, smaller(inner - k, steps * 32), tiles);
      int is_last = step + steps == all_steps;
      for (size_t p = panel; p < last; p++) {
        const bf16 *from = (const bf16 *)(b + p * bytes) + step * 1024;
        const float *before = step ? partial[p - panel] : 0;
        float *to = is_last ? sums[turn] : partial[p - panel];
        if (count > 16) multiply_chunk(job, tiles, from, steps, 1, before, to, &finished);
        else multiply_chunk(job, tiles, from, steps, 0, before, to, &finished);
        if (is_last) {
          finished = (finished_block){to, row + r, count, p * PANEL, 0};
          turn ^= 1;
        }
      }
    }
  }
  store_next_rows(job, &finished, PANEL);
  _tile_release();
}
#endif

static void multiply_block(void *context, int32_t task, int32_t thread) {
  (void)thread;
  const matmul_job *job = context;
  size_t group = 0, row = 0, rows = 0;
  find_rows(job, (size_t)task % job->row_blocks, &group, &row, &rows);
  size_t panels = ceil_div(job->columns, PANEL), panel = (size_t)task / job->row_blocks * job->panels_per_task;
  size_t last = smaller(panel + job->panels_per_task, panels), bytes = panel_bytes(job->dtype, job->inner);
  const char *b = job->packed + group * panels * bytes;
#ifdef ROOKERY_AMX
  if (uses_tiles(job->dtype)) { multiply_tiles(job, row, rows, b, panel, last); return; }
#endif
  for (; panel < last; panel++) vector_rows(job, row, rows, panel * PANEL, (const float *)(b + panel * bytes));
}

/* Offsets rise from 0 or more to at most `rows`. */
static int offsets_are_sound(const int32_t *offsets, size_t groups, size_t rows) {
  if (offsets[0] < 0 || (size_t)offsets[groups] > rows) return 0;
  for (size_t g = 0; g < groups; g++) if (offsets[g + 1] < offsets[g]) return 0;
  return 1;
}

ROOKERY_API int32_t rookery_matmul(uintptr_t pool, int32_t dtype, uintptr_t a, uintptr_t packed, uintptr_t addend, uintptr_t c,
                                   int32_t c_dtype, size_t rows, size_t inner, size_t columns, size_t groups, uintptr_t offsets) {
  if (!a || !packed || packed % 64 || !c || !inner || !columns || !groups || rows > INT32_MAX || (groups > 1 && !offsets)) return ROOKERY_BAD_ARGUMENT;
  if ((dtype != ROOKERY_F32 && dtype != ROOKERY_BF16) || (c_dtype != ROOKERY_F32 && c_dtype != ROOKERY_BF16)) return ROOKERY_BAD_ARGUMENT;
  matmul_job job = {dtype, c_dtype, (const char *)a, (const char *)packed, (const char *)addend, (char *)c, inner, columns, groups, 0, 0, 0, {0, (int32_t)rows}};
  job.offsets = offsets ? (const int32_t *)offsets : job.all_rows;
  if (!offsets_are_sound(job.offsets, groups, rows)) return ROOKERY_BAD_ARGUMENT;
  for (size_t g = 0; g < groups; g++) job.row_blocks += ceil_div((size_t)(job.offsets[g + 1] - job.offsets[g]), ROW_BLOCK);
  if (!job.row_blocks) return ROOKERY_OK;
  size_t panels = ceil_div(columns, PANEL), threads = (size_t)rookery_pool_threads(pool);
  job.panels_per_task = PANEL_BYTES_IN_CACHE / panel_bytes(dtype, inner);
  job.panels_per_task = job.panels_per_task > MOST_PANELS ? MOST_PANELS : job.panels_per_task ? job.panels_per_task : 1;
  /* enough tasks that no thread waits long for another's last one */
  size_t wanted = ceil_div(4 * threads, job.row_blocks);
  if (threads > 1) job.panels_per_task = smaller(job.panels_per_task, ceil_div(panels, wanted));
  rookery_parallel(pool, (int32_t)(job.row_blocks * ceil_div(panels, job.panels_per_task)), multiply_block, &job);
  return ROOKERY_OK;
}

/* ---- weight gradient ---- */
typedef struct {
  int32_t dtype, accumulate;
  const char *dy, *x;
  float *gradient;
  size_t out, in, groups, out_blocks;
  const int32_t *offsets;
  int32_t all_rows[2];
  bf16 *dy_tiles, *x_tiles;
} gradient_job;

#define OUT_BLOCK 64

#ifdef ROOKERY_AMX
/* Rows of a group are packed in steps of 32, each group from a step of its own: steps before group g. */
static size_t steps_before(const gradient_job *job, size_t group) {
  size_t steps = 0;
  for (size_t g = 0; g < group; g++) steps += ceil_div((size_t)(job->offsets[g + 1] - job->offsets[g]), 32);
  return steps;
}

/*
 * One step (32 rows) of dy becomes A tiles, transposed (16 columns of dy x 32 rows), and of x B tiles (16 row pairs x 16 columns of x).
 * Both lie as packed weights do, [panel of 32 columns][step][2 tiles], so that the sum over steps reads straight on.
 */
static void pack_step(void *context, int32_t task, int32_t thread) {
  (void)thread;
  const gradient_job *job = context;
  size_t group = 0, step = (size_t)task, first_step = 0, steps;
  for (;; group++) {
    steps = ceil_div((size_t)(job->offsets[group + 1] - job->offsets[group]), 32);
    if (step < steps) break;
    step -= steps;
    first_step += steps;
  }
  size_t row = (size_t)job->offsets[group] + step * 32, rows = smaller((size_t)job->offsets[group + 1] - row, 32);
  size_t out_tiles = ceil_div(job->out, 32) * 2, in_tiles = ceil_div(job->in, PANEL) * 2;
  const bf16 *dy = (const bf16 *)job->dy + row * job->out, *x = (const bf16 *)job->x + row * job->in;
  bf16 *dy_to = job->dy_tiles + first_step * out_tiles * 512, *x_to = job->x_tiles + first_step * in_tiles * 512;
  for (size_t tile = 0; tile < out_tiles; tile++) {
    size_t column = tile * 16, left = column < job->out ? smaller(job->out - column, 16) : 0;
    __mmask32 mask = lanes_below32(left);
    __m512i r[16];
    for (size_t pair = 0; pair < 16; pair++) {
      __m512i even = 2 * pair < rows ? _mm512_maskz_loadu_epi16(mask, dy + 2 * pair * job->out + column) : _mm512_setzero_si512();
      __m512i odd = 2 * pair + 1 < rows ? _mm512_maskz_loadu_epi16(mask, dy + (2 * pair + 1) * job->out + column) : _mm512_setzero_si512();
      r[pair] = zip_words(even, odd);
    }
    transpose16(r);
    bf16 *to = dy_to + ((tile / 2 * steps + step) * 2 + tile % 2) * 512;
    for (int c = 0; c < 16; c++) _mm512_store_si512(to + c * 32, r[c]);
  }
  for (size_t tile = 0; tile < in_tiles; tile++) {
    size_t column = tile * 16, left = column < job->in ? smaller(job->in - column, 16) : 0;
    __mmask32 mask = lanes_below32(left);
    bf16 *to = x_to + ((tile / 2 * steps + step) * 2 + tile % 2) * 512;
    for (size_t pair = 0; pair < 16; pair++) {
      __m512i even = 2 * pair < rows ? _mm512_maskz_loadu_epi16(mask, x + 2 * pair * job->in + column) : _mm512_setzero_si512();
      __m512i odd = 2 * pair + 1 < rows ? _mm512_maskz_loadu_epi16(mask, x + (2 * pair + 1) * job->in + column) : _mm512_setzero_si512();
      _mm512_store_si512(to + pair * 32, zip_words(even, odd));
    }
  }
}

/* Rows [first_out, last_out) of a group's gradient. */
static void gradient_tiles(const gradient_job *job, size_t group, size_t first_out, size_t last_out) {
  _Alignas(64) float sums[2][PANEL * PANEL];
  _Alignas(64) float partial[FEW_PANELS][PANEL * PANEL];
  float *gradient = job->gradient + group * job->out * job->in;
  size_t all_steps = ceil_div((size_t)(job->offsets[group + 1] - job->offsets[group]), 32), before = steps_before(job, group), turn = 0;
  if (!all_steps) {
    if (!job->accumulate) memset(gradient + first_out * job->in, 0, (last_out - first_out) * job->in * sizeof(float));
    return;
  }
  size_t panels = ceil_div(job->in, PANEL);
  const bf16 *dy = job->dy_tiles + before * ceil_div(job->out, PANEL) * 1024, *x = job->x_tiles + before * panels * 1024;
  matmul_job target = {.c_dtype = ROOKERY_F32, .c = (char *)gradient, .addend = job->accumulate ? (char *)gradient : 0, .columns = job->in};
  finished_block finished = {0, 0, 0, 0, 0};
  configure_tiles(32);
  /* A wide x: a panel of it is read once for all rows of this task. A narrow one: all its panels, chunk by chunk. */
  int is_wide = panels > FEW_PANELS || job->in > job->out;
  size_t chunk = is_wide ? all_steps : CHUNK_STEPS, set = is_wide ? 1 : FEW_PANELS;
  for (size_t panel = 0; panel < panels; panel += set) {
    for (size_t row = first_out; row < last_out; row += 32) {
      for (size_t step = 0; step < all_steps; step += chunk) {
        size_t steps = smaller(all_steps - step, chunk);
        int is_last = step + steps == all_steps;
        for (size_t p = panel; p < smaller(panel + set, panels); p++) {
          float *to = is_last ? sums[turn] : partial[p - panel];
          multiply_chunk(&target, dy + (row / 32 * all_steps + step) * 1024, x + (p * all_steps + step) * 1024, steps, 1,
                         step ? partial[p - panel] : 0, to, &finished);
          if (!is_last) continue;
          finished = (finished_block){to, row, smaller(job->out - row, 32), p * PANEL, 0};
          turn ^= 1;
        }
      }
    }
  }
  store_next_rows(&target, &finished, PANEL);
  _tile_release();
}
#endif

INLINE void gradient_rows(const gradient_job *job, size_t group, size_t out_row, size_t rows, size_t column, size_t columns, int is_bf16) {
  f32x16 acc[ROWS_AT_ONCE];
  for (size_t r = 0; r < rows; r++) acc[r] = splat(0);
  for (size_t m = (size_t)job->offsets[group]; m < (size_t)job->offsets[group + 1]; m++) {
    size_t at = m * job->in + column;
    f32x16 x = columns == LANES ? load_any(job->x, at, is_bf16) : load_any_tail(job->x, at, columns, is_bf16);
    for (size_t r = 0; r < rows; r++) {
      size_t from = m * job->out + out_row + r;
      float dy = is_bf16 ? bf16_to_f32(((const bf16 *)job->dy)[from]) : ((const float *)job->dy)[from];
      acc[r] = fma16(splat(dy), x, acc[r]);
    }
  }
  for (size_t r = 0; r < rows; r++) {
    float *to = job->gradient + (group * job->out + out_row + r) * job->in + column;
    if (columns == LANES) store_f32(to, job->accumulate ? load_f32(to) + acc[r] : acc[r]);
    else store_f32_tail(to, job->accumulate ? load_f32_tail(to, columns) + acc[r] : acc[r], columns);
  }
}

static void gradient_block(void *context, int32_t task, int32_t thread) {
  (void)thread;
  const gradient_job *job = context;
  size_t group = (size_t)task / job->out_blocks, row = (size_t)task % job->out_blocks * OUT_BLOCK;
  size_t last = smaller(row + OUT_BLOCK, job->out);
#ifdef ROOKERY_AMX
  if (uses_tiles(job->dtype)) { gradient_tiles(job, group, row, last); return; }
#endif
  int is_bf16 = job->dtype == ROOKERY_BF16;
  while (row < last) {
    size_t rows = last - row >= ROWS_AT_ONCE ? ROWS_AT_ONCE : 1;
    for (size_t column = 0; column < job->in; column += LANES) {
      size_t columns = smaller(job->in - column, LANES);
      if (rows == 1) is_bf16 ? gradient_rows(job, group, row, 1, column, columns, 1) : gradient_rows(job, group, row, 1, column, columns, 0);
      else is_bf16 ? gradient_rows(job, group, row, ROWS_AT_ONCE, column, columns, 1) : gradient_rows(job, group, row, ROWS_AT_ONCE, column, columns, 0);
    }
    row += rows;
  }
}

ROOKERY_API size_t rookery_weight_gradient_scratch_bytes(int32_t dtype, size_t rows, size_t out, size_t in, size_t groups) {
  if (!uses_tiles(dtype)) return 0;
  size_t steps = rows / 32 + groups;
  return steps * 1024 * (ceil_div(out, 32) * 2 + ceil_div(in, PANEL) * 2);
}

ROOKERY_API int32_t rookery_weight_gradient(uintptr_t pool, int32_t dtype, uintptr_t dy, uintptr_t x, uintptr_t weight_gradient, size_t rows,
                                            size_t out, size_t in, size_t groups, uintptr_t offsets, int32_t accumulate, uintptr_t scratch) {
  if (!dy || !x || !weight_gradient || !out || !in || !groups || rows > INT32_MAX || (groups > 1 && !offsets)) return ROOKERY_BAD_ARGUMENT;
  if ((dtype != ROOKERY_F32 && dtype != ROOKERY_BF16) || (uses_tiles(dtype) && (!scratch || scratch % 64))) return ROOKERY_BAD_ARGUMENT;
  gradient_job job = {dtype, accumulate, (const char *)dy, (const char *)x, (float *)weight_gradient, out, in, groups, ceil_div(out, OUT_BLOCK), 0, {0, (int32_t)rows}, 0, 0};
  job.offsets = offsets ? (const int32_t *)offsets : job.all_rows;
  if (!offsets_are_sound(job.offsets, groups, rows)) return ROOKERY_BAD_ARGUMENT;
#ifdef ROOKERY_AMX
  if (uses_tiles(dtype)) {
    size_t steps = steps_before(&job, groups);
    job.dy_tiles = (bf16 *)scratch;
    job.x_tiles = job.dy_tiles + steps * ceil_div(out, 32) * 2 * 512;
    rookery_parallel(pool, (int32_t)steps, pack_step, &job);
  }
#endif
  rookery_parallel(pool, (int32_t)(groups * job.out_blocks), gradient_block, &job);
  return ROOKERY_OK;
}
