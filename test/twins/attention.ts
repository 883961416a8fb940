/** Slow f64 twins of attention.c. */
import { fmix32, hash32 } from "../../src/base/random.ts";
import type { Dropout } from "../../src/tensor/ops/dropout.ts";

export type Sequence = { queryRow: number; queries: number; keyRow: number; keys: number };
export type AttentionShape = {
  heads: number;
  kvHeads: number;
  headDim: number;
  scale: number;
  sequences: Sequence[];
  dropout?: Dropout;
};
type Inputs = { q: Float64Array; k: Float64Array; v: Float64Array };

/** What the probability of `key` is multiplied by, for the head vector that starts at `at`. */
function keptFactor({ dropout, headDim }: AttentionShape, at: number, key: number): number {
  if (!dropout) return 1;
  const stream = hash32(dropout.keys, at / headDim);
  const isDropped = fmix32((stream + Math.imul(key, 0x9e3779b1)) | 0) < Math.round(dropout.rate * 2 ** 32);
  return isDropped ? 0 : 1 / (1 - dropout.rate);
}

/** Calls `visit` for each query and head with where its vector starts, where its keys' vectors start, and the probabilities. */
function eachQuery(
  { q, k }: Inputs,
  shape: AttentionShape,
  visit: (at: number, keysAt: number[], probabilities: number[], logSumExp: number) => void,
): void {
  const { heads, kvHeads, headDim, scale } = shape;
  for (const { queryRow, queries, keyRow, keys } of shape.sequences) {
    for (let query = 0; query < queries; query++) {
      for (let head = 0; head < heads; head++) {
        const at = ((queryRow + query) * heads + head) * headDim;
        const kvHead = Math.floor(head / (heads / kvHeads));
        const seen = keys - queries + query + 1;
        const keysAt = Array.from({ length: seen }, (_, key) => ((keyRow + key) * kvHeads + kvHead) * headDim);
        const scores = keysAt.map((keyAt) => {
          let dot = 0;
          for (let d = 0; d < headDim; d++) dot += q[at + d]! * k[keyAt + d]!;
          return dot * scale;
        });
        const largest = scores.reduce((a, b) => Math.max(a, b));
        const sum = scores.reduce((total, score) => total + Math.exp(score - largest), 0);
        const probabilities = scores.map((score) => Math.exp(score - largest) / sum);
        visit(at, keysAt, probabilities, largest + Math.log(sum));
      }
    }
  }
}

/** Causal attention; logSumExp [query rows, heads]. Rows of no sequence stay 0. */
export function attentionTwin(inputs: Inputs, shape: AttentionShape) {
  const out = new Float64Array(inputs.q.length);
  const logSumExp = new Float64Array(inputs.q.length / shape.headDim);
  eachQuery(inputs, shape, (at, keysAt, probabilities, logSum) => {
    logSumExp[at / shape.headDim] = logSum;
    keysAt.forEach((keyAt, j) => {
      const used = probabilities[j]! * keptFactor(shape, at, j);
      for (let d = 0; d < shape.headDim; d++) out[at + d]! += used * inputs.v[keyAt + d]!;
    });
  });
  return { out, logSumExp };
}

/** Gradients of attentionTwin's out from dout. */
export function attentionBackwardTwin(dout: Float64Array, inputs: Inputs, shape: AttentionShape) {
  const { q, k, v } = inputs;
  const { headDim, scale } = shape;
  const dq = new Float64Array(q.length);
  const dk = new Float64Array(k.length);
  const dv = new Float64Array(v.length);
  eachQuery(inputs, shape, (at, keysAt, probabilities) => {
    const dprobabilities = keysAt.map((keyAt, j) => {
      let dot = 0;
      for (let d = 0; d < headDim; d++) dot += dout[at + d]! * v[keyAt + d]!;
      return dot * keptFactor(shape, at, j);
    });
    const delta = dprobabilities.reduce((total, value, j) => total + value * probabilities[j]!, 0);
    keysAt.forEach((keyAt, j) => {
      const dscore = probabilities[j]! * (dprobabilities[j]! - delta) * scale;
      for (let d = 0; d < headDim; d++) {
        dq[at + d]! += dscore * k[keyAt + d]!;
        dk[keyAt + d]! += dscore * q[at + d]!;
        dv[keyAt + d]! += probabilities[j]! * keptFactor(shape, at, j) * dout[at + d]!;
      }
    });
  });
  return { dq, dk, dv };
}
