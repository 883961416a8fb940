/** The next tokens of all sequences of a step, and their log-probabilities. */
import { RookeryError } from "../base/errors.ts";
import type { StreamKeys } from "../base/random.ts";
import type { Execution } from "../tensor/execution.ts";
import { logits as headLogits } from "../tensor/ops/linear.ts";
import type { Parameter } from "../tensor/parameter.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import type { TokenLogprobs } from "./request.ts";
import { sampleToken } from "./sampler.ts";
import type { SamplingSettings } from "./sampling-settings.ts";

/** A bit an id, id 0 in the lowest of word 0: set where the token may come. */
export type TokenMask = Int32Array;

/**
 * The mask of the ids that a token has: the embedding table may have rows, and the vocabulary numbers, that stand for none.
 * @param vocabularySize rows of the embedding table.
 */
export function drawableTokens(tokenizer: Tokenizer, vocabularySize: number): TokenMask {
  const mask = new Int32Array(Math.ceil(vocabularySize / 32));
  const end = Math.min(vocabularySize, tokenizer.vocabularySize);
  for (let id = 0; id < end; id++) {
    const hasToken = tokenizer.textByteLengths[id]! > 0 || tokenizer.isSpecial(id);
    if (hasToken) mask[id >>> 5]! |= 1 << (id & 31);
  }
  return mask;
}

/** Which tokens a text has, and how often its answer has them; it lives as long as the answer, preemption included. */
export class TokenCounts {
  /** Distinct ids of prompt and answer, and how often the answer has each. */
  readonly #counts = new Map<number, number>();

  constructor(prompt: ArrayLike<number>) {
    for (let at = 0; at < prompt.length; at++) this.#counts.set(prompt[at]!, 0);
  }

  /** Counts a token of the answer. */
  push(token: number): void {
    this.#counts.set(token, (this.#counts.get(token) ?? 0) + 1);
  }

  entries(): IterableIterator<[id: number, count: number]> {
    return this.#counts.entries();
  }
}

export type RowToSample = {
  settings: SamplingSettings;
  /** The random stream of the answer: `streamKeys(seed, "sample", index of the answer)`. */
  keys: StreamKeys;
  /** Number of the token in its answer, from 0. */
  index: number;
  counts: TokenCounts;
  /** What the grammar permits next. */
  mask?: TokenMask | undefined;
  /** As in `EngineRequest`. */
  topLogprobs?: number | undefined;
};

/** `error`: RookeryError NON_FINITE for a row that nothing can be drawn from; the other rows are good all the same. */
export type SampledRow =
  | { token: number; logprobs?: TokenLogprobs; error?: undefined }
  | { token?: undefined; error: RookeryError };

/**
 * A token for each row of logits f32 [rows, vocabulary], in the order of transformers: bias, repetition, presence and
 * frequency penalty, temperature, top-k, top-p, min-p; what is left is drawn from. A row's token depends on nothing but its
 * logits and its `RowToSample`.
 * @param drawable from `drawableTokens`; no other id is ever drawn, or among the likeliest.
 */
export function sampleRows(
  _execution: Execution,
  logits: Tensor,
  rows: readonly RowToSample[],
  drawable: TokenMask,
): SampledRow[] {
  return rows.map((row, at) => {
    const raw = logits.rows(at, 1).toFloat32Array();
    try {
      const token = sampleToken(adjusted(raw, row, drawable), row.settings, row.keys, row.index);
      if (row.topLogprobs === undefined) return { token };
      return { token, logprobs: logprobsOf(raw, token, row.topLogprobs, drawable) };
    } catch (error) {
      if (error instanceof RookeryError && error.code === "NON_FINITE") return { error };
      throw error;
    }
  });
}

/** Logits of a prompt are made for this many rows at a time: they are large. */
const promptRowsAtOnce = 64;

/**
 * Log-probabilities of `targets`, the tokens that came after each row of the last hidden states [rows, hiddenSize].
 * @param top how many of the likeliest tokens are told beside it.
 * @throws RookeryError NON_FINITE for logits that are no numbers.
 */
export function promptLogprobs(
  execution: Execution,
  hidden: Tensor,
  head: Parameter,
  targets: Int32Array,
  top: number,
  drawable: TokenMask,
): TokenLogprobs[] {
  const all: TokenLogprobs[] = [];
  for (let start = 0; start < targets.length; start += promptRowsAtOnce) {
    const count = Math.min(promptRowsAtOnce, targets.length - start);
    execution.arena.scope(
      () => {
        const logits = headLogits(execution, hidden.rows(start, count), head);
        for (let row = 0; row < count; row++) {
          const raw = logits.rows(row, 1).toFloat32Array();
          all.push(logprobsOf(raw, targets[start + row]!, top, drawable));
        }
      },
      () => [],
    );
  }
  return all;
}

function adjusted(raw: Float32Array, { settings, counts, mask }: RowToSample, drawable: TokenMask): Float32Array {
  const logits = raw.slice();
  const { repetitionPenalty = 1, presencePenalty = 0, frequencyPenalty = 0, logitBias = [] } = settings;
  for (const [id, bias] of logitBias) logits[id]! += bias;
  for (const [id, count] of counts.entries()) {
    let logit = logits[id]!;
    logit = logit > 0 ? logit / repetitionPenalty : logit * repetitionPenalty;
    if (count > 0) logit -= presencePenalty + frequencyPenalty * count;
    logits[id] = logit;
  }
  for (let id = 0; id < logits.length; id++) {
    const isPermitted = isSet(drawable, id) && (mask === undefined || isSet(mask, id));
    if (!isPermitted) logits[id] = Number.NEGATIVE_INFINITY;
  }
  return logits;
}

function isSet(mask: TokenMask, id: number): boolean {
  return ((mask[id >>> 5] ?? 0) & (1 << (id & 31))) !== 0;
}

function logprobsOf(logits: Float32Array, token: number, top: number, drawable: TokenMask): TokenLogprobs {
  let largest = Number.NEGATIVE_INFINITY;
  for (const logit of logits) largest = Math.max(largest, logit);
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - largest);
  const logSum = largest + Math.log(sum);
  if (!Number.isFinite(logSum)) {
    throw new RookeryError(
      "NON_FINITE",
      "the model's logits are not finite",
      "its weights are damaged: take another model",
    );
  }
  const ids = Array.from(logits.keys()).filter((id) => isSet(drawable, id));
  ids.sort((a, b) => logits[b]! - logits[a]! || a - b);
  const likeliest = ids.slice(0, top).map((id) => ({ token: id, logprob: logits[id]! - logSum }));
  return { token, logprob: logits[token]! - logSum, top: likeliest };
}
