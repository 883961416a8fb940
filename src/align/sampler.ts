/** A model in the state it is in answers many prompts: an engine that borrows weights which may change from call to call. */
import { RookeryError } from "../base/errors.ts";
import { Engine, type RunnableModel } from "../engine/engine.ts";
import type { FinishReason } from "../engine/generate.ts";
import { engineOptionsSchema, settleOptions } from "../engine/options.ts";
import { cacheBytesPerToken } from "../engine/pages.ts";
import { stopTokenIds } from "../engine/stop-tokens.ts";
import type { GenerationSettings } from "../interop/generation-config.ts";
import { pageTokens } from "../tensor/ops/paged-attention.ts";

export type SampledAnswer = {
  /** Which prompt it answers, and which of its answers it is; both from 0. */
  prompt: number;
  index: number;
  tokens: number[];
  text: string;
  reason: FinishReason;
};

export type SamplingRequest = {
  /** Answers to each prompt. */
  count: number;
  /** Most tokens of an answer. */
  maxTokens: number;
  /** 0 takes the likeliest token always. */
  temperature: number;
  /** The random numbers of a prompt's answers. */
  seedOf: (prompt: number) => number;
  /** Texts that end an answer and are no part of it. */
  stopStrings?: readonly string[];
  signal?: AbortSignal | undefined;
};

/** Texts that are written at once: more would be faster by little and take more memory. */
const largestBatch = 64;

export class Sampler implements Disposable {
  readonly #source: RunnableModel;
  readonly #maxModelLength: number;
  readonly #stopTokenIds: number[];
  readonly #engine: Engine;

  /** @param source borrowed; its execution's arena must hold nothing whenever `answer` is called. @throws RookeryError OUT_OF_MEMORY. */
  constructor(source: RunnableModel, generation: GenerationSettings, maxModelLength: number) {
    const { computeType } = source.execution;
    const { config } = source.model;
    const pagesPerText = Math.ceil(maxModelLength / pageTokens);
    const settings = engineOptionsSchema.parse({
      computeType,
      maxModelLength,
      maxBatch: largestBatch,
      queueLimit: largestBatch,
      cacheBytes: largestBatch * pagesPerText * pageTokens * cacheBytesPerToken(config, computeType),
    });
    this.#source = source;
    this.#maxModelLength = maxModelLength;
    this.#stopTokenIds = stopTokenIds(source.tokenizer, generation.eosTokenIds);
    this.#engine = new Engine(source, settleOptions(settings, config));
  }

  /**
   * Answers in the order of the prompts, each of which must leave room for a token; whatever else is asked, an answer depends on its
   * prompt, its seed and the weights alone. @throws RookeryError as the engine does.
   */
  answer(prompts: readonly Int32Array[], request: SamplingRequest): SampledAnswer[] {
    const { model, execution } = this.#source;
    model.keepPacked(execution.pool, execution.computeType);
    this.#engine.weightsChanged();
    try {
      return this.#answer(prompts, request);
    } finally {
      for (const parameter of model.parameters.values()) parameter.forgetPacked();
    }
  }

  [Symbol.dispose](): void {
    this.#engine[Symbol.dispose]();
  }

  #answer(prompts: readonly Int32Array[], asked: SamplingRequest): SampledAnswer[] {
    const { count, maxTokens, temperature, seedOf, stopStrings = [], signal } = asked;
    const open = new Map<number, { answers: SampledAnswer[]; left: number }>();
    const done: SampledAnswer[] = [];
    for (let next = 0; next < prompts.length || this.#engine.hasWork; ) {
      signal?.throwIfAborted();
      while (next < prompts.length && open.size < largestBatch) {
        const prompt = prompts[next]!;
        const id = this.#engine.add({
          prompt,
          count,
          maxTokens: Math.min(maxTokens, this.#maxModelLength - prompt.length),
          sampling: { temperature },
          seed: seedOf(next),
          stopTokenIds: this.#stopTokenIds,
          stopStrings,
        });
        const blank = (index: number): SampledAnswer => ({
          prompt: next,
          index,
          tokens: [],
          text: "",
          reason: "length",
        });
        open.set(id, { answers: Array.from({ length: count }, (_, index) => blank(index)), left: count });
        next++;
      }
      for (const output of this.#engine.step()) {
        if (output.type === "failed") throw new RookeryError(output.code, output.message, output.hint);
        if (output.type !== "event") continue;
        const { event, id } = output;
        if (event.type !== "token" && event.type !== "finished") continue;
        const request = open.get(id)!;
        const answer = request.answers[event.index]!;
        answer.text += event.text;
        if (event.type === "token") answer.tokens.push(event.token);
        else {
          answer.reason = event.reason;
          done.push(answer);
          if (--request.left === 0) open.delete(id);
        }
      }
    }
    return done.sort((a, b) => a.prompt - b.prompt || a.index - b.index);
  }
}
