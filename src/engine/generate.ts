/** Text from a model: the prompt is read in chunks, then one token at a time is drawn and read (a KV cache holds the rest). */
import { setImmediate } from "node:timers/promises";
import { RookeryError } from "../base/errors.ts";
import type { CommandContext } from "../base/events.ts";
import { streamKeys } from "../base/random.ts";
import { dropless } from "../model/router.ts";
import type { Transformer } from "../model/transformer.ts";
import type { Execution } from "../tensor/execution.ts";
import { logits } from "../tensor/ops/linear.ts";
import { controlText } from "../text/pattern.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { CachedAttention, KeyValueCache } from "./cache.ts";
import { penalizeRepetition, sampleToken } from "./sampler.ts";
import { checkSamplingSettings, type SamplingSettings } from "./sampling-settings.ts";

/**
 * What generates: a model packed for the execution's compute type ("forward" is enough). Both are borrowed; the execution's
 * arena is reset after each step, so nothing else may be alive in it.
 */
export type RunnableModel = { execution: Execution; model: Transformer; tokenizer: Tokenizer };

export type GenerateOptions = SamplingSettings & {
  /** Most tokens of the answer. */
  maxTokens: number;
  /** Tokens that end the answer and are no part of it. */
  stopTokenIds: readonly number[];
  seed: number;
  /** Which of several answers to one prompt this is; each draws numbers of its own. */
  sampleIndex?: number;
};

/** Why an answer ended: a stop token came, or it is as long as asked for or as the model can. */
export type FinishReason = "stop" | "length";

/** What one step has done. */
export type GenerationStep =
  | { type: "prefill"; done: number; total: number }
  | { type: "token"; token: number }
  | { type: "finished"; reason: FinishReason };

/** Rows of one forward pass over a prompt: enough for the products to be fast, few enough to stop soon. */
const prefillRows = 512;

/**
 * One answer as a synchronous machine: each `step` is one forward pass at most. The text does not depend on how the prompt
 * is cut into chunks, since a row's bits do not depend on the rows beside it.
 */
export class Generation implements Disposable {
  /** Prompt and answer. */
  readonly tokens: number[];
  readonly #source: RunnableModel;
  readonly #options: GenerateOptions;
  readonly #cache: KeyValueCache;
  readonly #promptLength: number;
  readonly #prefillRows: number;
  readonly #unusedIds: readonly number[];
  readonly #distinctTokens: Set<number>;
  #logits: Float32Array | undefined;
  #finished: FinishReason | undefined;

  /** @throws RookeryError INVALID_OPTION for a setting or a prompt that cannot be used. */
  constructor(source: RunnableModel, prompt: ArrayLike<number>, options: GenerateOptions & { prefillRows?: number }) {
    const { vocabularySize, maxPositionEmbeddings } = source.model.config;
    checkSamplingSettings(options, source.tokenizer.vocabularySize);
    checkPrompt(prompt, Math.min(vocabularySize, source.tokenizer.vocabularySize), maxPositionEmbeddings);
    this.#source = source;
    this.#options = options;
    this.tokens = Array.from(prompt);
    this.#distinctTokens = new Set(this.tokens);
    this.#promptLength = prompt.length;
    this.#prefillRows = options.prefillRows ?? prefillRows;
    this.#unusedIds = unusedIds(source.tokenizer);
    this.#cache = new KeyValueCache(source.execution, source.model.config);
  }

  /** Tokens of the answer so far. */
  get answer(): number[] {
    return this.tokens.slice(this.#promptLength);
  }

  /** Logits f32 [vocabulary] after the last token that was read: what the next one is drawn from. */
  get logits(): Float32Array | undefined {
    return this.#logits?.slice();
  }

  /** Reads a chunk of the prompt, or draws a token; at the end it answers "finished" however often it is asked. */
  step(): GenerationStep {
    if (this.#finished !== undefined) return { type: "finished", reason: this.#finished };
    const { length } = this.#cache;
    // All but the newest token have been read; reading that one waits until another is wanted.
    if (length < this.#promptLength) {
      const done = Math.min(length + this.#prefillRows, this.#promptLength);
      this.#read(done - length);
      return { type: "prefill", done, total: this.#promptLength };
    }
    const { maxTokens, stopTokenIds } = this.#options;
    const generated = this.tokens.length - this.#promptLength;
    if (generated >= maxTokens || this.tokens.length >= this.#cache.limit) return this.#finish("length");
    if (length < this.tokens.length) this.#read(1);
    const token = this.#choose(generated);
    if (stopTokenIds.includes(token)) return this.#finish("stop");
    this.tokens.push(token);
    this.#distinctTokens.add(token);
    return { type: "token", token };
  }

  [Symbol.dispose](): void {
    this.#cache[Symbol.dispose]();
  }

  #finish(reason: FinishReason): GenerationStep {
    this.#finished = reason;
    return { type: "finished", reason };
  }

  /** A forward pass over the next `count` tokens, which leaves the logits after the last of them. */
  #read(count: number): void {
    const { execution, model } = this.#source;
    const { arena } = execution;
    const start = this.#cache.length;
    this.#cache.reserve(count);
    try {
      const attend = new CachedAttention(execution, model.config, this.#cache, count);
      const input = {
        tokens: arena.integers(Int32Array.from(this.tokens.slice(start, start + count))),
        positions: arena.integers(Int32Array.from({ length: count }, (_, row) => start + row)),
      };
      const { hidden } = model.forward(execution, input, attend, dropless);
      this.#cache.advance(count);
      if (this.#cache.length >= this.#promptLength) {
        this.#logits = logits(execution, hidden.rows(count - 1, 1), model.head).toFloat32Array();
      }
    } finally {
      arena.reset();
    }
  }

  #choose(generated: number): number {
    const { seed, sampleIndex = 0, repetitionPenalty } = this.#options;
    const { vocabularySize } = this.#source.tokenizer;
    // The embedding table may have rows that stand for no token.
    const usable = this.#logits!.slice(0, vocabularySize);
    for (const id of this.#unusedIds) usable[id] = Number.NEGATIVE_INFINITY;
    if (repetitionPenalty !== undefined) penalizeRepetition(usable, this.#distinctTokens, repetitionPenalty);
    return sampleToken(usable, this.#options, streamKeys(seed, "sample", sampleIndex), generated);
  }
}

function checkPrompt(prompt: ArrayLike<number>, vocabularySize: number, limit: number): void {
  if (prompt.length === 0) {
    throw new RookeryError("INVALID_OPTION", "the prompt has no tokens", "give at least <|startoftext|>");
  }
  if (prompt.length > limit) {
    throw new RookeryError(
      "INVALID_OPTION",
      `the prompt has ${prompt.length} tokens, the model reads at most ${limit}`,
      "give a shorter prompt",
    );
  }
  for (let at = 0; at < prompt.length; at++) {
    const id = prompt[at]!;
    if (Number.isInteger(id) && id >= 0 && id < vocabularySize) continue;
    throw new RookeryError(
      "INVALID_OPTION",
      `token ${at} of the prompt is ${id}, the vocabulary has ids 0 to ${vocabularySize - 1}`,
      "encode the prompt with the model's own tokenizer",
    );
  }
}

/** Ids below the vocabulary's size that no token has. */
function unusedIds(tokenizer: Tokenizer): number[] {
  const ids: number[] = [];
  tokenizer.textByteLengths.forEach((byteLength, id) => {
    if (byteLength === 0 && !tokenizer.isSpecial(id)) ids.push(id);
  });
  return ids;
}

/** What `generate` gives out: a token and the text that it completes (often none, in the middle of a character). */
export type GeneratedPiece = { token: number; text: string };

/**
 * An answer piece by piece; what all pieces and the returned rest have as text is the whole text. Between steps others may
 * run. Special tokens that do not end the answer are part of its tokens, not of its text.
 * @throws RookeryError INVALID_OPTION for bad settings or prompts, NON_FINITE for broken weights; the signal's reason.
 */
export async function* generate(
  source: RunnableModel,
  prompt: ArrayLike<number>,
  options: GenerateOptions,
  { signal, onEvent }: CommandContext = {},
): AsyncGenerator<GeneratedPiece, { reason: FinishReason; rest: string }> {
  using generation = new Generation(source, prompt, options);
  const decoder = source.tokenizer.streamDecoder({ skipSpecialTokens: true });
  for (;;) {
    signal?.throwIfAborted();
    const step = generation.step();
    if (step.type === "finished") return { reason: step.reason, rest: decoder.flush() };
    if (step.type === "token") yield { token: step.token, text: decoder.push(step.token) };
    else if (step.total > prefillRows) {
      onEvent?.({ type: "progress", what: "reading the prompt", done: step.done, total: step.total, unit: "tokens" });
    }
    await setImmediate();
  }
}

/** Token ids that end a text: those of the model's generation settings, and the control tokens that end documents and answers. */
export function stopTokenIds(tokenizer: Tokenizer, eosTokenIds: readonly number[]): number[] {
  const named = [controlText.endOfText, controlText.eos].map((text) => tokenizer.specialTokens.get(text));
  return [...new Set([...eosTokenIds, ...named.filter((id) => id !== undefined)])];
}
