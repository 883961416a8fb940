import { rmsnormBackward, rmsnormBackwardScratchBytes, rmsnormForward } from "../../kernels/bindings/norm.ts";
import type { Execution } from "../execution.ts";
import type { Parameter } from "../parameter.ts";
import type { Tensor } from "../tensor.ts";

/** y[r] = x[r] / √(mean x[r]² + eps) · weight. x [rows, columns], weight [columns] (Zhang and Sennrich, 2019). */
export function rmsnorm(execution: Execution, x: Tensor, weight: Parameter, eps: number): Tensor {
  const { tape, arena, pool } = execution;
  const [rows, columns] = [x.size(0), x.size(1)];
  const y = arena.tensor(x.dtype, rows, columns);
  const inverseRms = tape ? arena.tensor("f32", rows) : null;
  rmsnormForward({ pool, dtype: x.dtypeCode, x, weight: weight.weight, y, inverseRms, rows, columns, eps });
  tape?.record([x, inverseRms], () => {
    using dy = tape.take(y);
    if (!dy) return;
    const dx = tape.gradientOf(x);
    using scratch = arena.scratch(rmsnormBackwardScratchBytes({ rows, columns }));
    rmsnormBackward({
      pool,
      dtype: x.dtypeCode,
      dy: dy.tensor,
      x,
      weight: weight.weight,
      inverseRms,
      dx: dx.tensor,
      weightGradient: weight.gradientToAddTo(),
      rows,
      columns,
      accumulate: dx.accumulate,
      scratch: scratch.tensor,
    });
  });
  return y;
}
