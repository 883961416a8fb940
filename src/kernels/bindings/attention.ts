/** Causal attention of packed sequences, with KV heads shared by groups of query heads. */
import { byteCount, kernel } from "./declare.ts";

export const attentionForwardScratchBytes = byteCount("rookery_attention_forward_scratch_bytes", {
  dtype: "int",
  headDim: "size",
  count: "size",
  threads: "int",
});

/**
 * out = softmax(scale · q kᵀ) v, each sequence with itself. q, out `dtype` [queryRows, heads, headDim], k, v `dtype`
 * [keyRows, kvHeads, headDim]; sequences int32 [count, 4] = {query row, queries, key row, keys}, the last query of a
 * sequence standing at its last key. logSumExp f32 [queryRows, heads] (nats) is kept for the way back, null where
 * nobody needs it. Rows of no sequence are neither read nor written. A query's bits do not depend on how it is packed.
 * Probabilities are dropped below `dropoutThreshold` (a uint32 given as int32, 0 for none; rookery.h has the hash), the others
 * multiplied by dropoutScale. Scratch is for at least the threads of `pool`; null is the calling thread alone.
 * @throws RookeryError KERNEL_FAILED if a sequence leaves its rows, or has more queries than keys.
 */
export const attentionForward = kernel("rookery_attention_forward", {
  pool: "memory",
  dtype: "int",
  q: "memory",
  k: "memory",
  v: "memory",
  sequences: "memory",
  count: "size",
  out: "memory",
  logSumExp: "memory",
  queryRows: "size",
  keyRows: "size",
  heads: "size",
  kvHeads: "size",
  headDim: "size",
  scale: "float",
  dropoutThreshold: "int",
  dropoutScale: "float",
  key0: "int",
  key1: "int",
  scratch: "memory",
});

export const attentionBackwardScratchBytes = byteCount("rookery_attention_backward_scratch_bytes", {
  dtype: "int",
  queryRows: "size",
  keyRows: "size",
  heads: "size",
  kvHeads: "size",
  headDim: "size",
  count: "size",
  threads: "int",
});

/**
 * Gradients of attentionForward: dq `dtype` [queryRows, heads, headDim] (+)= by `accumulate`, dk and dv `dtype`
 * [keyRows, kvHeads, headDim] (+)= by `accumulateKv`. out and logSumExp are the forward's. Sequences may not share rows.
 */
export const attentionBackward = kernel("rookery_attention_backward", {
  pool: "memory",
  dtype: "int",
  dout: "memory",
  q: "memory",
  k: "memory",
  v: "memory",
  out: "memory",
  logSumExp: "memory",
  sequences: "memory",
  count: "size",
  dq: "memory",
  dk: "memory",
  dv: "memory",
  queryRows: "size",
  keyRows: "size",
  heads: "size",
  kvHeads: "size",
  headDim: "size",
  scale: "float",
  dropoutThreshold: "int",
  dropoutScale: "float",
  key0: "int",
  key1: "int",
  accumulate: "int",
  accumulateKv: "int",
  scratch: "memory",
});

/**
 * `attentionForward` from a cache in pages of 64 keys: k and v [pages, kvHeads, 64, headDim]. table int32 [entries]: a sequence's
 * key row is where its own entries begin there, a page for each 64 of its keys. cacheDtype is dtype, with the bits of the
 * contiguous call, or that of 8-bit values; out is multiplied by valueScale.
 */
export const attentionPaged = kernel("rookery_attention_paged", {
  pool: "memory",
  dtype: "int",
  q: "memory",
  cacheDtype: "int",
  k: "memory",
  v: "memory",
  pages: "size",
  table: "memory",
  entries: "size",
  sequences: "memory",
  count: "size",
  out: "memory",
  queryRows: "size",
  heads: "size",
  kvHeads: "size",
  headDim: "size",
  scale: "float",
  valueScale: "float",
  scratch: "memory",
});

/** Keys of a page of the cache: the block that attention goes by. */
export const keyBlock = 64;

/**
 * Row r of k and v `dtype` [rows, kvHeads, headDim] goes to key places[r] % 64 of page places[r] / 64 of the caches [pages,
 * kvHeads, 64, headDim]; as 8-bit values divided by their scales, rounded to nearest even and held to ±448.
 */
export const cacheWrite = kernel("rookery_cache_write", {
  pool: "memory",
  dtype: "int",
  k: "memory",
  v: "memory",
  places: "memory",
  cacheDtype: "int",
  keyCache: "memory",
  valueCache: "memory",
  rows: "size",
  pages: "size",
  kvHeads: "size",
  headDim: "size",
  keyScale: "float",
  valueScale: "float",
});
