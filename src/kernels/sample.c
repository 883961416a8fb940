/*
 * Choosing tokens: what penalties, a mask, temperature, top-k, top-p and min-p leave of a row of logits is drawn from.
 * A row is one task on one thread, so its token depends on nothing but the row. No row is sorted: the borders of top-k and
 * top-p are found by counting, a third of the bits of the logits at a time.
 */
#include "arguments.h"
#include "softmax.h"
#include "threads.h"

enum { TEMPERATURE, TOP_P, MIN_P, REPETITION, PRESENCE, FREQUENCY, SETTINGS };
enum { TOP_K, MASK, KEY0, KEY1, PLACE, NUMBERS };
/* What a row that nothing can be drawn from has for a token. */
enum { IS_NOT_FINITE = -1, IS_EMPTY = -2 };

#define DIGITS 2048
#define SUM_BLOCK 1024

/* What one thread works in. */
typedef struct {
  double *digits;  /* [DIGITS] */
  float *logits;   /* [vocabulary]: the row after bias, penalties and mask */
  float *weights;  /* [vocabulary]: of the candidates, the likeliest has 1 */
  int32_t *ids;    /* [vocabulary]: the candidates, ascending */
} workspace;

static size_t workspace_bytes(size_t vocabulary) {
  return DIGITS * sizeof(double) + 3 * round_up(vocabulary * sizeof(float), 64);
}

static workspace workspace_at(char *scratch, size_t vocabulary, int32_t thread) {
  char *from = scratch + (size_t)thread * workspace_bytes(vocabulary);
  size_t array = round_up(vocabulary * sizeof(float), 64);
  char *arrays = from + DIGITS * sizeof(double);
  return (workspace){(double *)from, (float *)arrays, (float *)(arrays + array), (int32_t *)(arrays + 2 * array)};
}

/* ---- borders ---- */

/* Ascends with the number; there is no NaN, and no -0 beside 0. */
INLINE uint32_t sortable(float x) {
  uint32_t u;
  memcpy(&u, &x, 4);
  return u & 0x80000000u ? ~u : u | 0x80000000u;
}

/* Of logits: all above `least`, and of those that equal it the `ties` with the smallest ids. */
typedef struct { uint32_t least; size_t ties; } border;

INLINE float weight_at(const float *weights, size_t j) { return weights ? weights[j] : 1.0f; }

/*
 * The border of the fewest largest of `logits[ids[0 .. n))` (ids 0: of the first n) whose weights reach `wanted`; weights 0
 * counts them. n > 0. Rounding may let all weights together miss `wanted` by a little: then all are within the border.
 */
static border find_border(const float *logits, const int32_t *ids, const float *weights, size_t n, double wanted, double *digits) {
  static const int shifts[3] = {21, 10, 0};
  static const uint32_t masks[3] = {0x7ff, 0x7ff, 0x3ff};
  uint32_t prefix = 0, decided = 0;
  double reached = 0;
  for (int pass = 0; pass < 3; pass++) {
    int shift = shifts[pass];
    uint32_t mask = masks[pass];
    memset(digits, 0, DIGITS * sizeof *digits);
    for (size_t j = 0; j < n; j++) {
      uint32_t key = sortable(logits[ids ? (size_t)ids[j] : j]);
      if ((key & decided) == prefix) digits[key >> shift & mask] += weight_at(weights, j);
    }
    uint32_t digit = mask, last = mask;
    for (;; digit--) {
      if (digits[digit] > 0) {
        last = digit;
        if (reached + digits[digit] >= wanted) break;
      }
      if (digit == 0) break;
      reached += digits[digit];
    }
    if (digit == 0 && last != 0) {
      digit = last;
      reached -= digits[last];
    }
    prefix |= digit << shift;
    decided |= mask << shift;
  }
  border found = {prefix, 0};
  for (size_t j = 0; j < n && (!found.ties || reached < wanted); j++) {
    if (sortable(logits[ids ? (size_t)ids[j] : j]) != prefix) continue;
    reached += weight_at(weights, j);
    found.ties++;
  }
  return found;
}

/* Whether a logit lies within; asked in the order of ids. */
INLINE int is_within(border *b, float logit) {
  uint32_t key = sortable(logit);
  if (key != b->least) return key > b->least;
  if (!b->ties) return 0;
  b->ties--;
  return 1;
}

/* ---- a row ---- */

typedef struct {
  const float *logits;
  size_t rows, vocabulary, mask_words;
  const uint32_t *masks;
  const float *settings;
  const int32_t *numbers;
  const int32_t *bias_offsets, *bias_ids;
  const float *biases;
  const int32_t *seen_offsets, *seen_ids, *seen_counts;
  int32_t *tokens;
  char *scratch;
} sample_job;

static void forbid_masked(float *logits, size_t n, const uint32_t *mask) {
  for (size_t first = 0; first < n; first += 32) {
    uint32_t word = mask[first / 32];
    if (word == 0xffffffffu) continue;
    size_t end = smaller(first + 32, n);
    for (size_t i = first; i < end; i++) {
      if (!(word >> (i - first) & 1)) logits[i] = -__builtin_inff();
    }
  }
}

/* The row after bias, penalties and mask. Adding 0 turns -0 into 0. */
static void adjust_row(const sample_job *job, size_t r, float *out) {
  size_t n = job->vocabulary;
  const float *x = job->logits + r * n, *settings = job->settings + r * SETTINGS;
  for (size_t i = 0; i < n; i += LANES) store_some(out, i, n - i, load_some(x, i, n - i, 0) + splat(0.0f), 0);
  for (int32_t j = job->bias_offsets[r]; j < job->bias_offsets[r + 1]; j++) out[job->bias_ids[j]] += job->biases[j];
  float repetition = settings[REPETITION], presence = settings[PRESENCE], frequency = settings[FREQUENCY];
  for (int32_t j = job->seen_offsets[r]; j < job->seen_offsets[r + 1]; j++) {
    float *logit = out + job->seen_ids[j];
    *logit = *logit > 0 ? *logit / repetition : *logit * repetition;
    if (job->seen_counts[j] > 0) *logit -= presence + frequency * (float)job->seen_counts[j];
    *logit += 0.0f;
  }
  forbid_masked(out, n, job->masks + (size_t)job->numbers[r * NUMBERS + MASK] * job->mask_words);
}

/* Whether one is NaN or +inf. */
static int is_damaged(const float *x, size_t n) {
  i32_lanes good = {0};
  good = ~good;
  for (size_t i = 0; i < n; i += LANES) good &= load_some(x, i, n - i, 0) < splat(__builtin_inff());
  int all = -1;
  for (int i = 0; i < LANES; i++) all &= good[i];
  return !all;
}

/* The sum of weights[first .. end), the same for the whole and for each block of the draw. */
INLINE float block_sum(const float *weights, size_t first, size_t end) {
  f32_lanes sum = splat(0);
  for (size_t i = first; i < end; i += LANES) sum += load_some(weights, i, end - i, 0);
  return vector_sum(sum);
}

static double sum_weights(const float *weights, size_t n) {
  double total = 0;
  for (size_t first = 0; first < n; first += SUM_BLOCK) total += block_sum(weights, first, smaller(first + SUM_BLOCK, n));
  return total;
}

/* weights[j] = exp((logits[ids[j]] - largest) / temperature). */
static void weigh(const workspace *w, size_t n, float largest, float temperature) {
  for (size_t j = 0; j < n; j++) w->weights[j] = w->logits[w->ids[j]];
  f32_lanes m = splat(largest), t = splat(temperature);
  for (size_t j = 0; j < n; j += LANES) {
    store_some(w->weights, j, n - j, vector_exp((load_some(w->weights, j, n - j, 0) - m) / t), 0);
  }
}

/* Keeps the fewest likeliest of n candidates that reach top_p of all weights; answers with how many. */
static size_t keep_nucleus(const workspace *w, size_t n, float top_p) {
  double total = sum_weights(w->weights, n);
  /* Candidates below this weight together have less than 1 - top_p, however sums round: none of them is needed. */
  float least = (float)((1.0 - (double)top_p) * total / (double)n * 0.999);
  size_t kept = 0;
  for (size_t j = 0; j < n; j++) {
    float weight = w->weights[j];
    w->ids[kept] = w->ids[j];
    w->weights[kept] = weight;
    kept += weight >= least;
  }
  border b = find_border(w->logits, w->ids, w->weights, kept, (double)top_p * total, w->digits);
  n = kept;
  kept = 0;
  for (size_t j = 0; j < n; j++) {
    if (!is_within(&b, w->logits[w->ids[j]])) continue;
    w->ids[kept] = w->ids[j];
    w->weights[kept++] = w->weights[j];
  }
  return kept;
}

static size_t keep_at_least(const workspace *w, size_t n, float min_p) {
  size_t kept = 0;
  for (size_t j = 0; j < n; j++) {
    if (!(w->weights[j] >= min_p)) continue;
    w->ids[kept] = w->ids[j];
    w->weights[kept++] = w->weights[j];
  }
  return kept;
}

/* The candidate at `place` in [0, 1) of all weights; where rounding leaves a little, the last one before it that has weight. */
static int32_t draw(const workspace *w, size_t n, double place) {
  double left = place * sum_weights(w->weights, n);
  size_t end = 0;
  for (size_t first = 0; first < n; first = end) {
    end = smaller(first + SUM_BLOCK, n);
    double block = block_sum(w->weights, first, end);
    if (left < block) {
      for (size_t j = first; j < end; j++) {
        left -= w->weights[j];
        if (left < 0) return w->ids[j];
      }
      break;
    }
    left -= block;
  }
  while (!(w->weights[end - 1] > 0)) end--;
  return w->ids[end - 1];
}

static int32_t sample_row(const sample_job *job, size_t r, const workspace *w) {
  size_t n = job->vocabulary;
  const float *settings = job->settings + r * SETTINGS;
  const int32_t *numbers = job->numbers + r * NUMBERS;
  if (is_damaged(job->logits + r * n, n)) return IS_NOT_FINITE;
  adjust_row(job, r, w->logits);
  float largest = row_maximum(w->logits, n);
  if (largest == __builtin_inff()) return IS_NOT_FINITE;
  if (largest == -__builtin_inff()) return IS_EMPTY;
  if (settings[TEMPERATURE] == 0) {
    for (size_t i = 0;; i++) if (w->logits[i] == largest) return (int32_t)i;
  }

  border within = {sortable(-__builtin_inff()), 0};
  size_t top_k = (size_t)numbers[TOP_K];
  if (top_k && top_k < n) {
    border k = find_border(w->logits, 0, 0, n, (double)top_k, w->digits);
    if (k.least > within.least) within = k;
  }
  size_t count = 0;
  for (size_t i = 0; i < n; i++) {
    w->ids[count] = (int32_t)i;
    count += (size_t)is_within(&within, w->logits[i]);
  }
  weigh(w, count, largest, settings[TEMPERATURE]);
  if (settings[TOP_P] < 1) count = keep_nucleus(w, count, settings[TOP_P]);
  if (settings[MIN_P] > 0) count = keep_at_least(w, count, settings[MIN_P]);

  /* 53 bits of two hashes: with 24 a token of a large vocabulary might be too unlikely to be ever drawn. */
  uint32_t key0 = (uint32_t)numbers[KEY0], key1 = (uint32_t)numbers[KEY1], index = 2 * (uint32_t)numbers[PLACE];
  double high = (double)(counter_hash(key0, key1, index) >> 6), low = (double)(counter_hash(key0, key1, index + 1) >> 5);
  return draw(w, count, (high * 0x1p27 + low) * 0x1p-53);
}

static void sample_task(void *context, int32_t task, int32_t thread) {
  const sample_job *job = context;
  workspace w = workspace_at(job->scratch, job->vocabulary, thread);
  job->tokens[task] = sample_row(job, (size_t)task, &w);
}

/* Offsets [rows + 1] from 0 that never fall, and ids below `vocabulary` up to the last of them. */
static int is_list(const int32_t *offsets, const int32_t *ids, size_t rows, size_t vocabulary) {
  if (!offsets || offsets[0] != 0) return 0;
  for (size_t r = 0; r < rows; r++) if (offsets[r + 1] < offsets[r]) return 0;
  if (offsets[rows] && !ids) return 0;
  int bad = 0;
  for (int32_t j = 0; j < offsets[rows]; j++) bad |= (ids[j] < 0) | ((size_t)ids[j] >= vocabulary);
  return !bad;
}

static int are_settings(const sample_job *job, size_t masks) {
  for (size_t r = 0; r < job->rows; r++) {
    const float *s = job->settings + r * SETTINGS;
    const int32_t *numbers = job->numbers + r * NUMBERS;
    int good = s[TEMPERATURE] >= 0 && s[TEMPERATURE] < __builtin_inff() && s[TOP_P] > 0 && s[TOP_P] <= 1 && s[MIN_P] >= 0 &&
               s[MIN_P] <= 1 && s[REPETITION] > 0 && s[REPETITION] < __builtin_inff() && s[PRESENCE] - s[PRESENCE] == 0 &&
               s[FREQUENCY] - s[FREQUENCY] == 0;
    if (!good || numbers[TOP_K] < 0 || numbers[MASK] < 0 || (size_t)numbers[MASK] >= masks) return 0;
  }
  return 1;
}

/* Rows of a vocabulary that ids and tasks can number. */
static int is_logits(size_t rows, size_t vocabulary) {
  return rows <= INT32_MAX && vocabulary && vocabulary <= INT32_MAX && is_array(rows, vocabulary, 1);
}

ROOKERY_API size_t rookery_sample_scratch_bytes(size_t vocabulary, int32_t threads) {
  if (!is_logits(1, vocabulary) || threads < 1) return 0;
  return (size_t)threads * workspace_bytes(vocabulary);
}

ROOKERY_API int32_t rookery_sample(uintptr_t pool, uintptr_t logits, size_t rows, size_t vocabulary, uintptr_t masks,
                                   size_t mask_count, uintptr_t settings, uintptr_t numbers, uintptr_t bias_offsets,
                                   uintptr_t bias_ids, uintptr_t biases, uintptr_t seen_offsets, uintptr_t seen_ids,
                                   uintptr_t seen_counts, uintptr_t tokens, uintptr_t scratch) {
  if (!is_logits(rows, vocabulary)) return ROOKERY_BAD_ARGUMENT;
  if (!rows) return ROOKERY_OK;
  if (!logits || !masks || !settings || !numbers || !tokens || !is_aligned(scratch)) return ROOKERY_BAD_ARGUMENT;
  sample_job job = {(const float *)logits, rows, vocabulary, ceil_div(vocabulary, 32), (const uint32_t *)masks,
                    (const float *)settings, (const int32_t *)numbers, (const int32_t *)bias_offsets, (const int32_t *)bias_ids,
                    (const float *)biases, (const int32_t *)seen_offsets, (const int32_t *)seen_ids,
                    (const int32_t *)seen_counts, (int32_t *)tokens, (char *)scratch};
  if (!are_settings(&job, mask_count)) return ROOKERY_BAD_ARGUMENT;
  if (!is_list(job.bias_offsets, job.bias_ids, rows, vocabulary) || (job.bias_offsets[rows] && !biases)) return ROOKERY_BAD_ARGUMENT;
  if (!is_list(job.seen_offsets, job.seen_ids, rows, vocabulary) || (job.seen_offsets[rows] && !seen_counts)) return ROOKERY_BAD_ARGUMENT;
  rookery_parallel(pool, (int32_t)rows, sample_task, &job);
  return ROOKERY_OK;
}

/* ---- log-probabilities ---- */

typedef struct {
  const float *logits;
  size_t vocabulary, top;
  const uint32_t *mask;
  const int32_t *targets;
  float *logprobs;
  int32_t *top_ids;
  float *top_logprobs;
  char *scratch;
} logprob_job;

/* The `top` likeliest ids that the mask permits, the likeliest first, the smaller id of equals; -1 where there are no more. */
static void find_likeliest(const logprob_job *job, const workspace *w, const float *x, int32_t *found) {
  size_t n = job->vocabulary, top = job->top;
  for (size_t i = 0; i < n; i += LANES) store_some(w->logits, i, n - i, load_some(x, i, n - i, 0) + splat(0.0f), 0);
  forbid_masked(w->logits, n, job->mask);
  border within = {sortable(-__builtin_inff()), 0};
  if (top < n) {
    border b = find_border(w->logits, 0, 0, n, (double)top, w->digits);
    if (b.least > within.least) within = b;
  }
  size_t count = 0;
  for (size_t i = 0; i < n; i++) {
    if (!is_within(&within, w->logits[i])) continue;
    size_t at = count++;
    for (; at > 0 && w->logits[found[at - 1]] < w->logits[i]; at--) found[at] = found[at - 1];
    found[at] = (int32_t)i;
  }
  for (; count < top; count++) found[count] = -1;
}

static void logprob_task(void *context, int32_t task, int32_t thread) {
  const logprob_job *job = context;
  size_t r = (size_t)task, n = job->vocabulary, top = job->top;
  int32_t target = job->targets[r];
  if (target < 0) return;
  workspace w = workspace_at(job->scratch, n, thread);
  const float *x = job->logits + r * n;
  float maximum = row_maximum(x, n);
  float log_sum = log_f32(row_sum_of_exponentials(x, n, maximum));
  job->logprobs[r] = (x[target] - maximum) - log_sum;
  if (!top) return;
  int32_t *ids = job->top_ids + r * top;
  if (log_sum == log_sum) find_likeliest(job, &w, x, ids);
  else for (size_t j = 0; j < top; j++) ids[j] = -1;
  for (size_t j = 0; j < top; j++) job->top_logprobs[r * top + j] = ids[j] < 0 ? 0 : (x[ids[j]] - maximum) - log_sum;
}

ROOKERY_API int32_t rookery_token_logprobs(uintptr_t pool, uintptr_t logits, size_t rows, size_t vocabulary, uintptr_t mask,
                                           uintptr_t targets, size_t top, uintptr_t logprobs, uintptr_t top_ids,
                                           uintptr_t top_logprobs, uintptr_t scratch) {
  if (!is_logits(rows, vocabulary) || top > vocabulary || !is_array(rows, top, 1)) return ROOKERY_BAD_ARGUMENT;
  if (!rows) return ROOKERY_OK;
  if (!logits || !mask || !targets || !logprobs || !is_aligned(scratch)) return ROOKERY_BAD_ARGUMENT;
  if (top && (!top_ids || !top_logprobs)) return ROOKERY_BAD_ARGUMENT;
  const int32_t *ids = (const int32_t *)targets;
  for (size_t r = 0; r < rows; r++) {
    if (ids[r] < -1 || (ids[r] >= 0 && (size_t)ids[r] >= vocabulary)) return ROOKERY_BAD_ARGUMENT;
  }
  logprob_job job = {(const float *)logits, vocabulary, top, (const uint32_t *)mask, ids, (float *)logprobs,
                     (int32_t *)top_ids, (float *)top_logprobs, (char *)scratch};
  rookery_parallel(pool, (int32_t)rows, logprob_task, &job);
  return ROOKERY_OK;
}
