/** The language-model head and its loss as one op: the logits of a batch are never there as a whole. */
import { crossEntropy } from "../../kernels/bindings/loss.ts";
import type { Execution } from "../execution.ts";
import type { Parameter } from "../parameter.ts";
import type { Tensor } from "../tensor.ts";
import { add } from "./linear.ts";
import { addWeightGradient, packWeight, product } from "./product.ts";

const logitsBytesPerChunk = 4 << 20;
const cachedGradientBytes = 8 << 20;
const leastRowsPastCache = 512;

/**
 * Rows of logits that are there at once. Each chunk goes through the whole gradient of the head: where that no longer stays
 * in a cache, it takes more rows to make up for it.
 */
function rowsPerChunk(rows: number, { out: vocabulary, weight }: Parameter): number {
  const byMemory = Math.floor(logitsBytesPerChunk / (4 * vocabulary * 32)) * 32;
  const least = weight.byteLength > cachedGradientBytes ? leastRowsPastCache : 32;
  return Math.min(rows, Math.max(least, byMemory));
}

/**
 * Cross-entropy of x Wᵀ against the next tokens, in chunks of rows. x [rows, hidden], W [vocabulary, hidden], targets int32
 * [rows], −1 for rows that do not count. While recording, the gradients of Σ scale · rowScale · loss are made at once, chunk by
 * chunk, since nothing after a loss can change them. @param rowScales f32 [rows]; null for 1 everywhere.
 * @returns losses f32 [rows] in nats, 0 where the target is −1.
 */
export function linearCrossEntropy(
  execution: Execution,
  x: Tensor,
  weight: Parameter,
  targets: Tensor,
  scale: number,
  rowScales: Tensor | null = null,
): Tensor {
  const { tape, arena, pool } = execution;
  const vocabulary = weight.out;
  const rows = x.size(0);
  const losses = arena.tensor("f32", rows);
  const chunkRows = rowsPerChunk(rows, weight);
  using logits = arena.borrow("f32", chunkRows, vocabulary);
  using dlogits = tape ? arena.borrow(x.dtype, chunkRows, vocabulary) : undefined;
  const dx = tape ? arena.borrow(x.dtype, rows, weight.in) : undefined;
  using forward = packWeight(execution, weight, "forward", x.dtypeCode);
  using backward = tape ? packWeight(execution, weight, "backward", x.dtypeCode) : undefined;
  for (let start = 0; start < rows; start += chunkRows) {
    const count = Math.min(chunkRows, rows - start);
    const xChunk = x.rows(start, count);
    const logitsChunk = logits.tensor.rows(0, count);
    const dlogitsChunk = dlogits?.tensor.rows(0, count) ?? null;
    product(execution, xChunk, forward, logitsChunk);
    crossEntropy({
      pool,
      dtype: x.dtypeCode,
      logits: logitsChunk,
      targets: targets.rows(start, count),
      losses: losses.rows(start, count),
      dlogits: dlogitsChunk,
      rows: count,
      vocabulary,
      scale,
      rowScales: rowScales?.rows(start, count) ?? null,
    });
    if (dx && backward && dlogitsChunk) {
      product(execution, dlogitsChunk, backward, dx.tensor.rows(start, count));
      addWeightGradient(execution, dlogitsChunk, xChunk, weight, null);
    }
  }
  if (tape && dx) tape.record([], () => tape.pass(x, dx, (from, to) => add(execution, from, to)));
  return losses;
}
