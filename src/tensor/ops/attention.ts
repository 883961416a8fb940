/** Causal attention of packed sequences; the kernels go by blocks of keys, and skip what a sequence does not see. */
import {
  attentionBackward,
  attentionBackwardScratchBytes,
  attentionForward,
  attentionForwardScratchBytes,
} from "../../kernels/bindings/attention.ts";
import type { Execution } from "../execution.ts";
import type { Tensor } from "../tensor.ts";
import { type Dropout, dropoutArguments } from "./dropout.ts";

export type AttentionShape = { heads: number; keyValueHeads: number; headDim: number };

/**
 * softmax(q kᵀ / √headDim) v within each sequence. q [queryRows, heads · headDim], k and v [keyRows, keyValueHeads · headDim];
 * query head h reads KV head ⌊h / (heads / keyValueHeads)⌋ (Ainslie et al., 2023).
 * @param sequences int32 [count, 4] = {query row, queries, key row, keys}; the i-th query stands at position keys − queries + i.
 * Rows of no sequence stay unwritten, both ways. @param dropout of the probabilities.
 * @returns [queryRows, heads · headDim].
 */
export function attention(
  execution: Execution,
  q: Tensor,
  k: Tensor,
  v: Tensor,
  sequences: Tensor,
  shape: AttentionShape,
  dropout?: Dropout,
): Tensor {
  const { tape, arena, pool } = execution;
  const out = arena.tensor(q.dtype, ...q.shape);
  const logSumExp = tape ? arena.tensor("f32", q.size(0), shape.heads) : null;
  const sizes = {
    dtype: q.dtypeCode,
    queryRows: q.size(0),
    keyRows: k.size(0),
    heads: shape.heads,
    kvHeads: shape.keyValueHeads,
    headDim: shape.headDim,
    count: sequences.size(0),
    ...dropoutArguments(dropout),
  };
  const { dtype, headDim, count } = sizes;
  const scale = 1 / Math.sqrt(headDim);
  const threads = pool.threads;
  using forwardScratch = arena.scratch(attentionForwardScratchBytes({ dtype, headDim, count, threads }));
  attentionForward({ pool, q, k, v, sequences, out, logSumExp, scale, scratch: forwardScratch.tensor, ...sizes });
  tape?.record([q, k, v, out, logSumExp, sequences], () => {
    using dout = tape.take(out);
    if (!dout) return;
    const dq = tape.gradientOf(q);
    const dk = tape.gradientOf(k);
    const dv = tape.gradientOf(v);
    // The kernel has one switch for both: if only one of them has had a consumer, the other starts from zero.
    if (dk.accumulate !== dv.accumulate) (dk.accumulate ? dv : dk).tensor.zero();
    using scratch = arena.scratch(attentionBackwardScratchBytes({ ...sizes, threads }));
    attentionBackward({
      pool,
      dout: dout.tensor,
      q,
      k,
      v,
      out,
      logSumExp,
      sequences,
      dq: dq.tensor,
      dk: dk.tensor,
      dv: dv.tensor,
      scale,
      accumulate: dq.accumulate,
      accumulateKv: dk.accumulate || dv.accumulate,
      scratch: scratch.tensor,
      ...sizes,
    });
  });
  return out;
}
