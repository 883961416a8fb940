/**
 * A model behind a server that speaks OpenAI's API. Likelihoods are asked for as lm-eval asks: the whole text as a prompt of
 * token ids that is echoed with log-probabilities, and one token more, which is thrown away.
 */
import { RookeryError } from "../base/errors.ts";
import { type ClientOptions, EndpointClient } from "../endpoint/client.ts";
import { Endpoint, type EndpointOptions } from "../endpoint/endpoint.ts";
import type { CompletionLogprobs } from "../endpoint/wire.ts";
import { joinIds } from "../text/ids.ts";
import type { GeneratedText, GenerationRequest, TokenScore } from "./model.ts";
import { type ClientTokenizer, directoryTokenizer, serverTokenizer } from "./server-tokenizer.ts";
import { TokenizedModel } from "./tokenized-model.ts";

export type EndpointModelOptions = EndpointOptions & {
  /** By default the server's first. */
  model?: string | undefined;
  /** The folder of the model's tokenizer, for servers that do not offer it. */
  tokenizer?: string | undefined;
  /** By default what the server says, or 2,048. */
  maxLength?: number | undefined;
  concurrency: number;
  /** How patiently the server is asked. */
  client?: Pick<ClientOptions, "retries" | "timeoutMs" | "clock">;
};

const defaultMaxLength = 2048;
const probeText = "The penguins (企鹅) of the rookery counted 1,048 eggs.\n\tNaïve, isn't it?";

export class EndpointModel extends TokenizedModel {
  readonly name: string;
  readonly maxLength: number;
  readonly concurrency: number;
  protected readonly prefixToken: number;
  readonly #client: EndpointClient;
  readonly #model: string;
  readonly #tokenizer: ClientTokenizer | undefined;

  constructor(
    endpoint: Endpoint,
    model: string,
    tokenizer: ClientTokenizer | undefined,
    { maxLength, concurrency, client }: Pick<EndpointModelOptions, "maxLength" | "concurrency" | "client">,
  ) {
    super();
    this.name = `${endpoint.url} ${model}`;
    this.maxLength = maxLength ?? tokenizer?.maxLength ?? defaultMaxLength;
    this.concurrency = concurrency;
    this.prefixToken = tokenizer?.prefixToken ?? 0;
    this.#client = new EndpointClient(endpoint, { ...client, concurrency });
    this.#model = model;
    this.#tokenizer = tokenizer;
  }

  async encode(texts: readonly string[]): Promise<Int32Array[]> {
    return await this.#known().encode(texts);
  }

  protected async score(tokens: Int32Array, from: number, signal: AbortSignal | undefined): Promise<TokenScore[]> {
    const logprobs = await this.#echoed([...tokens], signal);
    // one entry a token and one for the token that was generated: with fewer, sums would be wrong and nobody would notice
    if (logprobs.tokenLogprobs.length < tokens.length + 1 || logprobs.topLogprobs.length < tokens.length) {
      throw disagreement(this.name, tokens.length, logprobs.tokenLogprobs.length);
    }
    return Array.from(tokens.subarray(from), (_, at) => scoreAt(logprobs, from + at, this.name));
  }

  protected bytesOf(tokens: Int32Array): Promise<Int32Array> {
    return this.#known().byteLengths(tokens);
  }

  async generate(request: GenerationRequest, signal?: AbortSignal): Promise<GeneratedText> {
    const { prompt, maxTokens, temperature, seed } = request;
    const settings = { model: this.#model, max_tokens: maxTokens, temperature, seed, stop: request.stop };
    if (typeof prompt !== "string") {
      // OpenAI takes four at most; the rest is cut off here
      const chat = { ...settings, messages: prompt, stop: request.stop.slice(0, 4) };
      const { answer } = await this.#client.chat(chat, signal);
      return { ...resultOf(answer.text, answer.finishReason, answer), text: cutAtStop(answer.text, request.stop) };
    }
    const { sent, cutTokens } = await this.#promptOf(prompt, maxTokens, request.asDocument);
    const { answer } = await this.#client.complete({ ...settings, prompt: sent }, signal);
    const [choice] = answer.choices;
    const text = cutAtStop(choice!.text, request.stop);
    return { ...resultOf(text, choice!.finishReason, answer), cutTokens };
  }

  async prefixStats(): Promise<null> {
    return null;
  }

  async close(): Promise<void> {}

  /** @throws RookeryError ENDPOINT_FAILED if the ids of a text are not those that the server makes of it. */
  async checkTokenizer(signal: AbortSignal | undefined): Promise<void> {
    if (!this.#tokenizer) return;
    const [ids] = await this.#tokenizer.encode([probeText]);
    const { tokenLogprobs } = await this.#echoed(probeText, signal);
    if (tokenLogprobs.length !== ids!.length + 1) throw disagreement(this.name, ids!.length, tokenLogprobs.length - 1);
  }

  #known(): ClientTokenizer {
    if (this.#tokenizer) return this.#tokenizer;
    throw new RookeryError(
      "INVALID_OPTION",
      `${this.#client.endpoint.url} does not offer the tokenizer that this task needs`,
      "give the model's own with --tokenizer FOLDER",
    );
  }

  async #echoed(prompt: string | readonly number[], signal: AbortSignal | undefined): Promise<CompletionLogprobs> {
    const request = { model: this.#model, prompt, temperature: 0, max_tokens: 1, logprobs: 1, seed: 1234, echo: true };
    const { answer } = await this.#client.complete(request, signal);
    const found = answer.choices[0]?.logprobs;
    if (found) return found;
    throw new RookeryError(
      "ENDPOINT_FAILED",
      `${this.#client.endpoint.url} gives no log-probabilities of a prompt`,
      "likelihood tasks need a server with echo and logprobs, as vLLM and `rookery serve` are",
    );
  }

  /** Ids cut on the left to leave room for the answer, where the tokenizer is known. */
  async #promptOf(
    prompt: string,
    maxTokens: number,
    asDocument = false,
  ): Promise<{ sent: string | number[]; cutTokens: number }> {
    if (!this.#tokenizer) return { sent: prompt, cutTokens: 0 };
    const [ids] = await this.#tokenizer.encode([prompt]);
    const whole = asDocument || ids!.length === 0 ? joinIds([Int32Array.of(this.prefixToken), ids!]) : ids!;
    const cutTokens = Math.max(0, whole.length - Math.max(1, this.maxLength - maxTokens));
    return { sent: [...whole.subarray(cutTokens)], cutTokens };
  }
}

/**
 * Looks what the server offers, and that its tokenizer is the one at hand.
 * @throws RookeryError ENDPOINT_FAILED, and what reading the tokenizer throws.
 */
export async function openEndpointModel(
  options: EndpointModelOptions,
  needsTokens: boolean,
  signal?: AbortSignal,
): Promise<EndpointModel> {
  const endpoint = new Endpoint(options);
  const name = await endpoint.modelOrFirst(options.model, "name one with --model-name", signal);
  const { fetch = globalThis.fetch, apiKey } = options;
  const tokenizer =
    options.tokenizer === undefined
      ? await serverTokenizer(endpoint.url, name, { fetch, apiKey }, signal)
      : await directoryTokenizer(options.tokenizer);
  const model = new EndpointModel(endpoint, name, tokenizer, options);
  if (needsTokens) await model.checkTokenizer(signal);
  return model;
}

function scoreAt({ tokenLogprobs, topLogprobs }: CompletionLogprobs, at: number, name: string): TokenScore {
  const logprob = tokenLogprobs[at];
  const top = Object.values(topLogprobs[at] ?? {});
  if (typeof logprob === "number" && top.length > 0) return { logprob, isLikeliest: logprob >= Math.max(...top) };
  throw new RookeryError(
    "ENDPOINT_FAILED",
    `${name} gives no log-probability of token ${at} of a prompt`,
    "use a server that echoes prompts with logprobs",
  );
}

function disagreement(name: string, sent: number, told: number): RookeryError {
  return new RookeryError(
    "ENDPOINT_FAILED",
    `${name} tells of ${told} tokens where the tokenizer at hand has ${sent}`,
    "give the model's own tokenizer with --tokenizer FOLDER, and use a server that echoes prompts with logprobs",
  );
}

function resultOf(
  text: string,
  finishReason: string,
  { promptTokens = 0, answerTokens = 0 }: { promptTokens?: number; answerTokens?: number },
): GeneratedText {
  const reason = finishReason === "length" ? "length" : "stop";
  return { text, finishReason: reason, promptTokens, answerTokens, cutTokens: 0 };
}

/** The text up to the first of the stops: not every server takes them off. */
export function cutAtStop(text: string, stop: readonly string[]): string {
  const ends = stop.map((one) => text.indexOf(one)).filter((at) => at >= 0);
  return ends.length === 0 ? text : text.slice(0, Math.min(...ends));
}
