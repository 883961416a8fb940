/** The three products of a weight that ops are made of: forward, input gradient, weight gradient. */
import { matmul, weightGradient, weightGradientScratchBytes } from "../../kernels/bindings/gemm.ts";
import type { Execution } from "../execution.ts";
import type { Parameter } from "../parameter.ts";
import type { Tensor } from "../tensor.ts";

/** c = addend + a Wᵀ ("forward": a [rows, in]) or addend + a W ("backward": a [rows, out]); offsets int32 [groups + 1] or null. */
export function product(
  execution: Execution,
  direction: "forward" | "backward",
  a: Tensor,
  weight: Parameter,
  c: Tensor,
  addend: Tensor | null,
  offsets: Tensor | null,
): void {
  matmul({
    pool: execution.pool,
    dtype: a.dtypeCode,
    a,
    packed: weight.packed(direction),
    addend,
    c,
    cDtype: c.dtypeCode,
    rows: a.size(0),
    inner: direction === "forward" ? weight.in : weight.out,
    columns: direction === "forward" ? weight.out : weight.in,
    groups: weight.groups,
    offsets,
  });
}

/** The weight's gradient += dyᵀ x, group by group. */
export function addWeightGradient(
  execution: Execution,
  dy: Tensor,
  x: Tensor,
  weight: Parameter,
  offsets: Tensor | null,
): void {
  const size = { dtype: x.dtypeCode, rows: x.size(0), out: weight.out, in: weight.in, groups: weight.groups };
  using scratch = execution.arena.scratch(weightGradientScratchBytes(size));
  weightGradient({
    pool: execution.pool,
    dy,
    x,
    weightGradient: weight.gradient,
    offsets,
    accumulate: weight.accumulateGradient(),
    scratch: scratch.tensor,
    ...size,
  });
}
