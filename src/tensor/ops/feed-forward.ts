/** y = residual + (silu(x Wgᵀ) · x Wuᵀ) Wdᵀ: a SwiGLU expert, or several, each on its own rows. */
import { swigluBackward } from "../../kernels/bindings/moe.ts";
import type { Execution } from "../execution.ts";
import type { Parameter } from "../parameter.ts";
import type { Tensor } from "../tensor.ts";
import { add } from "./linear.ts";
import { addWeightGradient, multiply } from "./product.ts";

/** Gate above up, [2 · width, in] or [groups, 2 · width, in]; and down, [out, width] or [groups, out, width]. */
export type FeedForwardWeights = { gateUp: Parameter; down: Parameter };

/**
 * SwiGLU (Shazeer, 2020) between two products. x [rows, in]; with offsets int32 [groups + 1] the rows [offsets[g], offsets[g + 1])
 * take matrices g, and rows after the last offset stay unwritten. residual, if given, is shaped as y.
 * The activation is made while the first product's sums are at hand, and is not kept: the way back passes over gate and up
 * anyway, and makes it again on the way.
 * @returns [rows, out] in x's dtype.
 */
export function feedForward(
  execution: Execution,
  x: Tensor,
  { gateUp, down }: FeedForwardWeights,
  { residual = null, offsets = null }: { residual?: Tensor | null; offsets?: Tensor | null } = {},
): Tensor {
  const { tape, arena, pool } = execution;
  const [rows, width, dtype] = [x.size(0), down.in, x.dtype];
  const y = arena.tensor(dtype, rows, down.out);
  const gateAndUp = arena.tensor(dtype, rows, gateUp.out);
  {
    using activation = arena.borrow(dtype, rows, width);
    multiply(execution, "forward", x, gateUp, gateAndUp, { offsets, gated: activation.tensor });
    multiply(execution, "forward", activation.tensor, down, y, { addend: residual, offsets });
  }
  tape?.record([x, gateAndUp, offsets], () => {
    const dy = tape.take(y);
    if (!dy) return;
    using dGateAndUp = arena.borrow(dtype, rows, gateUp.out);
    {
      using hidden = arena.borrow(dtype, rows, width);
      multiply(execution, "backward", dy.tensor, down, hidden.tensor, { offsets });
      const rowsLimit = offsets?.rows(offsets.size(0) - 1, 1) ?? null;
      const shared = { pool, dtype: x.dtypeCode, gateUp: gateAndUp, rows, width, rowsLimit };
      // the activation takes the place of its gradient, which has been used by then
      swigluBackward({ ...shared, dh: hidden.tensor, dgateUp: dGateAndUp.tensor, h: hidden.tensor });
      addWeightGradient(execution, dy.tensor, hidden.tensor, down, offsets);
    }
    if (residual) tape.pass(residual, dy, (from, to) => add(execution, from, to));
    else dy[Symbol.dispose]();
    const dx = tape.gradientOf(x);
    const addend = dx.accumulate ? dx.tensor : null;
    multiply(execution, "backward", dGateAndUp.tensor, gateUp, dx.tensor, { addend, offsets });
    addWeightGradient(execution, dGateAndUp.tensor, x, gateUp, offsets);
  });
  return y;
}
