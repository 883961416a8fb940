/*
 * The router: probabilities of the experts, the choice among them with capacity and recycling, the losses that keep loads
 * even, and the way back.
 */
#include "arguments.h"
#include "pack.h"
#include "strips.h"
#include "threads.h"

#define TOKEN_BLOCK 48   /* tokens of a task: whole groups of ROWS_AT_ONCE */
#define TOKEN_CHUNK 128  /* tokens that a weight gradient sums over before it goes on */
#define HIDDEN_CHUNK 512 /* columns of ROWS_AT_ONCE tokens, as f32, that stay in the first cache */
#define HIDDEN_STEP (HIDDEN_CHUNK + 16) /* so that rows do not share the sets of a cache */
#define MAX_EXPERTS 1024
#define SMALLEST_GATE_SUM 1.1920929e-7f /* what the official top-k gating clamps its denominator to: the f32 epsilon */

enum { DROPLESS = 0, DROP = 1, RECYCLE = 2 };

/* ---- router ---- */
typedef struct {
  int32_t dtype;
  const char *x;
  const float *weight, *strips; /* strips: the weight as panels, for the product at hand */
  float *probabilities, *log_sum_exp;
  size_t tokens, hidden, experts;
} router_job;

/* f32 copies of tokens' columns [column, column + n), `step` apart. */
INLINE void widen_rows(const router_job *job, size_t first, size_t tokens, size_t column, size_t n, float *to, size_t step) {
  int is_bf16 = job->dtype == ROOKERY_BF16;
  for (size_t t = 0; t < tokens; t++) {
    size_t from = (first + t) * job->hidden + column, c = 0;
    for (; c + LANES <= n; c += LANES) store_f32(to + t * step + c, load_any(job->x, from + c, is_bf16));
    if (c < n) store_f32(to + t * step + c, load_any_tail(job->x, from + c, n - c, is_bf16));
  }
}

static int sizes_are_sound(size_t tokens, size_t hidden, size_t experts) {
  return tokens <= INT32_MAX && experts <= MAX_EXPERTS && is_weight(1, experts, hidden) && is_array(tokens, hidden, 1);
}

/* The router's weight as f32 panels: transpose 0 for logits, 1 for dx. */
typedef struct { unpacked_weight weight; char *packed; } router_pack_job;

static void pack_router_panel(void *context, int32_t task, int32_t thread) {
  (void)thread;
  const router_pack_job *job = context;
  size_t inner = job->weight.transpose ? job->weight.out : job->weight.in;
  size_t bytes = panel_bytes(ROOKERY_F32, inner);
  pack_panels(&job->weight, 0, (panel_set){(size_t)task, 1, 1, 0}, 0, inner, job->packed + (size_t)task * bytes, bytes);
}

static void pack_router(uintptr_t pool, const router_job *job, int32_t transpose, char *packed) {
  router_pack_job pack = {{ROOKERY_F32, transpose, job->weight, job->experts, job->hidden}, packed};
  rookery_parallel(pool, (int32_t)ceil_div(transpose ? job->hidden : job->experts, PANEL), pack_router_panel, &pack);
}

/* Softmax of one token's logits, in place of which its exponentials come. */
static void finish_token(const router_job *job, size_t t, float *logits) {
  size_t experts = job->experts;
  float highest = -__builtin_inff(), sum = 0;
  for (size_t e = 0; e < experts; e++) if (logits[e] > highest) highest = logits[e];
  for (size_t e = experts; e < round_up(experts, LANES); e++) logits[e] = -__builtin_inff();
  for (size_t e = 0; e < experts; e += LANES) {
    f32_lanes v = vector_exp(load_f32(logits + e) - splat(highest));
    store_f32(logits + e, v);
    sum += vector_sum(v);
  }
  for (size_t e = 0; e < experts; e++) job->probabilities[t * experts + e] = logits[e] / sum;
  job->log_sum_exp[t] = highest + log_f32(sum);
}

static void route_block(void *context, int32_t task, int32_t thread) {
  (void)thread;
  const router_job *job = context;
  _Alignas(64) float rows[ROWS_AT_ONCE * HIDDEN_STEP], logits[ROWS_AT_ONCE * (MAX_EXPERTS + STRIP)];
  size_t first = (size_t)task * TOKEN_BLOCK, last = smaller(first + TOKEN_BLOCK, job->tokens), step = round_up(job->experts, STRIP);
  for (size_t t = first; t < last; t += ROWS_AT_ONCE) {
    size_t tokens = smaller(last - t, ROWS_AT_ONCE);
    for (size_t column = 0; column < job->hidden; column += HIDDEN_CHUNK) {
      size_t columns = smaller(job->hidden - column, HIDDEN_CHUNK);
      widen_rows(job, t, tokens, column, columns, rows, HIDDEN_STEP);
      for (size_t e = 0; e < job->experts; e += STRIP) {
        multiply_strip(rows, HIDDEN_STEP, 1, job->strips + e * job->hidden + column * STRIP, columns, tokens, logits + e, step, column > 0);
      }
    }
    for (size_t i = 0; i < tokens; i++) finish_token(job, t + i, logits + i * step);
  }
}

ROOKERY_API size_t rookery_router_forward_scratch_bytes(size_t hidden, size_t experts) {
  return is_weight(1, experts, hidden) ? matrix_bytes(ROOKERY_F32, hidden, experts) : 0;
}

ROOKERY_API int32_t rookery_router_forward(uintptr_t pool, int32_t dtype, uintptr_t x, uintptr_t weight, uintptr_t probabilities,
                                           uintptr_t log_sum_exp, size_t tokens, size_t hidden, size_t experts, uintptr_t scratch) {
  if (!x || !weight || !probabilities || !log_sum_exp || !is_aligned(scratch) || !is_dtype(dtype)) return ROOKERY_BAD_ARGUMENT;
  if (!sizes_are_sound(tokens, hidden, experts)) return ROOKERY_BAD_ARGUMENT;
  router_job job = {dtype, (const char *)x, (const float *)weight, (const float *)scratch, (float *)probabilities, (float *)log_sum_exp, tokens, hidden, experts};
  pack_router(pool, &job, 0, (char *)scratch);
  rookery_parallel(pool, (int32_t)ceil_div(tokens, TOKEN_BLOCK), route_block, &job);
  return ROOKERY_OK;
}

/* ---- choice of experts ---- */
typedef struct {
  const float *probabilities;
  size_t tokens, experts, k, capacity;
  uint32_t key0, key1;
  int32_t *selected, *assigned, *taken, *order;
  int32_t over, recycled, dropped;
} selection;

/* The k most probable experts of a token, best first; of equals the lowest number. A NaN is never chosen over a number. */
static void choose_top(const selection *s, size_t token) {
  const float *p = s->probabilities + token * s->experts;
  int32_t *chosen = s->selected + token * s->k;
  for (size_t j = 0; j < s->k; j++) {
    int32_t best = -1;
    for (size_t e = 0; e < s->experts; e++) {
      int used = 0;
      for (size_t i = 0; i < j; i++) used |= chosen[i] == (int32_t)e;
      if (!used && (best < 0 || p[e] > p[best] || (p[best] != p[best] && p[e] == p[e]))) best = (int32_t)e;
    }
    chosen[j] = best;
  }
}

/* order = the tokens by ascending counter hash: a radix sort, 16 bits twice; keys and spare are scratch of `tokens` each. */
static void random_order(selection *s, uint32_t *keys, int32_t *spare, uint32_t *histogram) {
  for (size_t t = 0; t < s->tokens; t++) keys[t] = counter_hash(s->key0, s->key1, (uint32_t)t);
  for (int shift = 0; shift < 32; shift += 16) {
    memset(histogram, 0, 65536 * sizeof *histogram);
    for (size_t t = 0; t < s->tokens; t++) histogram[keys[t] >> shift & 0xffff]++;
    uint32_t before = 0;
    for (size_t b = 0; b < 65536; b++) { uint32_t n = histogram[b]; histogram[b] = before; before += n; }
    int32_t *to = shift ? s->order : spare;
    for (size_t i = 0; i < s->tokens; i++) {
      int32_t t = shift ? spare[i] : (int32_t)i;
      to[histogram[keys[t] >> shift & 0xffff]++] = t;
    }
  }
}

static int has_expert(const int32_t *experts, size_t k, int32_t expert) {
  for (size_t j = 0; j < k; j++) if (experts[j] == expert) return 1;
  return 0;
}

/* Places are kept in random order; the slots that find their expert full are marked -1. */
static void admit(selection *s) {
  for (size_t i = 0; i < s->tokens; i++) {
    for (size_t j = 0; j < s->k; j++) {
      size_t slot = (size_t)s->order[i] * s->k + j;
      int32_t expert = s->selected[slot];
      if ((size_t)s->taken[expert] < s->capacity) { s->assigned[slot] = expert; s->taken[expert]++; }
      else { s->assigned[slot] = -1; s->over++; }
    }
  }
}

/*
 * Recycle routing: a slot over capacity takes one of the free places of all experts, each place as likely as another, as long as its
 * token does not have that expert yet. With one expert a token this is the official code's shuffled list of free places.
 */
static void recycle(selection *s) {
  for (size_t i = 0; i < s->tokens; i++) {
    size_t token = (size_t)s->order[i];
    int32_t *mine = s->assigned + token * s->k;
    for (size_t j = 0; j < s->k; j++) {
      if (mine[j] >= 0) continue;
      uint64_t places = 0;
      for (size_t e = 0; e < s->experts; e++) if (!has_expert(mine, s->k, (int32_t)e)) places += s->capacity - (size_t)s->taken[e];
      if (!places) { s->dropped++; continue; }
      uint64_t place = (counter_hash(~s->key0, s->key1, (uint32_t)(token * s->k + j)) * places) >> 32;
      for (size_t e = 0; e < s->experts; e++) {
        if (has_expert(mine, s->k, (int32_t)e)) continue;
        uint64_t room = s->capacity - (size_t)s->taken[e];
        if (place < room) { mine[j] = (int32_t)e; s->taken[e]++; s->recycled++; break; }
        place -= room;
      }
    }
  }
}

static float gate_sum(const float *p, const int32_t *selected, size_t k) {
  if (k == 1) return 1.0f;
  float sum = 0;
  for (size_t j = 0; j < k; j++) sum += p[selected[j]];
  return sum > SMALLEST_GATE_SUM ? sum : SMALLEST_GATE_SUM;
}

ROOKERY_API size_t rookery_router_select_scratch_bytes(size_t tokens, size_t experts) {
  if (tokens > INT32_MAX || experts > MAX_EXPERTS) return 0;
  return (3 * tokens + experts + 65536) * sizeof(int32_t);
}

ROOKERY_API int32_t rookery_router_select(uintptr_t probabilities, size_t tokens, size_t experts, size_t k, int32_t mode, size_t capacity,
                                          int32_t key0, int32_t key1, uintptr_t selected, uintptr_t assigned, uintptr_t gates,
                                          uintptr_t offsets, uintptr_t row_of, uintptr_t slot_at, uintptr_t load, uintptr_t counts,
                                          uintptr_t scratch) {
  if (!probabilities || !selected || !assigned || !gates || !offsets || !row_of || !slot_at || !load || !counts || !is_aligned(scratch)) return ROOKERY_BAD_ARGUMENT;
  if (!experts || experts > MAX_EXPERTS || !k || k > experts || tokens > INT32_MAX || tokens * k > INT32_MAX / 2 || mode < DROPLESS || mode > RECYCLE) return ROOKERY_BAD_ARGUMENT;
  int32_t *spare = (int32_t *)scratch, *order = spare + tokens, *keys = order + tokens, *taken = keys + tokens, *histogram = taken + experts;
  selection s = {(const float *)probabilities, tokens, experts, k, capacity, (uint32_t)key0, (uint32_t)key1,
                 (int32_t *)selected, (int32_t *)assigned, taken, order, 0, 0, 0};
  int32_t *load_out = (int32_t *)load, *starts = (int32_t *)offsets, *rows = (int32_t *)row_of, *slots = (int32_t *)slot_at;
  memset(load_out, 0, experts * sizeof *load_out);
  memset(taken, 0, experts * sizeof *taken);
  for (size_t t = 0; t < tokens; t++) {
    choose_top(&s, t);
    for (size_t j = 0; j < k; j++) load_out[s.selected[t * k + j]]++;
  }
  int overflows = 0;
  if (mode != DROPLESS) for (size_t e = 0; e < experts; e++) overflows |= (size_t)load_out[e] > capacity;
  if (overflows) {
    random_order(&s, (uint32_t *)keys, spare, (uint32_t *)histogram);
    admit(&s);
    if (mode == RECYCLE) recycle(&s);
    else s.dropped = s.over;
  } else {
    memcpy(s.assigned, s.selected, tokens * k * sizeof(int32_t));
    memcpy(taken, load_out, experts * sizeof *taken);
  }
  starts[0] = 0;
  for (size_t e = 0; e < experts; e++) { starts[e + 1] = starts[e] + taken[e]; taken[e] = starts[e]; }
  float *weights = (float *)gates;
  for (size_t t = 0; t < tokens; t++) {
    const float *p = s.probabilities + t * experts;
    float sum = gate_sum(p, s.selected + t * k, k);
    for (size_t slot = t * k; slot < (t + 1) * k; slot++) {
      int32_t expert = s.assigned[slot];
      weights[slot] = expert < 0 ? 0 : p[expert] / sum;
      rows[slot] = expert < 0 ? -1 : taken[expert]++;
      if (expert >= 0) slots[rows[slot]] = (int32_t)slot;
    }
  }
  int32_t *totals = (int32_t *)counts;
  totals[0] = (int32_t)(tokens * k);
  totals[1] = s.over;
  totals[2] = s.recycled;
  totals[3] = s.dropped;
  return ROOKERY_OK;
}

/* ---- the router's losses ---- */
#define LOSS_BLOCK 256
typedef struct { const float *probabilities, *log_sum_exp; float *partial; size_t tokens, experts; } losses_job;

static void sum_block(void *context, int32_t task, int32_t thread) {
  (void)thread;
  const losses_job *job = context;
  size_t first = (size_t)task * LOSS_BLOCK, last = smaller(first + LOSS_BLOCK, job->tokens);
  float *sums = job->partial + (size_t)task * (job->experts + 1);
  memset(sums, 0, (job->experts + 1) * sizeof *sums);
  for (size_t t = first; t < last; t++) {
    for (size_t e = 0; e < job->experts; e++) sums[e] += job->probabilities[t * job->experts + e];
    sums[job->experts] += job->log_sum_exp[t] * job->log_sum_exp[t];
  }
}

ROOKERY_API size_t rookery_router_losses_scratch_bytes(size_t tokens, size_t experts) {
  return tokens > INT32_MAX || experts > MAX_EXPERTS ? 0 : ceil_div(tokens, LOSS_BLOCK) * (experts + 1) * sizeof(float);
}

ROOKERY_API int32_t rookery_router_losses(uintptr_t pool, uintptr_t probabilities, uintptr_t log_sum_exp, uintptr_t load, uintptr_t losses,
                                          size_t tokens, size_t experts, uintptr_t scratch) {
  if (!probabilities || !log_sum_exp || !load || !losses || !is_aligned(scratch) || !tokens || tokens > INT32_MAX || !experts || experts > MAX_EXPERTS) return ROOKERY_BAD_ARGUMENT;
  losses_job job = {(const float *)probabilities, (const float *)log_sum_exp, (float *)scratch, tokens, experts};
  size_t blocks = ceil_div(tokens, LOSS_BLOCK);
  rookery_parallel(pool, (int32_t)blocks, sum_block, &job);
  float balance = 0, z = 0;
  for (size_t e = 0; e <= experts; e++) {
    float sum = 0;
    for (size_t b = 0; b < blocks; b++) sum += job.partial[b * (experts + 1) + e];
    if (e < experts) balance += (float)((const int32_t *)load)[e] / (float)tokens * (sum / (float)tokens);
    else z = sum / (float)tokens;
  }
  ((float *)losses)[0] = balance * (float)experts;
  ((float *)losses)[1] = z;
  return ROOKERY_OK;
}

typedef struct {
  router_job router;
  const float *dgates;
  const int32_t *selected, *assigned, *load;
  char *dx;
  float *weight_gradient, *dlogits;
  size_t k;
  float balance_weight, z_weight;
} router_backward_job;

/* dlogits of one token, from the gates of its slots and the two losses. */
static void token_dlogits(const router_backward_job *job, size_t t, float *dlogits) {
  size_t experts = job->router.experts, k = job->k;
  float tokens = (float)job->router.tokens;
  const float *p = job->router.probabilities + t * experts;
  float balance = job->balance_weight * (float)experts / (tokens * tokens);
  for (size_t e = 0; e < experts; e++) dlogits[e] = balance * (float)job->load[e];
  const int32_t *selected = job->selected + t * k;
  float sum = gate_sum(p, selected, k), dsum = 0;
  for (size_t j = 0; j < k; j++) {
    int32_t expert = job->assigned[t * k + j];
    if (expert < 0) continue;
    float d = job->dgates[t * k + j] / sum;
    dlogits[expert] += d;
    dsum -= d * p[expert] / sum;
  }
  if (k > 1 && sum > SMALLEST_GATE_SUM) for (size_t j = 0; j < k; j++) dlogits[selected[j]] += dsum;
  float mean = 0;
  for (size_t e = 0; e < experts; e++) mean += p[e] * dlogits[e];
  float z = 2.0f * job->z_weight * job->router.log_sum_exp[t] / tokens;
  for (size_t e = 0; e < experts; e++) dlogits[e] = p[e] * (dlogits[e] - mean + z);
}

/* dx (bf16 or f32) [tokens, a strip's columns] += sums. */
static void add_to_dx(const router_backward_job *job, size_t first, size_t tokens, size_t column, const float *sums) {
  const router_job *router = &job->router;
  int is_bf16 = router->dtype == ROOKERY_BF16;
  for (size_t t = 0; t < tokens; t++, sums += STRIP) {
    for (size_t c = 0; c < STRIP && column + c < router->hidden; c += LANES) {
      size_t n = router->hidden - column - c, at = (first + t) * router->hidden + column + c;
      if (n >= LANES) store_any(job->dx, at, load_any(job->dx, at, is_bf16) + load_f32(sums + c), is_bf16);
      else store_any_tail(job->dx, at, load_any_tail(job->dx, at, n, is_bf16) + load_f32(sums + c), n, is_bf16);
    }
  }
}

static void router_backward_tokens(void *context, int32_t task, int32_t thread) {
  (void)thread;
  const router_backward_job *job = context;
  const router_job *router = &job->router;
  _Alignas(64) float sums[ROWS_AT_ONCE * STRIP];
  size_t first = (size_t)task * TOKEN_BLOCK, last = smaller(first + TOKEN_BLOCK, router->tokens), experts = router->experts;
  for (size_t t = first; t < last; t++) token_dlogits(job, t, job->dlogits + t * experts);
  for (size_t column = 0; column < router->hidden; column += STRIP) {
    for (size_t t = first; t < last; t += ROWS_AT_ONCE) {
      size_t tokens = smaller(last - t, ROWS_AT_ONCE);
      multiply_strip(job->dlogits + t * experts, experts, 1, router->strips + column * experts, experts, tokens, sums, STRIP, 0);
      add_to_dx(job, t, tokens, column, sums);
    }
  }
}

/* STRIP columns of the router's weight gradient: tokens in order, by chunks. */
static void router_backward_weight(void *context, int32_t task, int32_t thread) {
  (void)thread;
  const router_backward_job *job = context;
  const router_job *router = &job->router;
  _Alignas(64) float x[TOKEN_CHUNK * STRIP], sums[MAX_EXPERTS * STRIP];
  size_t column = (size_t)task * STRIP, columns = smaller(router->hidden - column, STRIP), experts = router->experts;
  if (columns < STRIP) memset(x, 0, sizeof x);
  for (size_t t = 0; t < router->tokens; t += TOKEN_CHUNK) {
    size_t tokens = smaller(router->tokens - t, TOKEN_CHUNK);
    widen_rows(router, t, tokens, column, columns, x, STRIP);
    for (size_t e = 0; e < experts; e += ROWS_AT_ONCE) {
      multiply_strip(job->dlogits + t * experts + e, 1, experts, x, tokens, smaller(experts - e, ROWS_AT_ONCE), sums + e * STRIP, STRIP, t > 0);
    }
  }
  for (size_t e = 0; e < experts; e++) {
    float *to = job->weight_gradient + e * router->hidden + column;
    for (size_t c = 0; c < columns; c += LANES) {
      size_t n = smaller(columns - c, LANES);
      store_f32_tail(to + c, load_f32_tail(to + c, n) + load_f32(sums + e * STRIP + c), n);
    }
  }
}

/* dlogits, then the weight's panels. */
static size_t dlogits_bytes(size_t tokens, size_t experts) { return round_up(tokens * experts * sizeof(float), 64); }

ROOKERY_API size_t rookery_router_backward_scratch_bytes(size_t tokens, size_t hidden, size_t experts) {
  return sizes_are_sound(tokens, hidden, experts) ? dlogits_bytes(tokens, experts) + matrix_bytes(ROOKERY_F32, experts, hidden) : 0;
}

ROOKERY_API int32_t rookery_router_backward(uintptr_t pool, int32_t dtype, uintptr_t dgates, uintptr_t x, uintptr_t weight, uintptr_t probabilities,
                                            uintptr_t log_sum_exp, uintptr_t selected, uintptr_t assigned, uintptr_t load, uintptr_t dx,
                                            uintptr_t weight_gradient, size_t tokens, size_t hidden, size_t experts, size_t k,
                                            float balance_weight, float z_weight, uintptr_t scratch) {
  if (!dgates || !x || !weight || !probabilities || !log_sum_exp || !selected || !assigned || !load || !dx || !weight_gradient || !is_aligned(scratch)) return ROOKERY_BAD_ARGUMENT;
  if (!is_dtype(dtype) || !sizes_are_sound(tokens, hidden, experts) || !tokens || !k || k > experts) return ROOKERY_BAD_ARGUMENT;
  router_backward_job job = {
    {dtype, (const char *)x, (const float *)weight, (const float *)(scratch + dlogits_bytes(tokens, experts)), (float *)probabilities, (float *)log_sum_exp, tokens, hidden, experts},
    (const float *)dgates, (const int32_t *)selected, (const int32_t *)assigned, (const int32_t *)load,
    (char *)dx, (float *)weight_gradient, (float *)scratch, k, balance_weight, z_weight};
  pack_router(pool, &job.router, 1, (char *)job.router.strips);
  rookery_parallel(pool, (int32_t)ceil_div(tokens, TOKEN_BLOCK), router_backward_tokens, &job);
  rookery_parallel(pool, (int32_t)ceil_div(hidden, STRIP), router_backward_weight, &job);
  return ROOKERY_OK;
}
