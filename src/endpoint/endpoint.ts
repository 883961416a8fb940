/** A client of servers that speak OpenAI's API: over the network, or to an app in this process. */
import type { z } from "zod";
import { RookeryError } from "../base/errors.ts";
import { quoteForMessage } from "../base/files.ts";
import { eventData } from "./event-stream.ts";
import { EndpointFailure, type FailureKind, kindOfStatus, retryAfterOf } from "./failure.ts";
import {
  type AnswerSettings,
  type ChatAnswer,
  type ChatMessage,
  type ChatRequest,
  type CompletionAnswer,
  type CompletionRequest,
  chatBody,
  chunkBody,
  completionBody,
  errorBody,
  modelsBody,
} from "./wire.ts";

export type { AnswerSettings, ChatMessage } from "./wire.ts";

export type EndpointOptions = {
  /** Such as http://127.0.0.1:8080 or https://host/v1. */
  url: string;
  apiKey?: string | undefined;
  /** Where the user keeps the key, for messages. */
  apiKeyVariable?: string | undefined;
  /** Instead of the network's. */
  fetch?: ((url: string, init: RequestInit) => Response | Promise<Response>) | undefined;
};

export type AnswerRequest = AnswerSettings & { model: string } & (
    | { messages: readonly ChatMessage[] }
    | { prompt: readonly number[] }
  );

/** `text` may be empty. The end comes once, with the counts of tokens if the server tells them. */
export type AnswerPiece =
  | { type: "text"; text: string }
  | { type: "end"; finishReason: string; promptTokens?: number; answerTokens?: number };

const longestErrorBytes = 64 * 2 ** 10;
/** Log-probabilities of many long prompts come in one body. */
const longestAnswerBytes = 256 * 2 ** 20;

export class Endpoint {
  /** Ends in /v1. */
  readonly url: string;
  readonly #apiKey: string | undefined;
  readonly #apiKeyVariable: string;
  readonly #fetch: NonNullable<EndpointOptions["fetch"]>;

  /** @throws RookeryError INVALID_OPTION for what is no address. */
  constructor({ url, apiKey, apiKeyVariable = "ROOKERY_API_KEY", fetch = globalThis.fetch }: EndpointOptions) {
    const parsed = URL.canParse(url) ? new URL(url) : undefined;
    if (parsed === undefined || !/^https?:$/.test(parsed.protocol)) {
      throw new RookeryError("INVALID_OPTION", `${url} is no address of a server`, "give one such as http://host:8080");
    }
    const base = `${parsed.origin}${parsed.pathname.replace(/\/+$/, "")}`;
    this.url = base.endsWith("/v1") ? base : `${base}/v1`;
    this.#apiKey = apiKey;
    this.#apiKeyVariable = apiKeyVariable;
    this.#fetch = fetch;
  }

  /** The models that the server has. @throws RookeryError ENDPOINT_FAILED; the signal's reason. */
  async models(signal?: AbortSignal): Promise<string[]> {
    const response = await this.#ask("/models", {}, signal);
    const parsed = modelsBody.safeParse(parseJson(await this.#textOf(response, signal)));
    if (!parsed.success) throw failed("fatal", `${this.url}/models tells of no models`, "check the address");
    return parsed.data.data.map(({ id }) => id);
  }

  /**
   * `named`, or the server's first model where none is named.
   * @param hint how the user names one.
   * @throws RookeryError ENDPOINT_FAILED; the signal's reason.
   */
  async modelOrFirst(named: string | undefined, hint: string, signal?: AbortSignal): Promise<string> {
    const model = named ?? (await this.models(signal))[0];
    if (model === undefined) throw failed("fatal", `${this.url} has no model`, hint);
    return model;
  }

  /** The whole answer to a chat. @throws EndpointFailure; the signal's reason. */
  async chat(request: ChatRequest, signal?: AbortSignal): Promise<ChatAnswer> {
    return await this.#answerOf("/chat/completions", request, chatBody, signal);
  }

  /** What follows one or several prompts, or their log-probabilities. @throws EndpointFailure; the signal's reason. */
  async complete(request: CompletionRequest, signal?: AbortSignal): Promise<CompletionAnswer> {
    return await this.#answerOf("/completions", request, completionBody, signal);
  }

  async #answerOf<Answer>(
    path: string,
    request: object,
    body: z.ZodType<Answer>,
    signal: AbortSignal | undefined,
  ): Promise<Answer> {
    const response = await this.#ask(path, request, signal);
    const text = await this.#textOf(response, signal);
    const value = parseJson(text);
    const parsed = body.safeParse(value);
    if (parsed.success) return parsed.data;
    // some gateways answer 200 and tell of the failure in the body
    const error = errorBody.safeParse(value);
    if (error.success)
      throw failed("passing", `${this.url}${path} failed: ${error.data.error.message.slice(0, 500)}`, "try again");
    throw failed("passing", `${this.url}${path} sent ${shown(text)}, which is no answer`, "use another server");
  }

  async #textOf(response: Response, signal: AbortSignal | undefined): Promise<string> {
    try {
      const { text, isWhole } = await beginningOf(response, longestAnswerBytes);
      if (isWhole) return text;
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      throw failed("passing", `${this.url} broke off: ${reasonOf(error)}`, "try again", error);
    }
    throw failed("refused", `${this.url} sent more than ${longestAnswerBytes / 2 ** 20} MiB`, "ask for less at once");
  }

  /**
   * The answer to a chat or a prompt of token ids, as it comes. Ending the iteration early, or raising `signal`, ends it.
   * @throws RookeryError ENDPOINT_FAILED for a server that refuses, fails or breaks off; the signal's reason.
   */
  async *answer(request: AnswerRequest, signal?: AbortSignal): AsyncGenerator<AnswerPiece> {
    const path = "messages" in request ? "/chat/completions" : "/completions";
    const response = await this.#ask(
      path,
      { ...request, stream: true, stream_options: { include_usage: true } },
      signal,
    );
    if (response.body === null) throw failed("passing", `${this.url}${path} sent nothing`, "use another server");
    const end: AnswerPiece & { type: "end" } = { type: "end", finishReason: "" };
    let isDone = false;
    try {
      for await (const data of eventData(response.body)) {
        isDone = data === "[DONE]";
        if (isDone) break;
        const { choices, usage } = readChunk(data);
        const [choice] = choices;
        if (choice) yield { type: "text", text: choice.delta?.content ?? choice.text ?? "" };
        end.finishReason = choice?.finish_reason ?? end.finishReason;
        if (usage) Object.assign(end, { promptTokens: usage.prompt_tokens, answerTokens: usage.completion_tokens });
      }
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      if (error instanceof RookeryError) throw error;
      throw failed("passing", `${this.url} broke off: ${reasonOf(error)}`, "try again", error);
    }
    signal?.throwIfAborted();
    if (!isDone && end.finishReason === "")
      throw failed("passing", `${this.url} ended before the answer did`, "try again");
    yield end;
  }

  /** POST with `body`, or GET if it is empty. */
  async #ask(path: string, body: object, signal: AbortSignal | undefined): Promise<Response> {
    const isPost = Object.keys(body).length > 0;
    const headers = {
      ...(isPost ? { "Content-Type": "application/json" } : {}),
      ...(this.#apiKey === undefined ? {} : { Authorization: `Bearer ${this.#apiKey}` }),
    };
    let response: Response;
    try {
      response = await this.#fetch(`${this.url}${path}`, {
        method: isPost ? "POST" : "GET",
        headers,
        // followed, a POST would become a GET, and a key could go to whom it was not given for
        redirect: "manual",
        ...(isPost ? { body: JSON.stringify(body) } : {}),
        ...(signal === undefined ? {} : { signal }),
      });
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      throw failed(
        "passing",
        `${this.url} does not answer: ${reasonOf(error)}`,
        "check the address, and that the server runs",
        error,
      );
    }
    if (response.ok) return response;
    throw await this.#refusal(path, response);
  }

  async #refusal(path: string, response: Response): Promise<EndpointFailure> {
    const { text } = await beginningOf(response, longestErrorBytes).catch(() => ({ text: "" }));
    const { error } = errorBody.safeParse(parseJson(text)).data ?? {};
    const message = (error?.message ?? response.statusText).slice(0, 500);
    const { status } = response;
    const kind = kindOfStatus(status, String(error?.code ?? error?.type));
    const location = response.headers.get("location");
    if (location !== null && status < 400) {
      return failed("fatal", `${this.url}${path} redirects to ${shown(location)}`, "give the address that it leads to");
    }
    const hint = status === 401 ? `put the key into the variable ${this.#apiKeyVariable}` : mends[kind];
    return new EndpointFailure(kind, `${this.url}${path} answered ${status}: ${message}`, hint, {
      status,
      retryAfterMs: retryAfterOf(response.headers, Date.now()),
    });
  }
}

const mends: Record<FailureKind, string> = {
  busy: "ask less often, or try again later",
  passing: "try again",
  refused: "mend the request",
  malformed: "use another model",
  fatal: "check the address, the model and the account",
};

function readChunk(data: string): z.output<typeof chunkBody> {
  const value = parseJson(data);
  const error = errorBody.safeParse(value);
  if (error.success)
    throw failed("passing", `the server failed: ${error.data.error.message.slice(0, 500)}`, "try again");
  const chunk = chunkBody.safeParse(value);
  if (!chunk.success)
    throw failed("passing", `the server sent ${shown(data)}, which is no piece of an answer`, "use another server");
  return chunk.data;
}

const shown = (text: string) => quoteForMessage(text, 100);

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The text of a body, up to about `mostBytes`. */
async function beginningOf(response: Response, mostBytes: number): Promise<{ text: string; isWhole: boolean }> {
  const decoder = new TextDecoder();
  let text = "";
  let bytesRead = 0;
  for await (const bytes of response.body ?? []) {
    bytesRead += bytes.byteLength;
    text += decoder.decode(bytes, { stream: true });
    if (bytesRead > mostBytes) return { text, isWhole: false };
  }
  return { text: text + decoder.decode(), isWhole: true };
}

/** Node's fetch says "fetch failed", and why in its cause. */
function reasonOf(error: unknown): string {
  const { cause, message } = error as Error & { cause?: { code?: string; message?: string } };
  return cause?.code ?? cause?.message ?? message;
}

function failed(kind: FailureKind, message: string, hint: string, cause?: unknown): EndpointFailure {
  return new EndpointFailure(kind, message, hint, { cause });
}
