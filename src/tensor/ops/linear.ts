/** y = residual + x Wᵀ. */
import { axpy } from "../../kernels/bindings/optim.ts";
import type { Execution } from "../execution.ts";
import type { Parameter } from "../parameter.ts";
import type { Tensor } from "../tensor.ts";
import { addWeightGradient, multiply } from "./product.ts";

/**
 * y[r] = residual[r] + x[r] Wᵀ. x [rows, in], W [out, in]; residual, if given, is shaped as y.
 * @param offsets int32 [groups + 1] for W [groups, out, in]: the rows [offsets[g], offsets[g + 1]) take matrix g, and rows
 * after the last offset stay unwritten. A matrix with an adapter adds its scale · (x downᵀ) upᵀ.
 * @returns [rows, out] in x's dtype.
 */
export function linear(
  execution: Execution,
  x: Tensor,
  weight: Parameter,
  { residual = null, offsets = null }: { residual?: Tensor | null; offsets?: Tensor | null } = {},
): Tensor {
  const { tape } = execution;
  const y = execution.arena.tensor(x.dtype, x.size(0), weight.out);
  multiply(execution, "forward", x, weight, y, { addend: residual, offsets });
  tape?.record([x, offsets], () => {
    const dy = tape.take(y);
    if (!dy) return;
    const dx = tape.gradientOf(x);
    multiply(execution, "backward", dy.tensor, weight, dx.tensor, {
      addend: dx.accumulate ? dx.tensor : null,
      offsets,
    });
    addWeightGradient(execution, dy.tensor, x, weight, offsets);
    if (residual) tape.pass(residual, dy, (from, to) => add(execution, from, to));
    else dy[Symbol.dispose]();
  });
  if (!weight.adapter) return y;
  const { down, up, scale } = weight.adapter;
  return linear(execution, multiplied(execution, linear(execution, x, down), scale), up, { residual: y });
}

/** scale · x. */
function multiplied(execution: Execution, x: Tensor, scale: number): Tensor {
  const { tape, arena, pool } = execution;
  const y = arena.tensor(x.dtype, ...x.shape);
  const shared = { pool, sourceDtype: x.dtypeCode, destinationDtype: x.dtypeCode, count: x.elements, scale };
  axpy({ ...shared, source: x, destination: y, accumulate: 0 });
  tape?.record([], () => {
    using dy = tape.take(y);
    if (!dy) return;
    const dx = tape.gradientOf(x);
    axpy({ ...shared, source: dy.tensor, destination: dx.tensor, accumulate: dx.accumulate });
  });
  return y;
}

/** Logits f32 [rows, vocabulary] = x Wᵀ, for choosing tokens: nothing is recorded. */
export function logits(execution: Execution, x: Tensor, weight: Parameter): Tensor {
  const y = execution.arena.tensor("f32", x.size(0), weight.out);
  multiply(execution, "forward", x, weight, y);
  return y;
}

/** to += from, elementwise. */
export function add(execution: Execution, from: Tensor, to: Tensor): void {
  axpy({
    pool: execution.pool,
    sourceDtype: from.dtypeCode,
    source: from,
    destinationDtype: to.dtypeCode,
    destination: to,
    count: from.elements,
    scale: 1,
    accumulate: 1,
  });
}
