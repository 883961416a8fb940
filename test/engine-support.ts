/** What tests of engines share: a tiny model to run, requests, and the same numbers without any cache. */
import assert from "node:assert/strict";
import { RookeryError } from "../src/base/errors.ts";
import { Engine, type EngineOutput, type RunnableModel } from "../src/engine/engine.ts";
import { promptLogprobs } from "../src/engine/logprobs.ts";
import { type EngineOptionsInput, engineOptionsSchema, settleOptions } from "../src/engine/options.ts";
import type { EngineEvent, EngineRequest, FinishReason, TokenLogprobs } from "../src/engine/request.ts";
import { drawableTokens } from "../src/engine/sampling.ts";
import { PackedAttention } from "../src/model/attention.ts";
import type { ModelConfig } from "../src/model/config.ts";
import { dropless } from "../src/model/router.ts";
import { Execution } from "../src/tensor/execution.ts";
import type { ComputeType } from "../src/tensor/tensor.ts";
import { tinyModel, tinyTokenizer } from "./tiny-model.ts";

export const tokenizer = tinyTokenizer();

export type OpenedModel = RunnableModel & Disposable;

export function openTinyModel(computeType: ComputeType, changes: Partial<ModelConfig> = {}, threads = 2): OpenedModel {
  const model = tinyModel(changes);
  const execution = new Execution({ threads, computeType });
  model.keepPacked(execution.pool, computeType);
  const dispose = () => {
    for (const one of [execution, model]) one[Symbol.dispose]();
  };
  return { model, execution, tokenizer, [Symbol.dispose]: dispose };
}

type Options = Omit<EngineOptionsInput, "computeType" | "threads"> & { pages?: number };

export function openEngine(source: RunnableModel, { pages, ...options }: Options = {}): Engine {
  const parsed = engineOptionsSchema.parse({ ...options, computeType: source.execution.computeType });
  const settings = settleOptions(parsed, source.model.config);
  return new Engine(source, { ...settings, pages: pages ?? Math.min(settings.pages, 64) });
}

/** A text that is no text: every id of the tokenizer may be in it. */
export function promptOf(length: number, seed = 0): Int32Array {
  return Int32Array.from({ length }, (_, at) => ((at + seed) * 7919 + 13 + seed) % 256);
}

export function requestOf(prompt: Int32Array, changes: Partial<EngineRequest> = {}): EngineRequest {
  const sampling = { temperature: 0.9, topP: 0.95 };
  return { prompt, count: 1, maxTokens: 24, sampling, seed: 5, stopTokenIds: [], stopStrings: [], ...changes };
}

export type Answer = {
  tokens: number[];
  text: string;
  logprobs: TokenLogprobs[];
  reason: FinishReason | undefined;
};

/** What has been told of one request. */
export class Told {
  readonly answers: Answer[];
  prompt: Extract<EngineEvent, { type: "prompt" }> | undefined;
  readonly experts: Extract<EngineEvent, { type: "experts" }>[] = [];
  embedding: Float32Array | undefined;
  failure: Extract<EngineOutput, { type: "failed" }> | undefined;

  constructor(count: number) {
    this.answers = Array.from({ length: count }, () => ({ tokens: [], text: "", logprobs: [], reason: undefined }));
  }

  take(output: EngineOutput): void {
    if (output.type === "embedding") this.embedding = output.embedding;
    else if (output.type === "failed") this.failure = output;
    else this.#takeEvent(output.event);
  }

  get tokens(): number[] {
    return this.answers[0]!.tokens;
  }

  get isFinished(): boolean {
    return this.answers.every(({ reason }) => reason !== undefined);
  }

  #takeEvent(event: EngineEvent): void {
    if (event.type === "prompt") {
      assert.equal(this.prompt, undefined, "a prompt is told of once");
      this.prompt = event;
      return;
    }
    if (event.type === "experts") {
      this.experts.push(event);
      return;
    }
    const answer = this.answers[event.index]!;
    assert.equal(answer.reason, undefined, "nothing comes after the end");
    answer.text += event.text;
    if (event.type === "finished") answer.reason = event.reason;
    else {
      answer.tokens.push(event.token);
      if (event.logprobs) answer.logprobs.push(event.logprobs);
    }
  }
}

/** Runs requests that all come at once to their ends. */
export function runAll(engine: Engine, requests: readonly EngineRequest[]): Told[] {
  const told = new Map(requests.map((request) => [engine.add(request), new Told(request.count)]));
  while (engine.hasWork) for (const output of engine.step()) told.get(output.id)!.take(output);
  return [...told.values()];
}

export function runOne(source: RunnableModel, request: EngineRequest, options: Options = {}): Told {
  using engine = openEngine(source, options);
  return runAll(engine, [request])[0]!;
}

/** Log-probabilities of each token but the first, as training computes them: no cache, all rows at once. */
export function uncachedLogprobs(source: RunnableModel, tokens: ArrayLike<number>, top: number): TokenLogprobs[] {
  const { execution, model } = source;
  const { arena } = execution;
  const all = Int32Array.from(tokens);
  try {
    const hidden = uncachedHidden(source, all);
    const targets = all.subarray(1);
    const drawable = drawableTokens(source.tokenizer, model.config.vocabularySize);
    return promptLogprobs(execution, hidden.rows(0, targets.length), model.head, targets, top, drawable);
  } finally {
    arena.reset();
  }
}

/** The last hidden states [tokens, hiddenSize], which live until the arena's reset. */
export function uncachedHidden({ execution, model }: RunnableModel, tokens: Int32Array) {
  const { arena } = execution;
  const { length } = tokens;
  const sequences = arena.integers(Int32Array.of(0, length, 0, length), 1, 4);
  const attend = new PackedAttention(execution, model.config, sequences);
  const positions = arena.integers(Int32Array.from(tokens.keys()));
  return model.forward(execution, { tokens: arena.integers(tokens), positions }, attend, dropless).hidden;
}

export function thrownBy(run: () => unknown): RookeryError {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof RookeryError, String(error));
    return error;
  }
  assert.fail("nothing was thrown");
}
