/*
 * The whole ABI of the kernels. They know no model: they see rows, matrices and offsets.
 *
 * Types are uintptr_t (addresses; 0 where an argument is optional and absent), size_t (counts), int32_t and float.
 * Matrices are row-major and contiguous. "Activation" arrays are f32 or bf16 as `dtype` says; sums are in f32.
 * A function returns a status, or a number of bytes where its name ends in _bytes (0 too for sizes that will be refused).
 * Nothing is allocated: scratch is passed in, 64-byte aligned, and may hold anything; where it is for a number of threads, that
 * is the pool's or more. Sizes are checked before anything is written: an array must have fewer than 2^63 bytes as f32, and no
 * work may fall into more than 2^31 - 1 tasks. `pool` is a handle of rookery_pool_create, or 0 for the calling thread alone.
 * No result depends on the number of threads. Unless said otherwise outputs may not overlap inputs.
 * `accumulate` = 1 adds to what the output holds, 0 overwrites it.
 */
#ifndef ROOKERY_H
#define ROOKERY_H

#include <stddef.h>
#include <stdint.h>

#define ROOKERY_API __attribute__((visibility("default")))
#define ROOKERY_ABI_VERSION 15

enum { ROOKERY_OK = 0, ROOKERY_BAD_ARGUMENT = 1, ROOKERY_NO_THREADS = 2, ROOKERY_BAD_POSITION = 3 };
/* ROOKERY_FP8 (E4M3, OCP 8-bit floating point) is what a KV cache may hold, and no activation. */
enum { ROOKERY_F32 = 0, ROOKERY_BF16 = 1, ROOKERY_FP8 = 2 };

/* ---- threads.c ---- */
ROOKERY_API int32_t rookery_abi_version(void);
/* ROOKERY_LEVEL as it was compiled: the level's place in levels.ts, so that a library made elsewhere says what CPU it needs. */
ROOKERY_API int32_t rookery_level(void);
ROOKERY_API size_t rookery_pool_bytes(void);
/* memory: rookery_pool_bytes(), 64-byte aligned, alive until destroy. Starts threads - 1 threads. */
ROOKERY_API int32_t rookery_pool_create(uintptr_t memory, int32_t threads);
ROOKERY_API int32_t rookery_pool_destroy(uintptr_t pool);

/* ---- quant_pack.c, quant.c ---- */
/* How the codes of a weight of 8 or 4 bits are read: FP8 is E4M3, INT8 from -128 to 127, INT4 from -8 to 7. */
enum { ROOKERY_QUANT_FP8 = 0, ROOKERY_QUANT_INT8 = 1, ROOKERY_QUANT_INT4 = 2 };
/*
 * A weight [groups, out, in] of codes, each to be multiplied by a scale: one for every row of it (segment = in), or, for INT4, for every
 * `segment` of a row: a divisor of `in` that is a multiple of 32. INT4 needs `in` to be a multiple of 8.
 * rookery_quant_pack takes rows [first_row, first_row + rows) of matrix `group` as files have them: FP8 a byte each, INT8 a byte each with 128
 * added, INT4 two a byte with 8 added, the first in the low half; no FP8 code is a NaN. scales: f32 [rows, in / segment]. What is not packed
 * must be zero.
 */
ROOKERY_API size_t rookery_quant_bytes(int32_t format, size_t groups, size_t out, size_t in, size_t segment);
ROOKERY_API int32_t rookery_quant_pack(uintptr_t pool, int32_t format, uintptr_t codes, uintptr_t scales, uintptr_t packed, size_t groups,
                                       size_t out, size_t in, size_t segment, size_t group, size_t first_row, size_t rows);
/*
 * As rookery_matmul, with such a weight: its codes are widened on the way, a few panels at a time. rounds 1: the rows of `a` are rounded to FP8
 * first, by a scale of their own (largest magnitude / 448), or by activation_scales, f32 [groups], if not 0. bf16 in tiles multiplies codes, whose
 * sums are then scaled; elsewhere weights and rounded activations are f32.
 */
ROOKERY_API size_t rookery_quant_matmul_scratch_bytes(int32_t format, int32_t dtype, size_t rows, size_t inner, size_t columns, size_t groups,
                                                      size_t segment, int32_t rounds, int32_t threads);
ROOKERY_API int32_t rookery_quant_matmul(uintptr_t pool, int32_t format, int32_t dtype, uintptr_t a, uintptr_t packed, uintptr_t addend,
                                         uintptr_t c, int32_t c_dtype, uintptr_t gated, size_t rows, size_t inner, size_t columns, size_t groups,
                                         size_t segment, int32_t rounds, uintptr_t activation_scales, uintptr_t offsets, uintptr_t scratch);

/* ---- quant_gptq.c ---- */
/*
 * From H = X^T X of a layer's inputs, f32 [n, n] (only the upper triangle is read, and overwritten), the factor U of its inverse, f32 [n, n]
 * upper triangular, H^-1 = U^T U, after damping times the mean of its diagonal (1 if that is 0) was added to the diagonal.
 */
ROOKERY_API int32_t rookery_gptq_factor(uintptr_t pool, uintptr_t hessian, uintptr_t factor, size_t n, float damping);
/*
 * Rounds a weight f32 [rows, n] to INT4 with a scale for each `segment` of a row, column by column, each error made up for by the columns
 * after it, or, with factor 0, each to the nearest. codes as rookery_quant_pack takes them, scales f32 [rows, n / segment], bf16 numbers. The weight is overwritten if
 * there is a factor.
 */
ROOKERY_API int32_t rookery_gptq_round(uintptr_t pool, uintptr_t weight, uintptr_t factor, uintptr_t codes, uintptr_t scales, size_t rows, size_t n,
                                       size_t segment);

/* ---- pack.c, gemm.c, weight_gradient.c ---- */
/*
 * Packs a weight W [groups, out, in] (f32) into panels for one direction: transpose 0 for y = x W^T (sums over in), 1 for
 * dx = dy W (sums over out). The layout is the level's own, and the packed copy is good until the
 * weight changes.
 */
ROOKERY_API size_t rookery_pack_bytes(int32_t dtype, size_t groups, size_t out, size_t in, int32_t transpose);
ROOKERY_API int32_t rookery_pack(uintptr_t pool, int32_t dtype, uintptr_t weight, uintptr_t packed, size_t groups,
                                 size_t out, size_t in, int32_t transpose);
/*
 * c[r] = addend[r] + a[r] B_g for the rows r in [offsets[g], offsets[g+1]), g < groups. a [rows, inner] dtype,
 * packed: B of `groups` matrices [inner, columns] as rookery_pack lays them. c [rows, columns] c_dtype;
 * addend: c_dtype, 0 or shaped as c (may be c itself). offsets: int32 [groups + 1], or 0 when groups is 1.
 * gated, unless 0 (then c_dtype is dtype, and there is no addend): [rows, columns / 2] = silu(left half of c) * its right half.
 * A row's bits depend on that row alone.
 */
ROOKERY_API int32_t rookery_matmul(uintptr_t pool, int32_t dtype, uintptr_t a, uintptr_t packed, uintptr_t addend,
                                   uintptr_t c, int32_t c_dtype, uintptr_t gated, size_t rows, size_t inner,
                                   size_t columns, size_t groups, uintptr_t offsets);
/*
 * The same with W [groups, out, in] (f32) itself, packed on the way in pieces that stay in the cache: for weights that are
 * used once between changes, as in training. transpose as in rookery_pack; is_gated: whether `gated` will be given.
 */
ROOKERY_API size_t rookery_matmul_packing_scratch_bytes(int32_t dtype, size_t inner, size_t columns, size_t groups,
                                                        int32_t is_gated, int32_t threads);
ROOKERY_API int32_t rookery_matmul_packing(uintptr_t pool, int32_t dtype, uintptr_t a, uintptr_t weight, int32_t transpose,
                                           uintptr_t addend, uintptr_t c, int32_t c_dtype, uintptr_t gated, size_t rows,
                                           size_t inner, size_t columns, size_t groups, uintptr_t offsets,
                                           uintptr_t scratch);
/*
 * weight_gradient[g] (+)= sum over r in [offsets[g], offsets[g+1]) of dy[r]^T x[r]. dy [rows, out], x [rows, in] dtype;
 * weight_gradient f32 [groups, out, in]. Sums over blocks of rows in order. squares f32 [1], unless 0, = the sum of the squares of
 * all of weight_gradient as it then is.
 */
ROOKERY_API size_t rookery_weight_gradient_scratch_bytes(int32_t dtype, size_t rows, size_t out, size_t in, size_t groups);
ROOKERY_API int32_t rookery_weight_gradient(uintptr_t pool, int32_t dtype, uintptr_t dy, uintptr_t x,
                                            uintptr_t weight_gradient, size_t rows, size_t out, size_t in,
                                            size_t groups, uintptr_t offsets, int32_t accumulate, uintptr_t squares,
                                            uintptr_t scratch);

/* ---- norm.c ---- */
/* y[r] = x[r] / rms(x[r]) * weight, rms = sqrt(mean x^2 + eps). inverse_rms f32 [rows] is kept for the way back. */
ROOKERY_API int32_t rookery_rmsnorm_forward(uintptr_t pool, int32_t dtype, uintptr_t x, uintptr_t weight, uintptr_t y,
                                            uintptr_t inverse_rms, size_t rows, size_t columns, float eps);
/* dx (dtype) (+)= ; weight_gradient (f32 [columns]) is always added to. */
ROOKERY_API size_t rookery_rmsnorm_backward_scratch_bytes(size_t rows, size_t columns);
ROOKERY_API int32_t rookery_rmsnorm_backward(uintptr_t pool, int32_t dtype, uintptr_t dy, uintptr_t x, uintptr_t weight,
                                             uintptr_t inverse_rms, uintptr_t dx, uintptr_t weight_gradient,
                                             size_t rows, size_t columns, int32_t accumulate, uintptr_t scratch);
/*
 * RoPE over each head (rotate-half over the whole head_dim), then, if normalize, division by the head's rms, then
 * times weight_a times weight_b (f32 [head_dim] each, either may be 0 for ones). x, y [rows, heads, head_dim];
 * positions int32 [rows], each below table_rows or ROOKERY_BAD_POSITION; cosine, sine f32 [table_rows, head_dim / 2]. inverse_rms f32 [rows, heads] (0 if not normalize).
 * The query takes query_layernorm as weight_a and key_layernorm as weight_b; the key takes neither (design.md, GQA + CLA).
 */
ROOKERY_API int32_t rookery_rope_norm_forward(uintptr_t pool, int32_t dtype, uintptr_t x, uintptr_t positions,
                                              uintptr_t cosine, uintptr_t sine, size_t table_rows,
                                              uintptr_t weight_a, uintptr_t weight_b, uintptr_t y, uintptr_t inverse_rms, size_t rows, size_t heads,
                                              size_t head_dim, int32_t normalize, float eps);
/* x is the forward's input. Gradients of the weights (f32, 0 where the weight is 0) are added to. */
ROOKERY_API size_t rookery_rope_norm_backward_scratch_bytes(size_t rows, size_t head_dim);
ROOKERY_API int32_t rookery_rope_norm_backward(uintptr_t pool, int32_t dtype, uintptr_t dy, uintptr_t x,
                                               uintptr_t positions, uintptr_t cosine, uintptr_t sine,
                                               size_t table_rows, uintptr_t weight_a, uintptr_t weight_b, uintptr_t inverse_rms,
                                               uintptr_t dx, uintptr_t weight_a_gradient, uintptr_t weight_b_gradient,
                                               size_t rows, size_t heads, size_t head_dim, int32_t normalize,
                                               int32_t accumulate, uintptr_t scratch);

/* ---- attention.c ---- */
/*
 * Causal attention of each sequence with itself. sequences: int32 [count, 4] = {query row, queries, key row, keys}; the
 * i-th query of a sequence stands at position keys - queries + i and sees keys 0 .. that position (training:
 * both rows and both counts equal; decoding: one query, many keys). q, out [query rows, heads, head_dim],
 * k, v [key rows, kv_heads, head_dim]; query head h reads KV head h / (heads / kv_heads). scale multiplies q k.
 * log_sum_exp f32 [query rows, heads] is kept for the way back, 0 where nobody needs it.
 * Keys go by in blocks of ROOKERY_KEY_BLOCK from position 0, so a query's bits do not depend on what stands beside it.
 * With a dropout_threshold (as uint32) above 0 a probability is dropped, after it has counted in its sum, where
 * fmix32(counter_hash(key0, key1, query row * heads + head) + key position * 0x9e3779b1) is below it; the others are multiplied
 * by dropout_scale. The way back is given the same four numbers.
 */
#define ROOKERY_KEY_BLOCK 64
ROOKERY_API size_t rookery_attention_forward_scratch_bytes(int32_t dtype, size_t head_dim, size_t count, int32_t threads);
ROOKERY_API int32_t rookery_attention_forward(uintptr_t pool, int32_t dtype, uintptr_t q, uintptr_t k, uintptr_t v,
                                              uintptr_t sequences, size_t count, uintptr_t out, uintptr_t log_sum_exp,
                                              size_t query_rows, size_t key_rows, size_t heads, size_t kv_heads,
                                              size_t head_dim, float scale, int32_t dropout_threshold,
                                              float dropout_scale, int32_t key0, int32_t key1, uintptr_t scratch);
/*
 * The same from a cache that lies in pages of ROOKERY_KEY_BLOCK keys: k and v are [pages, kv_heads, ROOKERY_KEY_BLOCK, head_dim], so
 * that what a query reads of a page is one stretch. table int32 [entries]: a sequence's key row is where its own entries begin
 * there, a page for each block of its keys. cache_dtype is dtype, with the bits of the contiguous call, or ROOKERY_FP8; out is
 * multiplied by value_scale. The scratch is that of rookery_attention_forward.
 */
ROOKERY_API int32_t rookery_attention_paged(uintptr_t pool, int32_t dtype, uintptr_t q, int32_t cache_dtype, uintptr_t k,
                                            uintptr_t v, size_t pages, uintptr_t table, size_t entries,
                                            uintptr_t sequences, size_t count, uintptr_t out, size_t query_rows, size_t heads,
                                            size_t kv_heads, size_t head_dim, float scale, float value_scale,
                                            uintptr_t scratch);
/* dq (+)= if accumulate; dk and dv are added to if accumulate_kv (layers of a CLA group share them). */
ROOKERY_API size_t rookery_attention_backward_scratch_bytes(int32_t dtype, size_t query_rows, size_t key_rows, size_t heads,
                                                            size_t kv_heads, size_t head_dim, size_t count, int32_t threads);
ROOKERY_API int32_t rookery_attention_backward(uintptr_t pool, int32_t dtype, uintptr_t dout, uintptr_t q, uintptr_t k,
                                               uintptr_t v, uintptr_t out, uintptr_t log_sum_exp, uintptr_t sequences,
                                               size_t count, uintptr_t dq, uintptr_t dk, uintptr_t dv,
                                               size_t query_rows, size_t key_rows, size_t heads, size_t kv_heads,
                                               size_t head_dim, float scale, int32_t dropout_threshold,
                                               float dropout_scale, int32_t key0, int32_t key1, int32_t accumulate,
                                               int32_t accumulate_kv, uintptr_t scratch);

/* ---- cache.c ---- */
/*
 * Row r of k and v (dtype [rows, kv_heads, head_dim]) goes to place places[r] of the caches [pages, kv_heads,
 * ROOKERY_KEY_BLOCK, head_dim]: to page places[r] / ROOKERY_KEY_BLOCK, as it is where cache_dtype is dtype; as ROOKERY_FP8 divided
 * by key_scale and value_scale, both above 0, rounded to nearest even, and held to +-448. Places may not repeat.
 */
ROOKERY_API int32_t rookery_cache_write(uintptr_t pool, int32_t dtype, uintptr_t k, uintptr_t v, uintptr_t places,
                                        int32_t cache_dtype, uintptr_t key_cache, uintptr_t value_cache, size_t rows,
                                        size_t pages, size_t kv_heads, size_t head_dim, float key_scale, float value_scale);

/* ---- experts.c, router.c ---- */
/* h[r, i] = silu(gate_up[r, i]) * gate_up[r, width + i]; gate_up [rows, 2 width]. rows_limit: int32 count at this address, 0 = all. */
ROOKERY_API int32_t rookery_swiglu_forward(uintptr_t pool, int32_t dtype, uintptr_t gate_up, uintptr_t h, size_t rows,
                                           size_t width, uintptr_t rows_limit);
/* h, unless 0, is made again on the way; it may be dh. */
ROOKERY_API int32_t rookery_swiglu_backward(uintptr_t pool, int32_t dtype, uintptr_t dh, uintptr_t gate_up,
                                            uintptr_t dgate_up, uintptr_t h, size_t rows, size_t width,
                                            uintptr_t rows_limit);
/* probabilities f32 [tokens, experts] = softmax(x W^T), all in f32; x [tokens, hidden] dtype, weight f32 [experts, hidden];
 * log_sum_exp f32 [tokens]. */
ROOKERY_API size_t rookery_router_forward_scratch_bytes(size_t hidden, size_t experts);
ROOKERY_API int32_t rookery_router_forward(uintptr_t pool, int32_t dtype, uintptr_t x, uintptr_t weight,
                                           uintptr_t probabilities, uintptr_t log_sum_exp, size_t tokens, size_t hidden,
                                           size_t experts, uintptr_t scratch);
/*
 * Top-k choice, capacity and recycling (report section 2.2.2). mode 0 dropless, 1 drop, 2 recycle.
 * An expert keeps at most `capacity` tokens (ignored when dropless); tokens are admitted in the order of a counter hash of
 * (key0, key1, token), so neither position nor score decides. In mode 2 what is over goes to a random expert with room
 * that the token does not have yet; what finds none is dropped.
 *   selected  int32 [tokens, k]  the router's own choice, best first
 *   assigned  int32 [tokens, k]  the expert that takes the slot, -1 where it is dropped
 *   gates     f32   [tokens, k]  weight of the slot: p for k = 1, else p / sum of the selected p; 0 where dropped
 *   offsets   int32 [experts + 1] rows of each expert after sorting; offsets[experts] is the number of rows
 *   row_of    int32 [tokens, k]  row of a slot among the sorted rows, -1 where dropped
 *   slot_at   int32 [tokens * k] slot (token * k + j) of a sorted row; rows of an expert are in the order of the slots
 *   load      int32 [experts]    tokens that chose the expert, before capacity
 *   counts    int32 [4]          {slots, over capacity, recycled, dropped}
 */
ROOKERY_API size_t rookery_router_select_scratch_bytes(size_t tokens, size_t experts);
ROOKERY_API int32_t rookery_router_select(uintptr_t probabilities, size_t tokens, size_t experts, size_t k, int32_t mode,
                                          size_t capacity, int32_t key0, int32_t key1, uintptr_t selected,
                                          uintptr_t assigned, uintptr_t gates, uintptr_t offsets, uintptr_t row_of,
                                          uintptr_t slot_at, uintptr_t load, uintptr_t counts, uintptr_t scratch);
/* losses f32 [2] = {experts * sum_e load_e / tokens * mean_t p_e (GShard), mean_t log_sum_exp^2}. */
ROOKERY_API size_t rookery_router_losses_scratch_bytes(size_t tokens, size_t experts);
ROOKERY_API int32_t rookery_router_losses(uintptr_t pool, uintptr_t probabilities, uintptr_t log_sum_exp, uintptr_t load,
                                          uintptr_t losses, size_t tokens, size_t experts, uintptr_t scratch);
/* From d gates f32 [tokens, k], plus balance_weight and z_weight times the two losses: dx (dtype) and weight_gradient are added to. */
ROOKERY_API size_t rookery_router_backward_scratch_bytes(size_t tokens, size_t hidden, size_t experts);
ROOKERY_API int32_t rookery_router_backward(uintptr_t pool, int32_t dtype, uintptr_t dgates, uintptr_t x, uintptr_t weight,
                                            uintptr_t probabilities, uintptr_t log_sum_exp, uintptr_t selected,
                                            uintptr_t assigned, uintptr_t load, uintptr_t dx, uintptr_t weight_gradient,
                                            size_t tokens, size_t hidden, size_t experts, size_t k, float balance_weight,
                                            float z_weight, uintptr_t scratch);
/* rows[r] = x[slot_at[r] / k] for r < *row_count. */
ROOKERY_API int32_t rookery_dispatch_forward(uintptr_t pool, int32_t dtype, uintptr_t x, uintptr_t slot_at,
                                             uintptr_t row_count, uintptr_t rows, size_t tokens, size_t columns, size_t k);
/* dx[t] (+)= sum over the slots of t of drows[row_of[slot]]. */
ROOKERY_API int32_t rookery_dispatch_backward(uintptr_t pool, int32_t dtype, uintptr_t drows, uintptr_t row_of,
                                              uintptr_t dx, size_t tokens, size_t columns, size_t k, int32_t accumulate);
/* out[t] = base[t] + sum over the slots of t of gates[slot] * rows[row_of[slot]]. base may be out. */
ROOKERY_API int32_t rookery_combine_forward(uintptr_t pool, int32_t dtype, uintptr_t base, uintptr_t rows, uintptr_t row_of,
                                            uintptr_t gates, uintptr_t out, size_t tokens, size_t columns, size_t k);
/* drows[row_of[slot]] = gates[slot] * dout[t], dgates[slot] = dout[t] . rows[row_of[slot]] (0 where dropped). */
ROOKERY_API int32_t rookery_combine_backward(uintptr_t pool, int32_t dtype, uintptr_t dout, uintptr_t rows, uintptr_t row_of,
                                             uintptr_t gates, uintptr_t drows, uintptr_t dgates, size_t tokens,
                                             size_t columns, size_t k);

/* ---- loss.c ---- */
/* out[t] (dtype) = table[ids[t]] (f32 [vocabulary, columns]). An id outside the table is ROOKERY_BAD_ARGUMENT, checked first. */
ROOKERY_API int32_t rookery_embedding_forward(uintptr_t pool, int32_t dtype, uintptr_t ids, uintptr_t table, uintptr_t out,
                                              size_t tokens, size_t vocabulary, size_t columns);
/* table_gradient[ids[t]] += dout[t], tokens in order. */
ROOKERY_API int32_t rookery_embedding_backward(uintptr_t pool, int32_t dtype, uintptr_t ids, uintptr_t dout,
                                               uintptr_t table_gradient, size_t tokens, size_t vocabulary, size_t columns);
/*
 * Of a chunk of logits (f32 [rows, vocabulary]): losses[r] = log_sum_exp - logits[target] (0 where target is -1), and,
 * unless dlogits is 0, dlogits[r] (dtype) = scale * (softmax - one-hot), zeros where target is -1. A target outside
 * [-1, vocabulary) is ROOKERY_BAD_ARGUMENT.
 */
ROOKERY_API int32_t rookery_cross_entropy(uintptr_t pool, int32_t dtype, uintptr_t logits, uintptr_t targets, uintptr_t losses,
                                          uintptr_t dlogits, size_t rows, size_t vocabulary, float scale,
                                          uintptr_t row_scales);
/*
 * y = addend + x with elements dropped, the rest times scale: all `dtype` [count], addend 0 for none, and may be y itself. The
 * i-th is dropped where counter_hash(key0, key1, i) < threshold (as uint32); count is below 2^32. The gradient of x is the same
 * of that of y.
 */
ROOKERY_API int32_t rookery_dropout(uintptr_t pool, int32_t dtype, uintptr_t x, uintptr_t addend, uintptr_t y, size_t count,
                                    int32_t threshold, float scale, int32_t key0, int32_t key1);
/* sum f32 [1] = sum of values f32 [count], by fixed blocks. */
ROOKERY_API int32_t rookery_sum(uintptr_t values, size_t count, uintptr_t sum);

/* ---- sample.c ---- */
/*
 * A token for each row of logits f32 [rows, vocabulary]: bias, then repetition, presence and frequency penalty, then the mask,
 * temperature, top-k, top-p and min-p, then a draw.
 * masks: uint32 [mask_count, ceil(vocabulary / 32)], a bit an id, id 0 in the lowest of word 0, set where the token may come.
 * settings f32 [rows, 6]: temperature (0: the likeliest, of equals the first), top-p (1: off), min-p (0: off), repetition
 * penalty (1: off), presence and frequency penalty (0: off).
 * numbers int32 [rows, 5]: top-k (0: off), which mask, both keys of the row's random stream, the token's place in the stream.
 * The lists of a row are from offsets[r] to offsets[r + 1] (int32 [rows + 1]): bias_ids and biases (f32) are added to logits;
 * seen_ids are the distinct tokens of the text, seen_counts (int32) how often its answer has them.
 * tokens int32 [rows]; of a row that nothing can be drawn from -1 (a logit is NaN or +inf), -2 (none is permitted).
 */
ROOKERY_API size_t rookery_sample_scratch_bytes(size_t vocabulary, int32_t threads);
ROOKERY_API int32_t rookery_sample(uintptr_t pool, uintptr_t logits, size_t rows, size_t vocabulary, uintptr_t masks,
                                   size_t mask_count, uintptr_t settings, uintptr_t numbers, uintptr_t bias_offsets,
                                   uintptr_t bias_ids, uintptr_t biases, uintptr_t seen_offsets, uintptr_t seen_ids,
                                   uintptr_t seen_counts, uintptr_t tokens, uintptr_t scratch);
/*
 * logprobs[r] = logits[r, target] - log_sum_exp, and the `top` ids that `mask` (one mask) permits with the largest logits, the
 * largest first, of equals the smaller id (-1 and 0 where there are no more): top_ids int32 and top_logprobs f32 [rows, top].
 * targets int32 [rows]; of a row with -1 nothing is written. logprobs[r] is NaN, and top_ids -1, if a logit is NaN or +inf.
 * Scratch as for rookery_sample.
 */
ROOKERY_API int32_t rookery_token_logprobs(uintptr_t pool, uintptr_t logits, size_t rows, size_t vocabulary, uintptr_t mask,
                                           uintptr_t targets, size_t top, uintptr_t logprobs, uintptr_t top_ids,
                                           uintptr_t top_logprobs, uintptr_t scratch);

/* ---- optim.c ---- */
/* result f32 [1] (+)= sum of squares of values f32 [count], by fixed blocks, in order. */
ROOKERY_API size_t rookery_sum_of_squares_scratch_bytes(size_t count);
ROOKERY_API int32_t rookery_sum_of_squares(uintptr_t pool, uintptr_t values, size_t count, uintptr_t result,
                                           int32_t accumulate, uintptr_t scratch);
/*
 * One pass of AdamW with decoupled decay (Loshchilov and Hutter): g = gradient * gradient_scale; v, weight f32 [count],
 * m m_dtype [count] (rounded to nearest even after it was used) in place.
 * bias_correction1 = 1 - beta1^step, bias_correction2 = 1 - beta2^step.
 * weight -= learning_rate * (m / bias_correction1 / (sqrt(v / bias_correction2) + eps) + decay * weight)
 */
ROOKERY_API int32_t rookery_adamw(uintptr_t pool, uintptr_t weight, uintptr_t gradient, int32_t m_dtype, uintptr_t m,
                                  uintptr_t v, size_t count, float learning_rate, float beta1, float beta2, float eps,
                                  float decay, float bias_correction1, float bias_correction2, float gradient_scale);
/* destination[i] (+)= source[i] * scale, each of its dtype. */
ROOKERY_API int32_t rookery_axpy(uintptr_t pool, int32_t source_dtype, uintptr_t source, int32_t destination_dtype,
                                 uintptr_t destination, size_t count, float scale, int32_t accumulate);

/* ---- peak.c ---- */
/* Multiplies from registers alone, `rounds` times on each of `threads` threads. scratch: 1,024 bytes a thread. */
ROOKERY_API int32_t rookery_peak_run(uintptr_t pool, int32_t dtype, size_t rounds, int32_t threads, uintptr_t scratch);
/* The FLOPs of that: a number, no status. */
ROOKERY_API size_t rookery_peak_flops(int32_t dtype, size_t rounds, int32_t threads);
/* Reads `bytes` (whole MiB) of memory once, by all threads. scratch: 1,024 bytes a thread. */
ROOKERY_API int32_t rookery_peak_read(uintptr_t pool, uintptr_t memory, size_t bytes, uintptr_t scratch);

#endif
