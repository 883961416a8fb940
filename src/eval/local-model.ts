/** A model directory in this process, on an engine of its own thread: many requests at once, prefixes read once. */
import type { CommandContext } from "../base/events.ts";
import { type EngineOptionsInput, engineOptionsSchema } from "../engine/options.ts";
import type { EngineRequest } from "../engine/request.ts";
import { stopTokenIds } from "../engine/stop-tokens.ts";
import { type StartedEngine, startEngine } from "../engine/worker-engine.ts";
import { nameOfModel } from "../interop/folders.ts";
import { encodeChat } from "../text/chat-template.ts";
import { joinIds } from "../text/ids.ts";
import type { GeneratedText, GenerationRequest, TokenScore } from "./model.ts";
import { TokenizedModel } from "./tokenized-model.ts";

export class LocalModel extends TokenizedModel {
  readonly name: string;
  readonly maxLength: number;
  readonly concurrency: number;
  readonly cache: { type: string; bytesPerToken: number };
  protected readonly prefixToken: number;
  readonly #engine: StartedEngine;
  readonly #stops: readonly number[];

  /** @param engine closed with this model. */
  constructor(name: string, engine: StartedEngine, concurrency: number) {
    super();
    const { tokenizer, directory, info } = engine;
    const { bosTokenId, eosTokenIds } = directory.generation;
    this.name = name;
    this.maxLength = info.maxModelLength;
    this.concurrency = concurrency;
    this.cache = { type: info.keyValueCacheType, bytesPerToken: info.keyValueBytesPerToken };
    this.prefixToken = bosTokenId ?? eosTokenIds[0] ?? tokenizer.controlId("startOfText");
    this.#engine = engine;
    this.#stops = stopTokenIds(tokenizer, eosTokenIds);
  }

  async encode(texts: readonly string[]): Promise<Int32Array[]> {
    return await this.#engine.tokenizer.encodeBatch(texts);
  }

  protected async score(tokens: Int32Array, from: number, signal: AbortSignal | undefined): Promise<TokenScore[]> {
    const request = this.#request(tokens, { maxTokens: 0, promptLogprobs: true, promptLogprobsFrom: from });
    for await (const event of this.#engine.generate({ ...request, topLogprobs: 1 }, signal)) {
      if (event.type !== "prompt") continue;
      return event.logprobs!.slice(from).map((one) => {
        const { logprob, top } = one!;
        return { logprob, isLikeliest: logprob >= (top[0]?.logprob ?? logprob) };
      });
    }
    throw new Error("the engine has told of no prompt");
  }

  protected bytesOf(tokens: Int32Array): Int32Array {
    const { textByteLengths } = this.#engine.tokenizer;
    return tokens.map((token) => textByteLengths[token]!);
  }

  async generate(request: GenerationRequest, signal?: AbortSignal): Promise<GeneratedText> {
    const { prompt, maxTokens, stop, temperature, seed } = request;
    const whole = await this.#encodePrompt(prompt, request.asDocument);
    const kept = Math.max(1, this.maxLength - maxTokens);
    const cutTokens = Math.max(0, whole.length - kept);
    const answer: GeneratedText = { text: "", finishReason: "length", promptTokens: 0, answerTokens: 0, cutTokens };
    const asked = this.#request(whole.subarray(cutTokens), { maxTokens, stopStrings: stop, seed });
    for await (const event of this.#engine.generate({ ...asked, sampling: { temperature } }, signal)) {
      if (event.type === "prompt") answer.promptTokens = event.tokens;
      if (event.type === "token") answer.answerTokens++;
      if (event.type === "token" || event.type === "finished") answer.text += event.text;
      if (event.type === "finished") answer.finishReason = event.reason;
    }
    return answer;
  }

  async prefixStats(): Promise<{ promptTokens: number; cachedTokens: number }> {
    const { promptTokens, cachedPromptTokens } = await this.#engine.stats();
    return { promptTokens, cachedTokens: cachedPromptTokens };
  }

  async close(): Promise<void> {
    await this.#engine.close();
  }

  async #encodePrompt(prompt: GenerationRequest["prompt"], asDocument = false): Promise<Int32Array> {
    if (typeof prompt !== "string") {
      const { ids } = await encodeChat(this.#engine.tokenizer, prompt);
      // of a whole turn the last token ends it
      return prompt.at(-1)?.role === "assistant" ? ids.subarray(0, -1) : ids;
    }
    const [ids] = await this.encode([prompt]);
    return asDocument || ids!.length === 0 ? joinIds([Int32Array.of(this.prefixToken), ids!]) : ids!;
  }

  #request(prompt: Int32Array, more: Partial<EngineRequest>): EngineRequest {
    return {
      prompt: prompt.slice(),
      count: 1,
      maxTokens: 0,
      sampling: { temperature: 0 },
      seed: 0,
      stopTokenIds: this.#stops,
      stopStrings: [],
      ...more,
    };
  }
}

/** A question may be several requests; those that wait cost nothing but their tokens. */
const queueLimit = 65_536;

/** Starts a model directory for evaluation. Throws as `startEngine`. */
export async function openLocalModel(
  folder: string,
  options: EngineOptionsInput,
  context: CommandContext,
): Promise<LocalModel> {
  const engine = await startEngine(folder, { ...options, queueLimit }, context);
  return new LocalModel(nameOfModel(folder), engine, engineOptionsSchema.parse(options).maxBatch);
}
