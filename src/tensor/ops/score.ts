/** A scalar head with its loss as one op, for models that judge texts. */
import type { Execution } from "../execution.ts";
import type { Parameter } from "../parameter.ts";
import type { Tensor } from "../tensor.ts";
import { add } from "./linear.ts";
import { addWeightGradient, multiply } from "./product.ts";

/**
 * Scores [rows] = x wᵀ in f32; x [rows, hidden], w [1, hidden]. While recording, `gradientOf` is asked for the gradients of the
 * scores, and those of x and w are made from them: rounded to the compute type, as all gradients of activations are.
 */
export function score(
  execution: Execution,
  x: Tensor,
  weight: Parameter,
  gradientOf: (scores: Float32Array) => Float32Array,
): Float32Array {
  const { tape, arena } = execution;
  const rows = x.size(0);
  using scores = arena.borrow("f32", rows, 1);
  multiply(execution, "forward", x, weight, scores.tensor);
  const values = scores.tensor.toFloat32Array();
  if (!tape) return values;
  using dscores = arena.borrow(x.dtype, rows, 1);
  dscores.tensor.setFloats(gradientOf(values));
  const dx = arena.borrow(x.dtype, ...x.shape);
  multiply(execution, "backward", dscores.tensor, weight, dx.tensor);
  addWeightGradient(execution, dscores.tensor, x, weight, null);
  tape.record([], () => tape.pass(x, dx, (from, to) => add(execution, from, to)));
  return values;
}
