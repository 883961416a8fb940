/** Passes over parameters and gradients as flat arrays. `pool` null is the calling thread alone. */
import { byteCount, kernel } from "./declare.ts";

/** Bytes of scratch that `sumOfSquares` needs. */
export const sumOfSquaresScratchBytes = byteCount("rookery_sum_of_squares_scratch_bytes", { count: "size" });

/** result f32 [1] = Σ values² over values f32 [count]; `accumulate` 1 adds it to what result holds. */
export const sumOfSquares = kernel("rookery_sum_of_squares", {
  pool: "memory",
  values: "memory",
  count: "size",
  result: "memory",
  accumulate: "int",
  scratch: "memory",
});

/**
 * One step of AdamW with decoupled decay (Loshchilov and Hutter, 2019). weight, v f32 [count] and m `mDtype` [count], in
 * place; a bf16 m is rounded to nearest even after the step has used it. gradient f32 [count], multiplied by gradientScale
 * first (clipping). biasCorrection1 = 1 − beta1^step and biasCorrection2 = 1 − beta2^step must be positive.
 */
export const adamw = kernel("rookery_adamw", {
  pool: "memory",
  weight: "memory",
  gradient: "memory",
  mDtype: "int",
  m: "memory",
  v: "memory",
  count: "size",
  learningRate: "float",
  beta1: "float",
  beta2: "float",
  eps: "float",
  decay: "float",
  biasCorrection1: "float",
  biasCorrection2: "float",
  gradientScale: "float",
});

/** destination = source · scale, or with `accumulate` 1 destination += source · scale; [count], each of its own dtype. */
export const axpy = kernel("rookery_axpy", {
  pool: "memory",
  sourceDtype: "int",
  source: "memory",
  destinationDtype: "int",
  destination: "memory",
  count: "size",
  scale: "float",
  accumulate: "int",
});
