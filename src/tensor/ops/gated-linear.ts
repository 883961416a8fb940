import { swigluBackward, swigluForward } from "../../kernels/bindings/moe.ts";
import type { Execution } from "../execution.ts";
import type { Parameter } from "../parameter.ts";
import type { Tensor } from "../tensor.ts";
import { add } from "./linear.ts";
import { addWeightGradient, multiply } from "./product.ts";

/**
 * y = residual + (silu(gate) · up) Wᵀ, the lower half of a SwiGLU expert (Shazeer, 2020). gateUp [rows, 2 · width]: the gate's
 * columns, then the up projection's; W [out, width] or, with offsets, [groups, out, width], as `linear` takes them.
 * What lies between is not kept: the way back passes over gateUp anyway, and makes it again on the way.
 * @returns [rows, out].
 */
export function gatedLinear(
  execution: Execution,
  gateUp: Tensor,
  weight: Parameter,
  { residual = null, offsets = null }: { residual?: Tensor | null; offsets?: Tensor | null } = {},
): Tensor {
  const { tape, arena, pool } = execution;
  const [rows, width, dtype] = [gateUp.size(0), weight.in, gateUp.dtype];
  const rowsLimit = offsets?.rows(offsets.size(0) - 1, 1) ?? null;
  const shared = { pool, dtype: gateUp.dtypeCode, gateUp, rows, width, rowsLimit };
  const y = arena.tensor(dtype, rows, weight.out);
  {
    using h = arena.borrow(dtype, rows, width);
    swigluForward({ ...shared, h: h.tensor });
    multiply(execution, "forward", h.tensor, weight, y, residual, offsets);
  }
  tape?.record([gateUp, offsets], () => {
    const dy = tape.take(y);
    if (!dy) return;
    using hidden = arena.borrow(dtype, rows, width);
    multiply(execution, "backward", dy.tensor, weight, hidden.tensor, null, offsets);
    {
      using dgateUp = tape.overwritableGradientOf(gateUp, (from, to) => add(execution, from, to));
      // the activation takes the place of its gradient, which has been used by then
      swigluBackward({ ...shared, dh: hidden.tensor, dgateUp: dgateUp.tensor, h: hidden.tensor });
    }
    addWeightGradient(execution, dy.tensor, hidden.tensor, weight, offsets);
    if (residual) tape.pass(residual, dy, (from, to) => add(execution, from, to));
    else dy[Symbol.dispose]();
  });
  return y;
}
