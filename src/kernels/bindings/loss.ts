/** Both ends of a language model: the embedding table and cross-entropy. `pool` null is the calling thread alone. */
import { kernel } from "./declare.ts";

/**
 * out[t] = table[ids[t]]. ids int32 [tokens], table f32 [vocabulary, columns], out `dtype` [tokens, columns].
 * @throws RookeryError KERNEL_FAILED if an id lies outside the table; nothing is written then.
 */
export const embeddingForward = kernel("rookery_embedding_forward", {
  pool: "memory",
  dtype: "int",
  ids: "memory",
  table: "memory",
  out: "memory",
  tokens: "size",
  vocabulary: "size",
  columns: "size",
});

/**
 * tableGradient[ids[t]] += dout[t], tokens in order. dout `dtype` [tokens, columns],
 * tableGradient f32 [vocabulary, columns].
 * @throws RookeryError KERNEL_FAILED if an id lies outside the table; nothing is written then.
 */
export const embeddingBackward = kernel("rookery_embedding_backward", {
  pool: "memory",
  dtype: "int",
  ids: "memory",
  dout: "memory",
  tableGradient: "memory",
  tokens: "size",
  vocabulary: "size",
  columns: "size",
});

/**
 * losses[r] = log Σ exp(logits[r]) − logits[r, targets[r]], in nats. logits f32 [rows, vocabulary], targets int32 [rows],
 * losses f32 [rows]. If `dlogits` (`dtype` [rows, vocabulary]) is not null it becomes scale · (softmax − one-hot).
 * A row whose target is −1 has loss 0 and gradient 0. `rowScales` f32 [rows], unless null, multiplies the gradients row by row.
 * @throws RookeryError KERNEL_FAILED if a target lies outside [−1, vocabulary); nothing is written then.
 */
export const crossEntropy = kernel("rookery_cross_entropy", {
  pool: "memory",
  dtype: "int",
  logits: "memory",
  targets: "memory",
  losses: "memory",
  dlogits: "memory",
  rows: "size",
  vocabulary: "size",
  scale: "float",
  rowScales: "memory",
});

/**
 * y = addend + scale · x where element i is kept, addend elsewhere; all `dtype` [count], addend null for 0, and may be y.
 * Element i is dropped where the i-th hash of the stream (key0, key1) is below `threshold`, a uint32 given as int32.
 * @throws RookeryError KERNEL_FAILED for 2³² elements or more.
 */
export const dropout = kernel("rookery_dropout", {
  pool: "memory",
  dtype: "int",
  x: "memory",
  addend: "memory",
  y: "memory",
  count: "size",
  threshold: "int",
  scale: "float",
  key0: "int",
  key1: "int",
});

/** sum f32 [1] = Σ values f32 [count]. */
export const sum = kernel("rookery_sum", { values: "memory", count: "size", sum: "memory" });
