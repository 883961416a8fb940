/** An engine that writes what it is told, for the tests of whoever serves one: every answer is known, and so is who left. */
import { setImmediate } from "node:timers/promises";
import type { RookeryError } from "../src/base/errors.ts";
import { AnswerText } from "../src/engine/answer.ts";
import type {
  EngineEvent,
  EngineHandle,
  EngineInfo,
  EngineRequest,
  EngineStats,
  TokenLogprobs,
} from "../src/engine/request.ts";
import type { Tokenizer } from "../src/text/tokenizer.ts";

export const scriptedInfo: EngineInfo = {
  maxModelLength: 200,
  vocabularySize: 307,
  numLayers: 2,
  numExperts: 4,
  topK: 2,
  hiddenSize: 8,
  keyValueCacheType: "bf16",
  keyValueBytesPerToken: 64,
  pageTokens: 16,
  pages: 64,
  queueLimit: 4,
};

/** A log-probability that depends on nothing but token and place, exact in f32. */
export function scriptedLogprob(token: number, position: number): number {
  return Math.fround(-(((token * 31 + position * 7) % 64) + 1) / 16);
}

export class ScriptedEngine implements EngineHandle {
  readonly info: EngineInfo;
  readonly requests: EngineRequest[] = [];
  /** What every answer says; it goes on from the beginning when more is wanted. */
  script: string;
  /** Thrown by the next requests, instead of answers. */
  refusal: RookeryError | undefined;
  /** Awaited before the prompt has been read, and before each token. */
  pace: () => Promise<unknown> = () => setImmediate();
  running = 0;
  cancelled = 0;
  finished = 0;
  readonly #tokenizer: Tokenizer;

  constructor(tokenizer: Tokenizer, options: { script?: string; info?: Partial<EngineInfo> } = {}) {
    this.#tokenizer = tokenizer;
    this.script = options.script ?? "the penguins and the chicks. ";
    this.info = { ...scriptedInfo, vocabularySize: tokenizer.vocabularySize, ...options.info };
  }

  async *generate(request: EngineRequest, signal?: AbortSignal): AsyncGenerator<EngineEvent, void> {
    this.requests.push(request);
    if (this.refusal) throw this.refusal;
    this.running++;
    let isFinished = false;
    try {
      for await (const event of this.#events(request)) {
        signal?.throwIfAborted();
        yield event;
      }
      isFinished = true;
      this.finished++;
    } finally {
      this.running--;
      if (!isFinished) this.cancelled++;
    }
  }

  async *#events(request: EngineRequest): AsyncGenerator<EngineEvent, void> {
    const { prompt, count, promptLogprobs } = request;
    await this.pace();
    if (request.reportExperts) {
      for (const [position, token] of prompt.entries()) yield this.#experts(0, position, token);
    }
    const logprobs = Array.from(prompt, (token, at) => (at === 0 ? null : this.#logprobs(request, token, at)));
    yield { type: "prompt", tokens: prompt.length, cachedTokens: 3, ...(promptLogprobs ? { logprobs } : {}) };
    const script = await this.#tokenizer.encodeText(this.script);
    const texts = Array.from({ length: count }, () => new AnswerText(this.#tokenizer, request.stopStrings));
    const ended = new Set<number>();
    for (let at = 0; ended.size < count; at++) {
      await this.pace();
      for (const [index, text] of texts.entries()) {
        if (ended.has(index)) continue;
        const token = script[(at + index) % script.length]!;
        if (at === request.maxTokens || request.stopTokenIds.includes(token)) {
          ended.add(index);
          const reason = at === request.maxTokens ? "length" : "stop";
          yield { type: "finished", index, reason, text: text.flush() };
          continue;
        }
        const { text: certain, stopped } = text.push(token);
        const asked =
          request.topLogprobs === undefined ? undefined : this.#logprobs(request, token, prompt.length + at);
        yield { type: "token", index, token, text: certain, ...(asked ? { logprobs: asked } : {}) };
        if (request.reportExperts) yield this.#experts(index, prompt.length + at, token);
        if (!stopped) continue;
        ended.add(index);
        yield { type: "finished", index, reason: "stop", text: "" };
      }
    }
  }

  #logprobs({ topLogprobs = 0 }: EngineRequest, token: number, position: number): TokenLogprobs {
    const ids = Array.from({ length: this.#tokenizer.vocabularySize }, (_, id) => id).filter(
      (id) => this.#tokenizer.isSpecial(id) || (this.#tokenizer.textByteLengths[id] ?? 0) > 0,
    );
    const top = ids
      .map((id) => ({ token: id, logprob: scriptedLogprob(id, position) }))
      .toSorted((a, b) => b.logprob - a.logprob)
      .slice(0, topLogprobs);
    return { token, logprob: scriptedLogprob(token, position), top };
  }

  #experts(index: number, position: number, token: number): EngineEvent {
    const { numLayers, numExperts, topK } = this.info;
    const rows = <T>(make: (layer: number, slot: number) => T) =>
      Array.from({ length: numLayers }, (_, layer) => Array.from({ length: topK }, (_, slot) => make(layer, slot)));
    return {
      type: "experts",
      index,
      position,
      token,
      experts: rows((layer, slot) => (token + layer + slot) % numExperts),
      probabilities: rows((_, slot) => (slot === 0 ? 2 / 3 : 1 / 3)),
    };
  }

  async embed(tokens: Int32Array, signal?: AbortSignal): Promise<Float32Array> {
    signal?.throwIfAborted();
    if (this.refusal) throw this.refusal;
    return Float32Array.from({ length: this.info.hiddenSize }, (_, at) => at + tokens.length);
  }

  async stats(): Promise<EngineStats> {
    const { pages, numLayers, numExperts } = this.info;
    return {
      waiting: 0,
      running: this.running,
      pagesInUse: this.running,
      pagesCached: 0,
      pagesFree: pages - this.running,
      steps: 10,
      promptTokens: 100,
      cachedPromptTokens: 30,
      generatedTokens: 50,
      preemptions: 1,
      finishedRequests: this.finished,
      cancelledRequests: this.cancelled,
      expertCalls: 20,
      expertLoad: Array.from({ length: numLayers }, () => new Array<number>(numExperts).fill(5)),
    };
  }

  async close(): Promise<void> {}
}
