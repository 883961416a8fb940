/** Slow f64 twins of sample.c. */
import { hash32, type StreamKeys } from "../../src/base/random.ts";

export type TwinRow = {
  temperature: number;
  topK?: number;
  topP?: number;
  minP?: number;
  repetitionPenalty?: number;
  presencePenalty?: number;
  frequencyPenalty?: number;
  biases?: readonly (readonly [id: number, bias: number])[];
  /** How often the answer has each token of the text. */
  seen?: readonly (readonly [id: number, count: number])[];
  permits?: (id: number) => boolean;
};

export type Candidate = { id: number; logit: number; weight: number };

/** Logits after bias, penalties and mask, each step rounded to f32 as the kernel does. */
export function adjusted(logits: ArrayLike<number>, row: TwinRow): number[] {
  const { repetitionPenalty = 1, presencePenalty = 0, frequencyPenalty = 0, biases = [], seen = [] } = row;
  const f = Math.fround;
  const out = Array.from(logits);
  for (const [id, bias] of biases) out[id] = f(out[id]! + f(bias));
  for (const [id, count] of seen) {
    const logit = out[id]!;
    out[id] = logit > 0 ? f(logit / f(repetitionPenalty)) : f(logit * f(repetitionPenalty));
    if (count > 0) out[id] = f(out[id]! - f(f(presencePenalty) + f(f(frequencyPenalty) * count)));
  }
  return out.map((logit, id) => (row.permits?.(id) === false ? Number.NEGATIVE_INFINITY : logit));
}

/** What may be drawn, the likeliest first (of equals the smaller id); weights beside that of the likeliest. */
export function candidates(logits: ArrayLike<number>, row: TwinRow): Candidate[] {
  const largest = adjusted(logits, row).reduce((a, b) => Math.max(a, b));
  let left = adjusted(logits, row)
    .map((logit, id) => ({ id, logit, weight: Math.exp((logit - largest) / row.temperature) }))
    .filter(({ logit }) => logit !== Number.NEGATIVE_INFINITY)
    .sort((a, b) => b.logit - a.logit || a.id - b.id);
  if (row.topK) left = left.slice(0, row.topK);
  if (row.topP !== undefined && row.topP < 1) {
    const wanted = row.topP * left.reduce((sum, { weight }) => sum + weight, 0);
    let reached = 0;
    const needed = left.findIndex(({ weight }) => {
      reached += weight;
      return reached >= wanted;
    });
    left = left.slice(0, needed === -1 ? left.length : needed + 1);
  }
  return left.filter(({ weight }) => weight >= (row.minP ?? 0));
}

/** The `place`-th number of a stream, in [0, 1), of 53 bits. */
export function uniform53(keys: StreamKeys, place: number): number {
  return ((hash32(keys, 2 * place) >>> 6) * 2 ** 27 + (hash32(keys, 2 * place + 1) >>> 5)) * 2 ** -53;
}

/** Where on [0, 1) a candidate lies, in the order of ids. */
export function interval(all: readonly Candidate[], id: number): [from: number, to: number] | undefined {
  const total = all.reduce((sum, { weight }) => sum + weight, 0);
  let from = 0;
  for (const candidate of [...all].sort((a, b) => a.id - b.id)) {
    const to = from + candidate.weight / total;
    if (candidate.id === id) return [from, to];
    from = to;
  }
  return undefined;
}

/** Natural logarithms of the softmax. */
export function logprobs(logits: ArrayLike<number>): number[] {
  const values = Array.from(logits);
  const largest = values.reduce((a, b) => Math.max(a, b));
  const logSum = largest + Math.log(values.reduce((sum, logit) => sum + Math.exp(logit - largest), 0));
  return values.map((logit) => logit - logSum);
}
