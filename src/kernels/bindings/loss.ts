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
 * A row whose target is −1 has loss 0 and gradient 0.
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
});

/** sum f32 [1] = Σ values f32 [count]. */
export const sum = kernel("rookery_sum", { values: "memory", count: "size", sum: "memory" });
