/** RMSNorm, and RoPE with the norm of a head behind it. `pool` null is the calling thread alone. */
import { byteCount, kernel } from "./declare.ts";

/**
 * y[r] = x[r] / rms(x[r]) · weight. x, y `dtype` [rows, columns], weight f32 [columns];
 * inverseRms f32 [rows] is kept for the way back, null where nobody needs it.
 */
export const rmsnormForward = kernel("rookery_rmsnorm_forward", {
  pool: "memory",
  dtype: "int",
  x: "memory",
  weight: "memory",
  y: "memory",
  inverseRms: "memory",
  rows: "size",
  columns: "size",
  eps: "float",
});

export const rmsnormBackwardScratchBytes = byteCount("rookery_rmsnorm_backward_scratch_bytes", {
  rows: "size",
  columns: "size",
});

/** dx `dtype` [rows, columns] (+)=, weightGradient f32 [columns] +=. x and inverseRms are the forward's. */
export const rmsnormBackward = kernel("rookery_rmsnorm_backward", {
  pool: "memory",
  dtype: "int",
  dy: "memory",
  x: "memory",
  weight: "memory",
  inverseRms: "memory",
  dx: "memory",
  weightGradient: "memory",
  rows: "size",
  columns: "size",
  accumulate: "int",
  scratch: "memory",
});

/**
 * Turns each head of x by the angles of its row's position (rotate-half), divides it by its rms if `normalize`, and
 * multiplies by weightA and weightB (f32 [headDim], null for ones). x, y `dtype` [rows, heads, headDim], headDim even;
 * positions int32 [rows], rows of cosine and sine f32 [tableRows, headDim / 2]; inverseRms f32 [rows, heads], null where
 * nobody needs it or without `normalize`.
 */
export const ropeNormForward = kernel("rookery_rope_norm_forward", {
  pool: "memory",
  dtype: "int",
  x: "memory",
  positions: "memory",
  cosine: "memory",
  sine: "memory",
  tableRows: "size",
  weightA: "memory",
  weightB: "memory",
  y: "memory",
  inverseRms: "memory",
  rows: "size",
  heads: "size",
  headDim: "size",
  normalize: "int",
  eps: "float",
});

export const ropeNormBackwardScratchBytes = byteCount("rookery_rope_norm_backward_scratch_bytes", {
  rows: "size",
  headDim: "size",
});

/**
 * dx `dtype` [rows, heads, headDim] (+)=; weightAGradient and weightBGradient f32 [headDim] +=, null where the gradient
 * is not wanted or the weight is null. x and inverseRms are the forward's.
 */
export const ropeNormBackward = kernel("rookery_rope_norm_backward", {
  pool: "memory",
  dtype: "int",
  dy: "memory",
  x: "memory",
  positions: "memory",
  cosine: "memory",
  sine: "memory",
  tableRows: "size",
  weightA: "memory",
  weightB: "memory",
  inverseRms: "memory",
  dx: "memory",
  weightAGradient: "memory",
  weightBGradient: "memory",
  rows: "size",
  heads: "size",
  headDim: "size",
  normalize: "int",
  accumulate: "int",
  scratch: "memory",
});
