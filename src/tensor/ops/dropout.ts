/** Dropout (Srivastava et al., 2014): the mask is a function of its name, so that the way back, and recomputation, make it again. */
import type { StreamKeys } from "../../base/random.ts";
import { dropout as dropoutKernel } from "../../kernels/bindings/loss.ts";
import type { Execution } from "../execution.ts";
import type { Tensor } from "../tensor.ts";
import { add } from "./linear.ts";

/** Elements are dropped with probability `rate`, below 1, by the random numbers that `keys` name; the others grow by 1 / (1 − rate). */
export type Dropout = { rate: number; keys: StreamKeys };

/** What the kernels take: hashes below the threshold, a uint32 in int32, are dropped. */
export function dropoutArguments(dropout: Dropout | undefined) {
  const { rate, keys } = dropout ?? { rate: 0, keys: [0, 0] as const };
  return {
    dropoutThreshold: Math.round(rate * 2 ** 32) | 0,
    dropoutScale: 1 / (1 - rate),
    key0: keys[0] | 0,
    key1: keys[1] | 0,
  };
}

/** residual + x with elements dropped. x and residual [any, alike], in the compute type. */
export function dropout(execution: Execution, x: Tensor, residual: Tensor, settings: Dropout): Tensor {
  const { tape, arena, pool } = execution;
  const y = arena.tensor(x.dtype, ...x.shape);
  const { dropoutThreshold: threshold, dropoutScale: scale, key0, key1 } = dropoutArguments(settings);
  const shared = { pool, dtype: x.dtypeCode, count: x.elements, threshold, scale, key0, key1 };
  dropoutKernel({ ...shared, x, addend: residual, y });
  tape?.record([], () => {
    const dy = tape.take(y);
    if (!dy) return;
    const dx = tape.gradientOf(x);
    dropoutKernel({ ...shared, x: dy.tensor, addend: dx.accumulate ? dx.tensor : null, y: dx.tensor });
    tape.pass(residual, dy, (from, to) => add(execution, from, to));
  });
  return y;
}
