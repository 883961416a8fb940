/**
 * Choosing the next token from logits. The order is that of transformers: repetition penalty, temperature, top-k, top-p,
 * min-p; what is left is drawn from. Everything is a pure function of logits, settings and a place in a random stream, so the
 * same seed gives the same text, whatever else runs.
 */
import { RookeryError } from "../base/errors.ts";
import { hash32, type StreamKeys } from "../base/random.ts";
import type { SamplingSettings } from "./sampling-settings.ts";

/** Tokens that may be drawn, and their probabilities, which sum to 1. */
export type Candidates = { ids: Int32Array; probabilities: Float64Array };

/**
 * The next token. `logits` f32 [vocabulary]; −∞ for tokens that must not come, none may be NaN or +∞.
 * @param index place in the stream: the number of the token in its text.
 * @throws RookeryError NON_FINITE for logits that cannot be drawn from.
 */
export function sampleToken(logits: Float32Array, settings: SamplingSettings, keys: StreamKeys, index: number): number {
  const likeliest = checkLogits(logits);
  return settings.temperature === 0 ? likeliest : draw(candidatesOf(logits, settings), keys, index);
}

/** The id of the largest logit, the first of equals. */
function checkLogits(logits: Float32Array): number {
  let best = -1;
  let largest = Number.NEGATIVE_INFINITY;
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id]!;
    if (logit > largest) [best, largest] = [id, logit];
    else if (Number.isNaN(logit)) throw notFinite("NaN");
  }
  if (largest === Number.POSITIVE_INFINITY) throw notFinite("infinite");
  if (best === -1) throw notFinite("all −∞");
  return best;
}

function notFinite(what: string): RookeryError {
  return new RookeryError(
    "NON_FINITE",
    `the model's logits are ${what}`,
    "its weights are damaged: take another model",
  );
}

/** Makes the tokens of `ids` less likely: positive logits are divided, negative ones multiplied. In place. */
export function penalizeRepetition(logits: Float32Array, ids: ReadonlySet<number>, penalty: number): void {
  for (const id of ids) {
    const logit = logits[id];
    if (logit !== undefined) logits[id] = logit > 0 ? logit / penalty : logit * penalty;
  }
}

/** What temperature (above 0), top-k, top-p and min-p leave, the likeliest first where an order was needed, else by id. */
export function candidatesOf(logits: Float32Array, settings: SamplingSettings): Candidates {
  const { temperature, topK = logits.length, topP = 1, minP = 0 } = settings;
  let largest = Number.NEGATIVE_INFINITY;
  for (const logit of logits) largest = Math.max(largest, logit);
  // Beside the largest, so that a temperature near 0 gives 0 for the others instead of a number that is too large.
  const weightsOf = (ids: Int32Array) => {
    const weights = new Float64Array(ids.length);
    for (let at = 0; at < ids.length; at++) weights[at] = Math.exp((logits[ids[at]!]! - largest) / temperature);
    return weights;
  };
  let ids = topK < logits.length ? largestIds(logits, topK) : idsAbove(logits, Number.NEGATIVE_INFINITY);
  let weights = weightsOf(ids);
  if (topP < 1) {
    ids = nucleus(logits, ids, weights, topP);
    weights = weightsOf(ids);
  }
  if (minP > 0) {
    // The likeliest has weight 1.
    ids = ids.filter((_, at) => weights[at]! >= minP);
    weights = weights.filter((weight) => weight >= minP);
  }
  const total = sum(weights);
  for (let at = 0; at < weights.length; at++) weights[at]! /= total;
  return { ids, probabilities: weights };
}

/** The smallest set of the likeliest of `ids` whose share of all weights reaches `topP`, the likeliest first. */
function nucleus(logits: Float32Array, ids: Int32Array, weights: Float64Array, topP: number): Int32Array {
  const total = sum(weights);
  // Tokens below this weight together have less than 1 − topP: none of them is needed, and only few are left to sort.
  const least = ((1 - topP) * total) / ids.length;
  const order: number[] = [];
  for (let at = 0; at < ids.length; at++) if (weights[at]! >= least) order.push(at);
  // By logits, since different ones may have the same weight. Sorting is stable: of equals the smaller id comes first.
  order.sort((a, b) => logits[ids[b]!]! - logits[ids[a]!]!);
  let reached = 0;
  let count = 0;
  while (count < order.length && reached < topP * total) reached += weights[order[count++]!]!;
  return Int32Array.from(order.slice(0, Math.max(1, count)), (at) => ids[at]!);
}

/** Ids of the `count` largest logits in id order; of equal ones those with the smaller ids. −∞ is never among them. */
function largestIds(logits: Float32Array, count: number): Int32Array {
  const least = nthLargest(logits, count);
  const above = idsAbove(logits, least);
  if (least === Number.NEGATIVE_INFINITY) return above;
  const ids = Array.from(above);
  for (let id = 0; ids.length < count; id++) if (logits[id] === least) ids.push(id);
  return Int32Array.from(ids).sort();
}

function idsAbove(logits: Float32Array, least: number): Int32Array {
  const ids = new Int32Array(logits.length);
  let count = 0;
  for (let id = 0; id < logits.length; id++) if (logits[id]! > least) ids[count++] = id;
  return ids.slice(0, count);
}

/** The n-th largest of `values`, n from 1 (Hoare's selection): linear time, where sorting would be felt at each token. */
function nthLargest(values: Float32Array, n: number): number {
  const left = values.slice();
  const wanted = n - 1;
  let [first, last] = [0, left.length - 1];
  while (first < last) {
    const pivot = left[(first + last) >>> 1]!;
    let [i, j] = [first, last];
    while (i <= j) {
      while (left[i]! > pivot) i++;
      while (left[j]! < pivot) j--;
      if (i > j) break;
      [left[i], left[j]] = [left[j]!, left[i]!];
      i++;
      j--;
    }
    if (wanted <= j) last = j;
    else if (wanted >= i) first = i;
    else break;
  }
  return left[wanted]!;
}

function draw({ ids, probabilities }: Candidates, keys: StreamKeys, index: number): number {
  // 53 bits of two hashes: with 24 a token of a large vocabulary might be too unlikely to be ever drawn.
  const high = hash32(keys, 2 * index) >>> 6;
  const low = hash32(keys, 2 * index + 1) >>> 5;
  let left = (high * 2 ** 27 + low) * 2 ** -53;
  for (let at = 0; at < ids.length; at++) {
    left -= probabilities[at]!;
    if (left < 0) return ids[at]!;
  }
  // Rounding has left a little: the last one that can be drawn.
  return ids[probabilities.findLastIndex((probability) => probability > 0)]!;
}

function sum(values: Float64Array): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
