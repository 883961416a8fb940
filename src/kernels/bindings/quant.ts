import { byteCount, kernel } from "./declare.ts";

/** How the codes of a small weight are read. */
export const quantCodes = { fp8: 0, int8: 1, int4: 2 } as const;
export type QuantFormat = keyof typeof quantCodes;

const weight = { groups: "size", out: "size", in: "size", segment: "size" } as const;

/** Bytes of a weight [groups, out, in] of codes with its scales, one for every `segment` of a row. */
export const quantBytes = byteCount("rookery_quant_bytes", { format: "int", ...weight });

/**
 * Packs rows [firstRow, firstRow + rows) of matrix `group`: codes as files have them (fp8 bytes; int8 bytes + 128; int4 nibbles + 8, the
 * first in the low half), scales f32 [rows, in / segment].
 */
export const quantPack = kernel("rookery_quant_pack", {
  pool: "memory",
  format: "int",
  codes: "memory",
  scales: "memory",
  packed: "memory",
  ...weight,
  group: "size",
  firstRow: "size",
  rows: "size",
});

export const quantMatmulScratchBytes = byteCount("rookery_quant_matmul_scratch_bytes", {
  format: "int",
  dtype: "int",
  rows: "size",
  inner: "size",
  columns: "size",
  groups: "size",
  segment: "size",
  rounds: "int",
  threads: "int",
});

/**
 * `matmul` with a weight that `quantPack` filled. rounds 1 rounds the rows of a to FP8 first, each by a scale of its own, or by
 * activationScales f32 [groups] if not null.
 */
export const quantMatmul = kernel("rookery_quant_matmul", {
  pool: "memory",
  format: "int",
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
  segment: "size",
  rounds: "int",
  activationScales: "memory",
  offsets: "memory",
  scratch: "memory",
});

/** factor U f32 [n, n], upper triangular with (H + damping · mean(diag H))⁻¹ = Uᵀ U; hessian H f32 [n, n] is overwritten. */
export const gptqFactor = kernel("rookery_gptq_factor", {
  pool: "memory",
  hessian: "memory",
  factor: "memory",
  n: "size",
  damping: "float",
});

/**
 * Rounds weight f32 [rows, n] to int4 codes and scales f32 [rows, n / segment]. With a factor errors are made up for, and the weight is
 * overwritten; with null each weight goes to the nearest code.
 */
export const gptqRound = kernel("rookery_gptq_round", {
  pool: "memory",
  weight: "memory",
  factor: "memory",
  codes: "memory",
  scales: "memory",
  rows: "size",
  n: "size",
  segment: "size",
});
