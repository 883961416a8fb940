/** The next tokens of all sequences of a step, and their log-probabilities. */
import { RookeryError } from "../base/errors.ts";
import type { StreamKeys } from "../base/random.ts";
import { noToken, sample, sampleScratchBytes } from "../kernels/bindings/sample.ts";
import type { Execution } from "../tensor/execution.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { logprobsOfRows } from "./logprobs.ts";
import type { TokenLogprobs } from "./request.ts";
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
  readonly #places = new Map<number, number>();
  #ids = new Int32Array(64);
  #counts = new Int32Array(64);

  constructor(prompt: ArrayLike<number>) {
    for (let at = 0; at < prompt.length; at++) this.#placeOf(prompt[at]!);
  }

  /** Counts a token of the answer. */
  push(token: number): void {
    this.#counts[this.#placeOf(token)]!++;
  }

  /** Distinct ids of prompt and answer; good until the next `push`. */
  get ids(): Int32Array {
    return this.#ids.subarray(0, this.#places.size);
  }

  /** How often the answer has each of `ids`. */
  get counts(): Int32Array {
    return this.#counts.subarray(0, this.#places.size);
  }

  #placeOf(token: number): number {
    const known = this.#places.get(token);
    if (known !== undefined) return known;
    const place = this.#places.size;
    if (place === this.#ids.length) {
      this.#ids = grown(this.#ids);
      this.#counts = grown(this.#counts);
    }
    this.#ids[place] = token;
    this.#places.set(token, place);
    return place;
  }
}

function grown(values: Int32Array): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(2 * values.length);
  larger.set(values);
  return larger;
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
  execution: Execution,
  logits: Tensor,
  rows: readonly RowToSample[],
  drawable: TokenMask,
): SampledRow[] {
  if (rows.length === 0) return [];
  const tokens = execution.arena.scope(
    () => drawTokens(execution, logits, rows, drawable),
    () => [],
  );
  const targets = tokens.map((token, at) => (rows[at]!.topLogprobs === undefined ? -1 : token));
  const top = Math.max(0, ...rows.map(({ topLogprobs = 0 }) => topLogprobs));
  const logprobs = logprobsOfRows(execution, logits, targets, top, drawable);
  return rows.map(({ topLogprobs }, at): SampledRow => {
    const token = tokens[at]!;
    if (token < 0) return { error: notFinite(token) };
    const told = logprobs[at];
    return told ? { token, logprobs: { ...told, top: told.top.slice(0, topLogprobs) } } : { token };
  });
}

function drawTokens(
  { arena, pool }: Execution,
  logits: Tensor,
  rows: readonly RowToSample[],
  drawable: TokenMask,
): Int32Array {
  const vocabulary = logits.size(1);
  const masks = [drawable, ...rows.filter(({ mask }) => mask !== undefined).map(({ mask }) => both(drawable, mask!))];
  let masksSoFar = 0;
  const numbers = rows.flatMap(({ settings, mask, keys: [key0, key1], index }) => [
    Math.min(settings.topK ?? 0, vocabulary),
    mask === undefined ? 0 : ++masksSoFar,
    key0 | 0,
    key1 | 0,
    index | 0,
  ]);
  const settings = rows.flatMap(({ settings }) => [
    settings.temperature,
    settings.topP ?? 1,
    settings.minP ?? 0,
    settings.repetitionPenalty ?? 1,
    settings.presencePenalty ?? 0,
    settings.frequencyPenalty ?? 0,
  ]);
  const floats = (values: Float32Array): Tensor => {
    const tensor = arena.tensor("f32", values.length);
    tensor.setFloats(values);
    return tensor;
  };
  const biases = rows.map(({ settings }) => settings.logitBias ?? []);
  const seen = rows.filter(isPenalized).map(({ counts }) => counts);
  const tokens = arena.tensor("i32", rows.length);
  using scratch = arena.scratch(sampleScratchBytes({ vocabulary, threads: pool.threads }));
  sample({
    pool,
    logits,
    rows: rows.length,
    vocabulary,
    masks: arena.integers(joined(masks)),
    maskCount: masks.length,
    settings: floats(Float32Array.from(settings)),
    numbers: arena.integers(Int32Array.from(numbers)),
    biasOffsets: arena.integers(offsets(biases.map(({ length }) => length))),
    biasIds: arena.integers(Int32Array.from(biases.flat(), ([id]) => id)),
    biases: floats(Float32Array.from(biases.flat(), ([, bias]) => bias)),
    seenOffsets: arena.integers(offsets(rows.map((row) => (isPenalized(row) ? row.counts.ids.length : 0)))),
    seenIds: arena.integers(joined(seen.map(({ ids }) => ids))),
    seenCounts: arena.integers(joined(seen.map(({ counts }) => counts))),
    tokens,
    scratch: scratch.tensor,
  });
  return tokens.toInt32Array();
}

function isPenalized({ settings }: RowToSample): boolean {
  const { repetitionPenalty = 1, presencePenalty = 0, frequencyPenalty = 0 } = settings;
  return repetitionPenalty !== 1 || presencePenalty !== 0 || frequencyPenalty !== 0;
}

/** What both permit; words that `narrower` does not have permit nothing. */
function both(wider: TokenMask, narrower: TokenMask): TokenMask {
  return wider.map((word, at) => word & (narrower[at] ?? 0));
}

function joined(lists: readonly Int32Array[]): Int32Array {
  const all = new Int32Array(lists.reduce((sum, { length }) => sum + length, 0));
  let end = 0;
  for (const list of lists) {
    all.set(list, end);
    end += list.length;
  }
  return all;
}

/** Where each of the lists begins when they follow one another, and where the last ends. */
function offsets(lengths: readonly number[]): Int32Array {
  const all = new Int32Array(lengths.length + 1);
  for (const [at, length] of lengths.entries()) all[at + 1] = all[at]! + length;
  return all;
}

function notFinite(token: number): RookeryError {
  const what = token === noToken.empty ? "permit no token" : "are not finite";
  return new RookeryError("NON_FINITE", `the model's logits ${what}`, "its weights are damaged: take another model");
}
