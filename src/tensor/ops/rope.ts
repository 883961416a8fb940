/** Rotary positions on each head, with the per-head norm of queries and keys behind them. */
import { ropeNormBackward, ropeNormBackwardScratchBytes, ropeNormForward } from "../../kernels/bindings/norm.ts";
import type { Execution } from "../execution.ts";
import type { Parameter } from "../parameter.ts";
import type { Tensor } from "../tensor.ts";

/** cos and sin of the angles, f32 [positions, headDim / 2]. */
export type RotaryTable = { cosine: Tensor; sine: Tensor };

export type RopeNormOptions = {
  heads: number;
  /** int32 [rows] */
  positions: Tensor;
  table: RotaryTable;
  /** Divide each head by its rms after turning it (the official order: RoPE first, then QK-norm). */
  normalize: boolean;
  eps: number;
  /** Weights [headDim] to multiply by, both if two are given: a query takes its own norm's weight and its layer's key norm's. */
  weights?: Parameter[];
};

/** y = RoPE(x) [/ rms] [· weights], head by head. x [rows, heads · headDim] → [rows, heads · headDim]. */
export function ropeNorm(execution: Execution, x: Tensor, options: RopeNormOptions): Tensor {
  const { tape, arena, pool } = execution;
  const { heads, positions, normalize, eps } = options;
  const [weightA, weightB] = options.weights ?? [];
  const rows = x.size(0);
  const headDim = x.size(1) / heads;
  const y = arena.tensor(x.dtype, rows, heads * headDim);
  const inverseRms = tape && normalize ? arena.tensor("f32", rows, heads) : null;
  const shared = {
    pool,
    dtype: x.dtypeCode,
    x,
    positions,
    cosine: options.table.cosine,
    sine: options.table.sine,
    tableRows: options.table.cosine.size(0),
    weightA: weightA?.weight ?? null,
    weightB: weightB?.weight ?? null,
    inverseRms,
    rows,
    heads,
    headDim,
    normalize: normalize ? 1 : 0,
  };
  ropeNormForward({ ...shared, y, eps });
  // RoPE alone is linear, and its way back does not look at x
  const needed = normalize || weightA || weightB ? x : null;
  tape?.record([needed, positions, inverseRms, options.table.cosine, options.table.sine], () => {
    using dy = tape.take(y);
    if (!dy) return;
    const dx = tape.gradientOf(x);
    using scratch = arena.scratch(ropeNormBackwardScratchBytes({ rows, headDim }));
    ropeNormBackward({
      ...shared,
      x: needed ?? dy.tensor,
      dy: dy.tensor,
      dx: dx.tensor,
      weightAGradient: weightA?.gradientToAddTo() ?? null,
      weightBGradient: weightB?.gradientToAddTo() ?? null,
      accumulate: dx.accumulate,
      scratch: scratch.tensor,
    });
  });
  return y;
}
