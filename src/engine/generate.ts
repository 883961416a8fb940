/** One text from a model: an engine with one request. Programs that want several at once take a `LocalEngine`. */
import { setImmediate } from "node:timers/promises";
import { RookeryError } from "../base/errors.ts";
import type { CommandContext } from "../base/events.ts";
import { pageTokens } from "../tensor/ops/paged-attention.ts";
import { checkRequest } from "./check-request.ts";
import { Engine, type EngineOutput, type RunnableModel } from "./engine.ts";
import type { FinishReason } from "./request.ts";
import type { SamplingSettings } from "./sampling-settings.ts";

export type { RunnableModel } from "./engine.ts";
export type { FinishReason } from "./request.ts";

export type GenerateOptions = SamplingSettings & {
  /** Most tokens of the answer. */
  maxTokens: number;
  /** Tokens that end the answer and are no part of it. */
  stopTokenIds: readonly number[];
  seed: number;
  /** Which of several answers to one prompt this is; each draws numbers of its own. */
  sampleIndex?: number;
};

/** What one step has done. The texts of all tokens and of the end are the whole text. */
export type GenerationStep =
  | { type: "prefill"; done: number; total: number }
  | { type: "token"; token: number; text: string }
  | { type: "finished"; reason: FinishReason; text: string };

/** Rows of one forward pass over a prompt: enough for the products to be fast, few enough to stop soon. */
const defaultPrefillRows = 512;

/**
 * One answer as a synchronous machine: each `step` is one forward pass at most. The text does not depend on how the prompt
 * is cut into chunks, since a row's bits do not depend on the rows beside it.
 */
export class Generation implements Disposable {
  /** Prompt and answer. */
  readonly tokens: number[];
  readonly #engine: Engine;
  readonly #id: number;
  readonly #promptLength: number;
  /** What the engine has told and nobody has asked for yet. */
  readonly #steps: GenerationStep[] = [];
  #logits: Float32Array | undefined;
  #finished: Extract<GenerationStep, { type: "finished" }> | undefined;

  /** @throws RookeryError INVALID_OPTION for a setting or a prompt that cannot be used. */
  constructor(source: RunnableModel, prompt: ArrayLike<number>, options: GenerateOptions & { prefillRows?: number }) {
    const { maxTokens, stopTokenIds, seed, sampleIndex = 0, prefillRows = defaultPrefillRows, ...sampling } = options;
    const { vocabularySize, maxPositionEmbeddings: maxModelLength } = source.model.config;
    const request = {
      prompt: Int32Array.from(prompt),
      count: 1,
      maxTokens,
      sampling,
      seed,
      stopTokenIds,
      stopStrings: [],
    };
    checkRequest(request, Math.min(vocabularySize, source.tokenizer.vocabularySize), maxModelLength);
    this.tokens = Array.from(prompt);
    this.#promptLength = prompt.length;
    const longest = Math.min(prompt.length + maxTokens, maxModelLength);
    this.#engine = new Engine(source, {
      maxBatch: 1,
      prefillTokens: prefillRows,
      queueLimit: 1,
      keyValueCacheType: "bf16",
      maxModelLength,
      pages: Math.ceil(longest / pageTokens),
    });
    this.#id = this.#engine.add(request, { firstAnswer: sampleIndex });
    this.#engine.watchLogits((_id, _index, logits) => {
      this.#logits = logits;
    });
  }

  /** Tokens of the answer so far. */
  get answer(): number[] {
    return this.tokens.slice(this.#promptLength);
  }

  /** Logits f32 [vocabulary] that the newest token was drawn from. */
  get logits(): Float32Array | undefined {
    return this.#logits?.slice();
  }

  /** Reads a chunk of the prompt, or draws a token; at the end it answers "finished" however often it is asked. */
  step(): GenerationStep {
    if (this.#finished) return { ...this.#finished, text: "" };
    if (this.#steps.length === 0) for (const output of this.#engine.step()) this.#take(output);
    const step = this.#steps.shift();
    if (!step) return { type: "prefill", done: this.#engine.tokensRead(this.#id), total: this.#promptLength };
    if (step.type === "finished") this.#finished = step;
    if (step.type === "token") this.tokens.push(step.token);
    return step;
  }

  [Symbol.dispose](): void {
    this.#engine[Symbol.dispose]();
  }

  #take(output: EngineOutput): void {
    if (output.type === "failed") throw new RookeryError(output.code, output.message, output.hint);
    if (output.type !== "event") throw new Error("an embedding came for a text");
    const { event } = output;
    if (event.type === "prompt") this.#steps.push({ type: "prefill", done: event.tokens, total: event.tokens });
    else if (event.type === "token") this.#steps.push({ type: "token", token: event.token, text: event.text });
    else if (event.type === "finished") {
      this.#steps.push({ type: "finished", reason: event.reason, text: event.text });
    }
  }
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
  for (;;) {
    signal?.throwIfAborted();
    const step = generation.step();
    if (step.type === "finished") return { reason: step.reason, rest: step.text };
    if (step.type === "token") yield { token: step.token, text: step.text };
    else if (step.total > defaultPrefillRows) {
      onEvent?.({ type: "progress", what: "reading the prompt", done: step.done, total: step.total, unit: "tokens" });
    }
    await setImmediate();
  }
}
