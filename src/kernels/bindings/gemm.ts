import { byteCount, kernel } from "./declare.ts";

/** Bytes of a weight [groups, out, in] packed for one direction. */
export const packBytes = byteCount("rookery_pack_bytes", {
  dtype: "int",
  groups: "size",
  out: "size",
  in: "size",
  transpose: "int",
});

/** Packs a weight f32 [groups, out, in] for y = x Wᵀ (transpose 0) or dx = dy W (transpose 1). */
export const pack = kernel("rookery_pack", {
  pool: "memory",
  dtype: "int",
  weight: "memory",
  packed: "memory",
  groups: "size",
  out: "size",
  in: "size",
  transpose: "int",
});

/**
 * c[r] = addend[r] + a[r] B_g for the rows r of group g: a [rows, inner] `dtype`, packed B [groups, inner, columns],
 * c and addend [rows, columns] `cDtype`, offsets int32 [groups + 1] or null for one group. addend may be c.
 * gated, if not null: [rows, columns / 2] = silu(left half of c) · its right half; then cDtype is dtype and addend null.
 */
export const matmul = kernel("rookery_matmul", {
  pool: "memory",
  dtype: "int",
  a: "memory",
  packed: "memory",
  addend: "memory",
  c: "memory",
  cDtype: "int",
  gated: "memory",
  rows: "size",
  inner: "size",
  columns: "size",
  groups: "size",
  offsets: "memory",
});

export const matmulPackingScratchBytes = byteCount("rookery_matmul_packing_scratch_bytes", {
  dtype: "int",
  inner: "size",
  columns: "size",
  groups: "size",
  isGated: "int",
  threads: "int",
});

/** `matmul` with a weight f32 [groups, out, in] that is packed on the way; transpose as in `pack`. */
export const matmulPacking = kernel("rookery_matmul_packing", {
  pool: "memory",
  dtype: "int",
  a: "memory",
  weight: "memory",
  transpose: "int",
  addend: "memory",
  c: "memory",
  cDtype: "int",
  gated: "memory",
  rows: "size",
  inner: "size",
  columns: "size",
  groups: "size",
  offsets: "memory",
  scratch: "memory",
});

export const weightGradientScratchBytes = byteCount("rookery_weight_gradient_scratch_bytes", {
  dtype: "int",
  rows: "size",
  out: "size",
  in: "size",
  groups: "size",
});

/**
 * weightGradient f32 [groups, out, in] (+)= Σ over a group's rows of dyᵀ x; dy [rows, out], x [rows, in] `dtype`.
 * squares f32 [1], if not null, = the sum of squares of the whole gradient as it then is.
 */
export const weightGradient = kernel("rookery_weight_gradient", {
  pool: "memory",
  dtype: "int",
  dy: "memory",
  x: "memory",
  weightGradient: "memory",
  rows: "size",
  out: "size",
  in: "size",
  groups: "size",
  offsets: "memory",
  accumulate: "int",
  squares: "memory",
  scratch: "memory",
});
