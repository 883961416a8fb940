/** Some rows of an attention and of its gradients against f64, at any length: no row needs more than its own context. */
import type { AttentionWork } from "../protocol.ts";
import { someIndices } from "./inputs.ts";

type Arrays = Record<"q" | "k" | "v" | "dout" | "out" | "dq" | "dk" | "dv", Float32Array>;

/** bf16 rounds the probabilities, their gradients and the result; f32 sums in another order. */
const allowedErrors = { f32: 2e-5, bf16: 2 ** -6 };

type Row = { probabilities: Float64Array; scoreGradients: Float64Array };

/** Compares out and dq for some queries, and dk and dv for keys near the end of a sequence, which few queries see. */
export function checkAttention(work: AttentionWork, arrays: Arrays): { largestError: number; allowedError: number } {
  const { sequences, length, heads, keyValueHeads, headDim } = work;
  const scale = 1 / Math.sqrt(headDim);
  const [queryStride, keyStride] = [heads * headDim, keyValueHeads * headDim];
  const { q, k, v, dout, out, dq, dk, dv } = arrays;
  const worst = new Map<string, { error: number; scale: number }>();
  const compare = (name: string, found: number, wanted: number) => {
    const one = worst.get(name) ?? { error: 0, scale: 1e-30 };
    const error = Number.isNaN(found) ? Number.POSITIVE_INFINITY : Math.abs(found - wanted);
    worst.set(name, { error: Math.max(one.error, error), scale: Math.max(one.scale, Math.abs(wanted)) });
  };
  const keyAt = (first: number, key: number, head: number) =>
    (first + key) * keyStride + Math.floor((head * keyValueHeads) / heads) * headDim;
  const dot = (a: Float32Array, from: number, b: Float32Array, at: number) => {
    let sum = 0;
    for (let i = 0; i < headDim; i++) sum += a[from + i]! * b[at + i]!;
    return sum;
  };

  /** Softmax of one query, and the gradient of its scores. */
  const rowOf = (first: number, query: number, head: number): Row => {
    const place = (first + query) * queryStride + head * headDim;
    const scores = Float64Array.from(
      { length: query + 1 },
      (_, key) => scale * dot(q, place, k, keyAt(first, key, head)),
    );
    const most = scores.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
    const powers = scores.map((score) => Math.exp(score - most));
    const total = powers.reduce((sum, power) => sum + power, 0);
    const probabilities = powers.map((power) => power / total);
    const products = probabilities.map((_, key) => dot(dout, place, v, keyAt(first, key, head)));
    const mean = products.reduce((sum, product, key) => sum + product * probabilities[key]!, 0);
    return { probabilities, scoreGradients: probabilities.map((p, key) => p * (products[key]! - mean)) };
  };
  const weighted = (weights: Float64Array, values: Float32Array, first: number, head: number, i: number) =>
    weights.reduce((sum, weight, key) => sum + weight * values[keyAt(first, key, head) + i]!, 0);

  for (const sequence of someIndices(sequences, 2)) {
    const first = sequence * length;
    for (const head of someIndices(heads, 2)) {
      for (const query of someIndices(length, 5)) {
        const { probabilities, scoreGradients } = rowOf(first, query, head);
        const place = (first + query) * queryStride + head * headDim;
        for (let i = 0; i < headDim; i++) {
          compare("out", out[place + i]!, weighted(probabilities, v, first, head, i));
          compare("dq", dq[place + i]!, scale * weighted(scoreGradients, k, first, head, i));
        }
      }
    }
    for (const keyHead of someIndices(keyValueHeads, 2)) {
      for (const key of someIndices(Math.min(length, 32), 3).map((fromEnd) => length - 1 - fromEnd)) {
        const keyGradient = new Float64Array(headDim);
        const valueGradient = new Float64Array(headDim);
        const perGroup = heads / keyValueHeads;
        for (let head = keyHead * perGroup; head < (keyHead + 1) * perGroup; head++) {
          for (let query = key; query < length; query++) {
            const { probabilities, scoreGradients } = rowOf(first, query, head);
            const place = (first + query) * queryStride + head * headDim;
            for (let i = 0; i < headDim; i++) {
              keyGradient[i]! += scale * scoreGradients[key]! * q[place + i]!;
              valueGradient[i]! += probabilities[key]! * dout[place + i]!;
            }
          }
        }
        const place = (first + key) * keyStride + keyHead * headDim;
        for (let i = 0; i < headDim; i++) {
          compare("dk", dk[place + i]!, keyGradient[i]!);
          compare("dv", dv[place + i]!, valueGradient[i]!);
        }
      }
    }
  }
  const largestError = Math.max(...[...worst.values()].map((one) => one.error / one.scale));
  return { largestError, allowedError: allowedErrors[work.computeType] };
}
