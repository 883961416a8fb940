/** Some rows of an attention and of its gradients against f64, at any length: no row needs more than its own context. */
import type { AttentionWork } from "../protocol.ts";
import { someIndices } from "./inputs.ts";

type Arrays = Record<"q" | "k" | "v" | "dout" | "out" | "dq" | "dk" | "dv", Float32Array>;

/** bf16 rounds the probabilities, their gradients and the result; f32 sums in another order. */
const allowedErrors = { f32: 2e-5, bf16: 2 ** -6 };

type Row = { probabilities: Float64Array; scoreGradients: Float64Array };

/** Attention of one query at a time, in f64. */
class Reference {
  readonly #work: AttentionWork;
  readonly #arrays: Arrays;
  readonly scale: number;

  constructor(work: AttentionWork, arrays: Arrays) {
    this.#work = work;
    this.#arrays = arrays;
    this.scale = 1 / Math.sqrt(work.headDim);
  }

  /** Where a query head's vector begins; `first` is the row where its sequence does. */
  queryAt(first: number, query: number, head: number): number {
    const { heads, headDim } = this.#work;
    return ((first + query) * heads + head) * headDim;
  }

  /** Where the key and the value lie that a query head reads. */
  keyAt(first: number, key: number, head: number): number {
    const { heads, keyValueHeads, headDim } = this.#work;
    return ((first + key) * keyValueHeads + Math.floor((head * keyValueHeads) / heads)) * headDim;
  }

  /** Softmax of one query, and the gradient of its scores. */
  row(first: number, query: number, head: number): Row {
    const { q, k, v, dout } = this.#arrays;
    const place = this.queryAt(first, query, head);
    const scores = Float64Array.from(
      { length: query + 1 },
      (_, key) => this.scale * this.#dot(q, place, k, this.keyAt(first, key, head)),
    );
    const most = scores.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
    const powers = scores.map((score) => Math.exp(score - most));
    const total = powers.reduce((sum, power) => sum + power, 0);
    const probabilities = powers.map((power) => power / total);
    const products = probabilities.map((_, key) => this.#dot(dout, place, v, this.keyAt(first, key, head)));
    const mean = products.reduce((sum, product, key) => sum + product * probabilities[key]!, 0);
    return { probabilities, scoreGradients: probabilities.map((p, key) => p * (products[key]! - mean)) };
  }

  /** Element i of the sum of a query's keys or values by their weights. */
  weighted(weights: Float64Array, values: Float32Array, first: number, head: number, i: number): number {
    return weights.reduce((sum, weight, key) => sum + weight * values[this.keyAt(first, key, head) + i]!, 0);
  }

  /** Gradients of one key and its value: sums over the queries that see it, in every head that shares it. */
  keyGradients(first: number, key: number, keyHead: number): { dk: Float64Array; dv: Float64Array } {
    const { heads, keyValueHeads, headDim, length } = this.#work;
    const { q, dout } = this.#arrays;
    const [dk, dv] = [new Float64Array(headDim), new Float64Array(headDim)];
    const perGroup = heads / keyValueHeads;
    for (let head = keyHead * perGroup; head < (keyHead + 1) * perGroup; head++) {
      for (let query = key; query < length; query++) {
        const { probabilities, scoreGradients } = this.row(first, query, head);
        const place = this.queryAt(first, query, head);
        for (let i = 0; i < headDim; i++) {
          dk[i]! += this.scale * scoreGradients[key]! * q[place + i]!;
          dv[i]! += probabilities[key]! * dout[place + i]!;
        }
      }
    }
    return { dk, dv };
  }

  #dot(a: Float32Array, from: number, b: Float32Array, at: number): number {
    let sum = 0;
    for (let i = 0; i < this.#work.headDim; i++) sum += a[from + i]! * b[at + i]!;
    return sum;
  }
}

/** Compares out and dq for some queries, and dk and dv for keys near the end of a sequence, which few queries see. */
export function checkAttention(work: AttentionWork, arrays: Arrays): { largestError: number; allowedError: number } {
  const { sequences, length, heads, keyValueHeads, headDim } = work;
  const { k, v, out, dq, dk, dv } = arrays;
  const reference = new Reference(work, arrays);
  const worst = new Map<string, { error: number; scale: number }>();
  const compare = (name: string, found: number, wanted: number) => {
    const one = worst.get(name) ?? { error: 0, scale: 1e-30 };
    const error = Number.isNaN(found) ? Number.POSITIVE_INFINITY : Math.abs(found - wanted);
    worst.set(name, { error: Math.max(one.error, error), scale: Math.max(one.scale, Math.abs(wanted)) });
  };
  for (const sequence of someIndices(sequences, 2)) {
    const first = sequence * length;
    for (const head of someIndices(heads, 2)) {
      for (const query of someIndices(length, 5)) {
        const { probabilities, scoreGradients } = reference.row(first, query, head);
        const place = reference.queryAt(first, query, head);
        for (let i = 0; i < headDim; i++) {
          compare("out", out[place + i]!, reference.weighted(probabilities, v, first, head, i));
          compare("dq", dq[place + i]!, reference.scale * reference.weighted(scoreGradients, k, first, head, i));
        }
      }
    }
    for (const keyHead of someIndices(keyValueHeads, 2)) {
      for (const key of someIndices(Math.min(length, 32), 3).map((fromEnd) => length - 1 - fromEnd)) {
        const wanted = reference.keyGradients(first, key, keyHead);
        const place = reference.keyAt(first, key, keyHead * (heads / keyValueHeads));
        for (let i = 0; i < headDim; i++) {
          compare("dk", dk[place + i]!, wanted.dk[i]!);
          compare("dv", dv[place + i]!, wanted.dv[i]!);
        }
      }
    }
  }
  const largestError = Math.max(...[...worst.values()].map((one) => one.error / one.scale));
  return { largestError, allowedError: allowedErrors[work.computeType] };
}
