/** A part of the model whose activations are made again on the way back, instead of being kept (Chen et al., 2016). */
import type { Execution } from "../execution.ts";
import type { Tensor } from "../tensor.ts";
import { add } from "./linear.ts";

/**
 * What `body` answers. While recording, only x and `out` stay: going backward, `body` runs once more, this time recorded,
 * and gives the same bits, since nothing in it depends on when it runs.
 * @param body of the activations of the step it reads x alone.
 * @param report tensors of the first run that live on besides `out`.
 */
export function recompute<Result extends { out: Tensor }>(
  execution: Execution,
  x: Tensor,
  body: () => Result,
  report: (result: Result) => readonly Tensor[],
): Result {
  const { arena, tape } = execution;
  const result = execution.unrecorded(() => arena.scope(body, (made) => [made.out, ...report(made)]));
  tape?.record([x], () => {
    const dout = tape.take(result.out);
    if (!dout) return;
    const { result: again, tape: inner } = execution.record(() => {
      // recorded first, it runs last: the gradient of x is then whole
      execution.tape?.record([], () => {
        const dx = inner.take(x);
        if (dx) tape.pass(x, dx, (from, to) => add(execution, from, to));
      });
      return arena.scope(body, () => []);
    });
    inner.pass(again.out, dout, (from, to) => add(execution, from, to));
    inner.runBackward();
  });
  return result;
}
