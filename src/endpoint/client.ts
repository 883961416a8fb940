/**
 * A client for long work with a server that may cost money: asks as fast as it may and no faster, again after what passes, never
 * twice for the same answer, and never beyond the budget.
 */
import { z } from "zod";
import { RookeryError } from "../base/errors.ts";
import { streamKeys, uniform } from "../base/random.ts";
import { requestKey } from "../base/stable-json.ts";
import { Budget, type Usage } from "./budget.ts";
import { type Clock, systemClock } from "./clock.ts";
import type { Endpoint } from "./endpoint.ts";
import { EndpointFailure } from "./failure.ts";
import { Pace } from "./pace.ts";
import { readStructured, responseFormatOf, type StructuredMode, structuredModes } from "./structured.ts";
import type { ChatAnswer, ChatRequest, CompletionAnswer, CompletionRequest, TokenCounts } from "./wire.ts";

/** Where answers are kept; `Jobs` is one. What `remember` has returned from must survive the end of the process. */
export type AnswerStore = {
  recall(key: string): unknown;
  remember(key: string, answer: KeptAnswer): void;
};
export type KeptAnswer = { answer: ChatAnswer | CompletionAnswer; usage: Usage };

export type Price = { promptPerMillion: number; answerPerMillion: number };

export type ClientOptions = {
  /** What the server is to the cache: the same work against another address finds its answers again. By default the address. */
  identity?: string;
  /** Requests at once. */
  concurrency?: number;
  requestsPerMinute?: number | undefined;
  tokensPerMinute?: number | undefined;
  /** For one attempt, from sending to the last byte. */
  timeoutMs?: number;
  /** Attempts after the first, where what went wrong may pass. */
  retries?: number;
  /** Of the jitter between attempts. */
  seed?: number;
  structured?: StructuredMode;
  price?: Price | undefined;
  /** One for all the clients that spend from it. */
  budget?: Budget;
  store?: AnswerStore | undefined;
  /** Whether the server is known to answer: until then a refusal is no fault of the one request, and may pass with a mended server. */
  hasAnswered?: boolean;
  clock?: Clock;
};

export type Answered<Answer> = {
  answer: Answer;
  requestHash: string;
  /** What the answer took when it was made, also where it comes from the store. */
  usage: Usage;
  isCached: boolean;
};

export type StructuredAnswer<Value> = { value: Value; requestHash: string; usage: Usage };

export type ClientCounts = { requests: number; cached: number; retries: number; refusedForNow: number; failed: number };

const firstDelayMs = 500;
const longestDelayMs = 30_000;
/** A server that asks for more is as good as gone. */
const longestRetryAfterMs = 15 * 60_000;
/** How often in a row one request is put off by a busy server. */
const mostPutOff = 60;
/** So many requests that failed for good, with no answer between them, mean that the server is gone. */
const mostFailuresInARow = 8;
/** What is counted before the server has counted: bytes of text a token, in any script. */
const bytesPerToken = 3;
const guessedAnswerTokens = 1024;

export class EndpointClient {
  readonly endpoint: Endpoint;
  readonly counts: ClientCounts = { requests: 0, cached: 0, retries: 0, refusedForNow: 0, failed: 0 };
  readonly #identity: string;
  readonly #retries: number;
  readonly #timeoutMs: number;
  readonly #seed: number;
  readonly #price: Price;
  readonly #budget: Budget;
  readonly #store: AnswerStore | undefined;
  readonly #clock: Clock;
  readonly #pace: Pace;
  readonly #inFlight = new Map<string, Promise<Answered<unknown>>>();
  #structured: StructuredMode;
  #failuresInARow = 0;
  #hasAnswered: boolean;

  constructor(endpoint: Endpoint, options: ClientOptions = {}) {
    const { concurrency = 8, requestsPerMinute, tokensPerMinute } = options;
    this.endpoint = endpoint;
    this.#identity = options.identity ?? endpoint.url;
    this.#retries = options.retries ?? 5;
    this.#timeoutMs = options.timeoutMs ?? 120_000;
    this.#seed = options.seed ?? 0;
    this.#price = options.price ?? { promptPerMillion: 0, answerPerMillion: 0 };
    this.#budget = options.budget ?? new Budget({});
    this.#store = options.store;
    this.#clock = options.clock ?? systemClock;
    this.#structured = options.structured ?? "json_schema";
    this.#hasAnswered = options.hasAnswered ?? true;
    this.#pace = new Pace({ concurrency, requestsPerMinute, tokensPerMinute }, this.#clock);
  }

  /** @throws EndpointFailure; RookeryError BUDGET_SPENT; the signal's reason. */
  async chat(request: ChatRequest, signal?: AbortSignal): Promise<Answered<ChatAnswer>> {
    return await this.#answerOnce(request, (inner) => this.endpoint.chat(request, inner), signal);
  }

  /** @throws EndpointFailure; RookeryError BUDGET_SPENT; the signal's reason. */
  async complete(request: CompletionRequest, signal?: AbortSignal): Promise<Answered<CompletionAnswer>> {
    return await this.#answerOnce(request, (inner) => this.endpoint.complete(request, inner), signal);
  }

  /**
   * The answer as JSON of `schema`, which the prompt should describe in words, too. Near misses are mended; what cannot be is asked
   * for once more, with what is wrong with it.
   * @throws EndpointFailure, of the kind `malformed` if the second answer is no better; as `chat` does.
   */
  async chatJson<Value>(
    request: ChatRequest,
    schema: z.ZodType<Value>,
    signal?: AbortSignal,
  ): Promise<StructuredAnswer<Value>> {
    const first = await this.#askInForm(request, schema, signal);
    const reading = readAnswer(first.answer, schema);
    if ("value" in reading) return { value: reading.value, requestHash: first.requestHash, usage: first.usage };
    if (first.answer.refusal !== undefined) throw malformed(request.model, `refused: ${first.answer.refusal}`);
    const again: ChatRequest = {
      ...request,
      messages: [
        ...request.messages,
        { role: "assistant", content: first.answer.text },
        {
          role: "user",
          content: `This is not the JSON that was asked for (${reading.fault}). Answer with that JSON alone.`,
        },
      ],
    };
    const second = await this.#askInForm(again, schema, signal);
    const secondReading = readAnswer(second.answer, schema);
    if (!("value" in secondReading)) throw malformed(request.model, secondReading.fault);
    return {
      value: secondReading.value,
      requestHash: second.requestHash,
      usage: sumOfUsage(first.usage, second.usage),
    };
  }

  /** Asks for the form in the strictest way that the server knows; that is found out once. */
  async #askInForm(
    request: ChatRequest,
    schema: z.ZodType,
    signal: AbortSignal | undefined,
  ): Promise<Answered<ChatAnswer>> {
    const send = async (inner: AbortSignal): Promise<ChatAnswer> => {
      for (;;) {
        const mode = this.#structured;
        try {
          return await this.endpoint.chat({ ...request, response_format: responseFormatOf(schema, mode) }, inner);
        } catch (error) {
          if (mode === "none" || !isAboutFormat(error)) throw error;
          this.#structured = structuredModes[structuredModes.indexOf(mode) + 1]!;
        }
      }
    };
    return await this.#answerOnce(request, send, signal, z.toJSONSchema(schema));
  }

  async #answerOnce<Answer extends ChatAnswer | CompletionAnswer>(
    request: ChatRequest | CompletionRequest,
    send: (signal: AbortSignal) => Promise<Answer>,
    signal: AbortSignal | undefined,
    form: object | null = null,
  ): Promise<Answered<Answer>> {
    signal?.throwIfAborted();
    const requestHash = requestKey({ server: this.#identity, request, form });
    const kept = this.#store?.recall(requestHash);
    if (kept !== undefined) {
      this.counts.cached += 1;
      const { answer, usage } = kept as { answer: Answer; usage: Usage };
      return { answer, usage, requestHash, isCached: true };
    }
    const flying = this.#inFlight.get(requestHash);
    if (flying !== undefined) return { ...((await flying) as Answered<Answer>), isCached: true };
    const sent = this.#send(request, requestHash, send, signal);
    this.#inFlight.set(requestHash, sent);
    try {
      return await sent;
    } finally {
      this.#inFlight.delete(requestHash);
    }
  }

  async #send<Answer extends ChatAnswer | CompletionAnswer>(
    request: ChatRequest | CompletionRequest,
    requestHash: string,
    send: (signal: AbortSignal) => Promise<Answer>,
    signal: AbortSignal | undefined,
  ): Promise<Answered<Answer>> {
    await this.#pace.enter(signal);
    // the place is given back only when the answer is kept: what a kill makes one ask again is never more than were under way
    try {
      const most = this.#priced(guessedTokens(request));
      const settle = await this.#budget.reserve(most);
      let usage: Usage | undefined;
      try {
        const answer = await this.#attempt(requestHash, tokensOf(most), send, signal);
        usage = this.#priced({ ...guessedTokens(request, answer), ...countsIn(answer) });
        this.#pace.correct(tokensOf(most), tokensOf(usage));
        this.#store?.remember(requestHash, { answer, usage });
        return { answer, usage, requestHash, isCached: false };
      } finally {
        settle(usage);
      }
    } finally {
      this.#pace.leave();
    }
  }

  async #attempt<Answer>(
    requestHash: string,
    tokens: number,
    send: (signal: AbortSignal) => Promise<Answer>,
    signal: AbortSignal | undefined,
  ): Promise<Answer> {
    const jitter = streamKeys(this.#seed, "retry", requestHash);
    let [failures, putOffs] = [0, 0];
    for (;;) {
      await this.#pace.turn(tokens, signal);
      this.counts.requests += 1;
      try {
        const answer = await this.#inTime(send, signal);
        this.#failuresInARow = 0;
        this.#hasAnswered = true;
        return answer;
      } catch (error) {
        if (!(error instanceof EndpointFailure)) throw error;
        const isBusy = error.kind === "busy";
        const count = isBusy ? ++putOffs : ++failures;
        const mayPass = isBusy || error.kind === "passing";
        if (!mayPass || count > (isBusy ? mostPutOff : this.#retries)) throw this.#givenUp(error);
        this.counts[isBusy ? "refusedForNow" : "retries"] += 1;
        const delayMs = backoffMs(count) * (0.5 + uniform(jitter, failures + putOffs) / 2);
        const { retryAfterMs = delayMs } = error;
        if (retryAfterMs > longestRetryAfterMs) throw this.#givenUp(error);
        if (isBusy) this.#pace.pause(retryAfterMs);
        else await this.#clock.sleep(Math.max(delayMs, error.retryAfterMs ?? 0), signal);
      }
    }
  }

  /** The same failure; fatal for one that is put off for too long, or one of too many. */
  #givenUp(error: EndpointFailure): EndpointFailure {
    this.counts.failed += 1;
    if (error.kind === "fatal" || (error.kind === "refused" && this.#hasAnswered)) return error;
    this.#failuresInARow += 1;
    if (error.kind !== "busy" && this.#failuresInARow < mostFailuresInARow) {
      return error.kind === "refused"
        ? new EndpointFailure("passing", error.message, error.hint, { cause: error })
        : error;
    }
    return new EndpointFailure("fatal", error.message, "see to the server, then go on", { cause: error });
  }

  async #inTime<Answer>(
    send: (signal: AbortSignal) => Promise<Answer>,
    signal: AbortSignal | undefined,
  ): Promise<Answer> {
    const controller = new AbortController();
    const stop = () => controller.abort(signal!.reason);
    const late = new EndpointFailure(
      "passing",
      `${this.endpoint.url} has not answered in ${this.#timeoutMs / 1000} s`,
      "try again, or allow more time",
    );
    const timer = setTimeout(() => controller.abort(late), this.#timeoutMs);
    signal?.addEventListener("abort", stop, { once: true });
    try {
      return await send(controller.signal);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
    }
  }

  #priced({ promptTokens, answerTokens }: Required<TokenCounts>): Usage {
    const { promptPerMillion, answerPerMillion } = this.#price;
    const money = (promptTokens * promptPerMillion + answerTokens * answerPerMillion) / 1e6;
    return { promptTokens, answerTokens, money };
  }
}

const tokensOf = ({ promptTokens, answerTokens }: Usage) => promptTokens + answerTokens;

const backoffMs = (count: number) => Math.min(longestDelayMs, firstDelayMs * 2 ** (count - 1));

function sumOfUsage(a: Usage, b: Usage): Usage {
  return {
    promptTokens: a.promptTokens + b.promptTokens,
    answerTokens: a.answerTokens + b.answerTokens,
    money: a.money + b.money,
  };
}

/** Tokens by the length of texts: of the prompt, and of `answer` or the longest that it may be. */
function guessedTokens(request: ChatRequest | CompletionRequest, answer?: ChatAnswer | CompletionAnswer) {
  const { max_tokens: most = guessedAnswerTokens } = request;
  const prompts = "messages" in request ? request.messages.map(({ content }) => content) : promptsOf(request.prompt);
  const answers = answer === undefined ? undefined : "choices" in answer ? answer.choices : [answer];
  const sum = (texts: readonly (string | readonly number[])[]) => texts.reduce((total, text) => total + guess(text), 0);
  return {
    promptTokens: sum(prompts),
    answerTokens: answers ? sum(answers.map(({ text }) => text)) : most * ("messages" in request ? 1 : prompts.length),
  };
}

function promptsOf(prompt: CompletionRequest["prompt"]): readonly (string | readonly number[])[] {
  if (typeof prompt === "string") return [prompt];
  return typeof prompt[0] === "number"
    ? [prompt as readonly number[]]
    : (prompt as readonly (string | readonly number[])[]);
}

function guess(text: string | readonly number[]): number {
  return typeof text === "string" ? Math.ceil(Buffer.byteLength(text) / bytesPerToken) : text.length;
}

function countsIn({ promptTokens, answerTokens }: TokenCounts): TokenCounts {
  return {
    ...(promptTokens === undefined ? {} : { promptTokens }),
    ...(answerTokens === undefined ? {} : { answerTokens }),
  };
}

function readAnswer<Value>(answer: ChatAnswer, schema: z.ZodType<Value>) {
  const reading = readStructured(answer.text, schema);
  return "fault" in reading && answer.finishReason === "length" ? { fault: "cut off at the limit of tokens" } : reading;
}

function malformed(model: string, fault: string): EndpointFailure {
  return new EndpointFailure(
    "malformed",
    `${model} has not written the JSON that it was asked for: ${fault}`,
    "use another model",
  );
}

function isAboutFormat(error: unknown): boolean {
  return (
    error instanceof EndpointFailure &&
    error.kind === "refused" &&
    /response_format|json|schema|grammar/i.test(error.message)
  );
}

/** Whether nothing is to be gained by going on with this server, or with this budget. */
export function endsTheWork(error: unknown): boolean {
  if (error instanceof EndpointFailure) return error.kind === "fatal";
  return error instanceof RookeryError && error.code === "BUDGET_SPENT";
}
