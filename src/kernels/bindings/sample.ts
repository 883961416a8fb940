/** Choosing tokens from logits. `pool` null is the calling thread alone. */
import { byteCount, kernel } from "./declare.ts";

/** What `sample` answers instead of a token for a row that nothing can be drawn from. */
export const noToken = { notFinite: -1, empty: -2 } as const;

/** Bytes of scratch of `sample` and `tokenLogprobs`, for a pool of `threads`. */
export const sampleScratchBytes = byteCount("rookery_sample_scratch_bytes", { vocabulary: "size", threads: "int" });

/**
 * A token for each row of logits f32 [rows, vocabulary]; rookery.h tells what the arrays hold.
 * @throws RookeryError KERNEL_FAILED for settings out of range, or an id or mask that there is not; nothing is written then.
 */
export const sample = kernel("rookery_sample", {
  pool: "memory",
  logits: "memory",
  rows: "size",
  vocabulary: "size",
  masks: "memory",
  maskCount: "size",
  settings: "memory",
  numbers: "memory",
  biasOffsets: "memory",
  biasIds: "memory",
  biases: "memory",
  seenOffsets: "memory",
  seenIds: "memory",
  seenCounts: "memory",
  tokens: "memory",
  scratch: "memory",
});

/**
 * Log-probabilities f32 [rows] of `targets` int32 [rows] (−1: none is wanted), and of the `top` likeliest tokens of each row.
 * @throws RookeryError KERNEL_FAILED for a target outside the vocabulary; nothing is written then.
 */
export const tokenLogprobs = kernel("rookery_token_logprobs", {
  pool: "memory",
  logits: "memory",
  rows: "size",
  vocabulary: "size",
  mask: "memory",
  targets: "memory",
  top: "size",
  logprobs: "memory",
  topIds: "memory",
  topLogprobs: "memory",
  scratch: "memory",
});
