/*
 * Sums of dy^T x in bf16, in tiles. One of dy and x, the narrower, is packed into tiles beforehand and shared by all tasks; each task
 * packs 32 columns of the other as it goes, 256 rows at a time, into the first cache. So the wider one is read once and never written.
 */
#ifdef ROOKERY_TILES
#include "weight_gradient.h"
#include "tiles.h"

/* 32 rows of 32 columns as B tiles: [16 pairs of rows][16 columns] twice. */
INLINE void pack_pairs(const bf16 *from, size_t stride, bf16 *to) {
  for (size_t pair = 0; pair < 16; pair++) {
    row_pairs pairs = interleave(_mm512_loadu_si512(from + 2 * pair * stride), _mm512_loadu_si512(from + (2 * pair + 1) * stride));
    _mm512_store_si512(to + pair * 32, pairs.low);
    _mm512_store_si512(to + 512 + pair * 32, pairs.high);
  }
}

/*
 * 32 rows of 32 columns transposed, as A tiles: [16 columns][32 rows] twice. Eight columns at a time: loads put rows i, 8 + i, 16 + i and
 * 24 + i beside each other, so that shuffles need not cross lanes.
 */
INLINE void pack_transposed(const bf16 *from, size_t stride, bf16 *to) {
  for (size_t column = 0; column < 32; column += 8) {
    __m512i r[8], s[8];
    for (size_t i = 0; i < 8; i++) {
      const bf16 *at = from + i * stride + column;
      __m512i v = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)at));
      v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(at + 8 * stride)), 1);
      v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(at + 16 * stride)), 2);
      r[i] = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(at + 24 * stride)), 3);
    }
    for (int i = 0; i < 8; i += 2) { s[i] = _mm512_unpacklo_epi16(r[i], r[i + 1]); s[i + 1] = _mm512_unpackhi_epi16(r[i], r[i + 1]); }
    for (int i = 0; i < 8; i += 4) {
      r[i] = _mm512_unpacklo_epi32(s[i], s[i + 2]); r[i + 1] = _mm512_unpackhi_epi32(s[i], s[i + 2]);
      r[i + 2] = _mm512_unpacklo_epi32(s[i + 1], s[i + 3]); r[i + 3] = _mm512_unpackhi_epi32(s[i + 1], s[i + 3]);
    }
    for (int i = 0; i < 4; i++) {
      _mm512_store_si512(to + (column + 2 * i) * 32, _mm512_unpacklo_epi64(r[i], r[i + 4]));
      _mm512_store_si512(to + (column + 2 * i + 1) * 32, _mm512_unpackhi_epi64(r[i], r[i + 4]));
    }
  }
}

/* Rows from dy or from x: what a job packs, and how. dy's columns are rows of the gradient, so it is A, and transposed. */
typedef struct { const bf16 *at; size_t columns; int is_dy; } packed_side;

static packed_side shared_side(const gradient_job *job) {
  return job->shares_x ? (packed_side){(const bf16 *)job->x, job->in, 0} : (packed_side){(const bf16 *)job->dy, job->out, 1};
}
static packed_side own_side(const gradient_job *job) {
  return job->shares_x ? (packed_side){(const bf16 *)job->dy, job->out, 1} : (packed_side){(const bf16 *)job->x, job->in, 0};
}

/* One step, up to 32 rows of the 32 columns from `column` on. Rows and columns that are not there are zeros. */
static void pack_rows(const packed_side *side, size_t row, size_t rows, size_t column, bf16 *to) {
  _Alignas(64) bf16 padded[32 * 32];
  const bf16 *from = side->at + row * side->columns + column;
  size_t stride = side->columns;
  /* dy's rows are copied together in any case: they are read four times, and often lie so far apart that they push each other out */
  if (rows < 32 || column + 32 > side->columns || side->is_dy) {
    __mmask32 mask = lanes_below32(side->columns - column);
    for (size_t r = 0; r < 32; r++) {
      _mm512_store_si512(padded + r * 32, r < rows ? _mm512_maskz_loadu_epi16(mask, from + r * stride) : _mm512_setzero_si512());
    }
    from = padded;
    stride = 32;
  }
  if (side->is_dy) pack_transposed(from, stride, to);
  else pack_pairs(from, stride, to);
}

/* Shared tiles lie as packed weights do, [block of 32 columns][step][2 tiles], group after group. */
void pack_gradient_step(void *context, int32_t task, int32_t thread) {
  (void)thread;
  const gradient_job *job = context;
  size_t group = 0, step = (size_t)task, first_step = 0, steps;
  for (;; group++) {
    steps = ceil_div((size_t)(job->offsets[group + 1] - job->offsets[group]), 32);
    if (step < steps) break;
    step -= steps;
    first_step += steps;
  }
  packed_side side = shared_side(job);
  size_t row = (size_t)job->offsets[group] + step * 32, rows = smaller((size_t)job->offsets[group + 1] - row, 32);
  size_t blocks = ceil_div(side.columns, 32);
  for (size_t block = 0; block < blocks; block++) {
    pack_rows(&side, row, rows, block * 32, job->shared_tiles + ((first_step * blocks) + block * steps + step) * 1024);
  }
}

static void zero_columns(const gradient_job *job, float *gradient, size_t first, size_t last) {
  if (job->shares_x) {
    memset(gradient + first * job->in, 0, (last - first) * job->in * sizeof(float));
    return;
  }
  for (size_t row = 0; row < job->out; row++) memset(gradient + row * job->in + first, 0, (last - first) * sizeof(float));
}

/* The squares of what is there, where nothing is added. */
static float squares_of_columns(const gradient_job *job, const float *gradient, size_t first, size_t last) {
  size_t row = job->shares_x ? first : 0, last_row = job->shares_x ? last : job->out;
  size_t column = job->shares_x ? 0 : first, last_column = job->shares_x ? job->in : last;
  f32_lanes sum = splat(0);
  for (; row < last_row; row++) {
    for (size_t c = column; c < last_column; c += LANES) {
      const float *from = gradient + row * job->in + c;
      f32_lanes v = last_column - c >= LANES ? load_f32(from) : load_f32_tail(from, last_column - c);
      sum = vector_fma(v, v, sum);
    }
  }
  return vector_sum(sum);
}

/* Packs a chunk of rows of 32 own columns. */
static void pack_chunk(const packed_side *own, size_t first, size_t last, size_t column, bf16 *tiles) {
  for (size_t row = first; row < last; row += 32, tiles += 1024) pack_rows(own, row, smaller(last - row, 32), column, tiles);
  settle_stores();
}

/*
 * Rows go by in spans, of which the shared side stays in the second cache while the task's own columns go by, and spans in chunks, of which
 * 32 own columns are in the first cache while the shared side goes by. Sums wait in between.
 */
float gradient_tile_block(const gradient_job *job, size_t group, size_t set, size_t first_own, size_t last_own) {
  _Alignas(64) bf16 tiles[CHUNK_STEPS * 1024];
  _Alignas(64) float sums[2][PANEL * PANEL];
  _Alignas(64) float partial[OWN_BLOCKS_A_TASK * MOST_SHARED_BLOCKS][PANEL * PANEL];
  float *gradient = job->gradient + group * job->out * job->in;
  size_t first = (size_t)job->offsets[group], last = (size_t)job->offsets[group + 1], turn = 0;
  packed_side own = own_side(job), shared = shared_side(job);
  if (first == last) {
    size_t end = smaller(last_own * 32, own.columns);
    if (!job->accumulate && set == 0) zero_columns(job, gradient, first_own * 32, end);
    return job->accumulate && job->squares && set == 0 ? squares_of_columns(job, gradient, first_own * 32, end) : 0;
  }
  size_t blocks = ceil_div(shared.columns, 32), set_blocks = smaller(job->blocks_in_set, blocks - set), all_steps = ceil_div(last - first, 32);
  size_t span = round_up(ceil_div(SHARED_BYTES_IN_CACHE, set_blocks * 1024 * sizeof(bf16)), CHUNK_STEPS);
  const bf16 *shared_tiles = job->shared_tiles + steps_before(job, group) * blocks * 1024;
  int past_cache = !job->accumulate && job->in % 16 == 0 && (uintptr_t)gradient % 64 == 0;
  sums_target target = {ROOKERY_F32, job->in, job->accumulate ? (char *)gradient : 0, (char *)gradient, past_cache, 0, 0};
  tile_run run = {.finished = {.target = &target}};
  f32_lanes squares = splat(0);
  configure_tiles(32);
  for (size_t span_step = 0; span_step < all_steps; span_step += span) {
    size_t span_end = smaller(span_step + span, all_steps);
    for (size_t own_block = first_own; own_block < last_own; own_block++) {
      size_t column = own_block * 32;
      for (size_t step = span_step; step < span_end; step += CHUNK_STEPS) {
        size_t steps = smaller(span_end - step, CHUNK_STEPS);
        int is_last = step + steps == all_steps;
        pack_chunk(&own, first + step * 32, smaller(first + (step + steps) * 32, last), column, tiles);
        /* the chunk after this one: further rows of these columns; or the next columns' first of this span */
        int goes_on = step + steps < span_end;
        size_t next_row = first + (goes_on ? step + steps : span_step) * 32, next_column = goes_on ? column : column + 32;
        size_t next_rows = next_column < smaller(last_own * 32, own.columns) ? smaller(last - next_row, CHUNK_STEPS * 32) : 0;
        size_t rows_a_step = ceil_div(next_rows, set_blocks * steps), stride = own.columns * sizeof(bf16);
        for (size_t i = 0; i < set_blocks; i++) {
          float *kept = partial[(own_block - first_own) * set_blocks + i], *to = is_last ? sums[turn] : kept;
          const bf16 *other = shared_tiles + ((set + i) * all_steps + step) * 1024;
          size_t fetched = smaller(i * steps * rows_a_step, next_rows);
          coming_rows coming = {(const char *)(own.at + (next_row + fetched) * own.columns + next_column), fetched < next_rows ? rows_a_step : 0,
                                stride, rows_a_step * stride};
          multiply_chunk(&run, job->shares_x ? tiles : other, job->shares_x ? other : tiles, steps, 32, step ? kept : 0, to, coming);
          if (!is_last) continue;
          size_t shared_column = (set + i) * 32, row = job->shares_x ? column : shared_column;
          run.finished = (finished_block){&target, to, row, job->shares_x ? shared_column : column, smaller(job->out - row, 32), 0, job->squares ? &squares : 0};
          turn ^= 1;
        }
      }
    }
  }
  store_rest(&run, 32);
  _mm_sfence(); /* rows may have gone past the cache */
  release_tiles();
  return vector_sum(squares);
}
#endif
