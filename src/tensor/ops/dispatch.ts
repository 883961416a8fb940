/** Tokens to their experts and back: rows sorted by expert, and their weighted sums. Between the two stands feed-forward.ts. */
import { combineBackward, combineForward, dispatchBackward, dispatchForward } from "../../kernels/bindings/moe.ts";
import type { Execution } from "../execution.ts";
import type { Tensor } from "../tensor.ts";
import { add } from "./linear.ts";
import type { Routing } from "./router.ts";

/** Rows of x [tokens, columns] sorted by expert → [tokens · topK, columns]; rows after the last offset stay unwritten. */
export function dispatch(execution: Execution, x: Tensor, routing: Routing): Tensor {
  const { tape, arena, pool } = execution;
  const { topK: k, slotAt, offsets, rowOf } = routing;
  const [tokens, columns] = [x.size(0), x.size(1)];
  const rows = arena.tensor(x.dtype, tokens * k, columns);
  const rowCount = offsets.rows(offsets.size(0) - 1, 1);
  const dtype = x.dtypeCode;
  dispatchForward({ pool, dtype, x, slotAt, rowCount, rows, tokens, columns, k });
  tape?.record([rowOf, offsets], () => {
    using drows = tape.take(rows);
    if (!drows) return;
    const dx = tape.gradientOf(x);
    const { accumulate } = dx;
    dispatchBackward({ pool, dtype, drows: drows.tensor, rowOf, dx: dx.tensor, tokens, columns, k, accumulate });
  });
  return rows;
}

/** Row r of the result is row `which[r]` of x [tokens, columns]; which int32 [rows]. For reading only: nothing is recorded. */
export function gatherRows({ arena, pool }: Execution, x: Tensor, which: Tensor): Tensor {
  const [count, columns] = [which.elements, x.size(1)];
  const rows = arena.tensor(x.dtype, count, columns);
  const rowCount = arena.integers(Int32Array.of(count));
  dispatchForward({ pool, dtype: x.dtypeCode, x, slotAt: which, rowCount, rows, tokens: count, columns, k: 1 });
  return rows;
}

/** out[t] = base[t] + Σ over the slots of t of gate · rows[row of the slot]. base, out [tokens, columns], rows as dispatch's. */
export function combine(execution: Execution, base: Tensor, rows: Tensor, routing: Routing): Tensor {
  const { tape, arena, pool } = execution;
  const { topK: k, rowOf, gates } = routing;
  const [tokens, columns] = [base.size(0), base.size(1)];
  const out = arena.tensor(base.dtype, tokens, columns);
  const shared = { pool, dtype: base.dtypeCode, rows, rowOf, gates, tokens, columns, k };
  combineForward({ ...shared, base, out });
  tape?.record([rows, rowOf, gates], () => {
    const dout = tape.take(out);
    if (!dout) return;
    const addTo = (from: Tensor, to: Tensor) => add(execution, from, to);
    using drows = tape.overwritableGradientOf(rows, addTo);
    using dgates = tape.overwritableGradientOf(gates, addTo);
    combineBackward({ ...shared, dout: dout.tensor, drows: drows.tensor, dgates: dgates.tensor });
    tape.pass(base, dout, addTo);
  });
  return out;
}
