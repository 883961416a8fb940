/** A client of servers that speak OpenAI's API: over the network, or to an app in this process. */
import { z } from "zod";
import { RookeryError } from "../base/errors.ts";
import { eventData } from "./event-stream.ts";

export type EndpointOptions = {
  /** Such as http://127.0.0.1:8080 or https://host/v1. */
  url: string;
  apiKey?: string | undefined;
  /** Instead of the network's. */
  fetch?: ((url: string, init: RequestInit) => Response | Promise<Response>) | undefined;
};

export type ChatMessage = { role: "system" | "user" | "assistant"; content: string };

/** How an answer is to be chosen; what is undefined is left to the server. */
export type AnswerSettings = {
  max_tokens?: number | undefined;
  temperature?: number | undefined;
  top_k?: number | undefined;
  top_p?: number | undefined;
  min_p?: number | undefined;
  repetition_penalty?: number | undefined;
  presence_penalty?: number | undefined;
  frequency_penalty?: number | undefined;
  seed?: number | undefined;
  ignore_eos?: boolean | undefined;
};

export type AnswerRequest = AnswerSettings & { model: string } & (
    | { messages: readonly ChatMessage[] }
    | { prompt: readonly number[] }
  );

/** `text` may be empty. The end comes once, with the counts of tokens if the server tells them. */
export type AnswerPiece =
  | { type: "text"; text: string }
  | { type: "end"; finishReason: string; promptTokens?: number; answerTokens?: number };

const chunkSchema = z.object({
  choices: z
    .array(
      z.object({
        delta: z.object({ content: z.string().nullish() }).nullish(),
        text: z.string().nullish(),
        finish_reason: z.string().nullish(),
      }),
    )
    .default([]),
  usage: z.object({ prompt_tokens: z.number(), completion_tokens: z.number() }).nullish(),
});
const errorSchema = z.object({ error: z.object({ message: z.string() }) });
const modelsSchema = z.object({ data: z.array(z.object({ id: z.string() })) });

const longestErrorBytes = 64 * 2 ** 10;

export class Endpoint {
  /** Ends in /v1. */
  readonly url: string;
  readonly #apiKey: string | undefined;
  readonly #fetch: NonNullable<EndpointOptions["fetch"]>;

  /** @throws RookeryError INVALID_OPTION for what is no address. */
  constructor({ url, apiKey, fetch = globalThis.fetch }: EndpointOptions) {
    const parsed = URL.canParse(url) ? new URL(url) : undefined;
    if (parsed === undefined || !/^https?:$/.test(parsed.protocol)) {
      throw new RookeryError("INVALID_OPTION", `${url} is no address of a server`, "give one such as http://host:8080");
    }
    const base = `${parsed.origin}${parsed.pathname.replace(/\/+$/, "")}`;
    this.url = base.endsWith("/v1") ? base : `${base}/v1`;
    this.#apiKey = apiKey;
    this.#fetch = fetch;
  }

  /** The models that the server has. @throws RookeryError ENDPOINT_FAILED; the signal's reason. */
  async models(signal?: AbortSignal): Promise<string[]> {
    const response = await this.#ask("/models", {}, signal);
    const parsed = modelsSchema.safeParse(await response.json().catch(() => undefined));
    if (!parsed.success) throw failed(`${this.url}/models tells of no models`, "check the address");
    return parsed.data.data.map(({ id }) => id);
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
    if (response.body === null) throw failed(`${this.url}${path} sent nothing`, "use another server");
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
      throw failed(`${this.url} broke off: ${reasonOf(error)}`, "try again", error);
    }
    signal?.throwIfAborted();
    if (!isDone && end.finishReason === "") throw failed(`${this.url} ended before the answer did`, "try again");
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
        ...(isPost ? { body: JSON.stringify(body) } : {}),
        ...(signal === undefined ? {} : { signal }),
      });
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      throw failed(
        `${this.url} does not answer: ${reasonOf(error)}`,
        "check the address, and that the server runs",
        error,
      );
    }
    if (response.ok) return response;
    const parsed = errorSchema.safeParse(parseJson(await beginningOf(response)));
    const message = parsed.success ? parsed.data.error.message : response.statusText;
    const hint = response.status === 401 ? "put the key into the variable ROOKERY_API_KEY" : "mend the request";
    throw failed(`${this.url}${path} answered ${response.status}: ${message.slice(0, 500)}`, hint);
  }
}

function readChunk(data: string): z.output<typeof chunkSchema> {
  const value = parseJson(data);
  const error = errorSchema.safeParse(value);
  if (error.success) throw failed(`the server failed: ${error.data.error.message.slice(0, 500)}`, "try again");
  const chunk = chunkSchema.safeParse(value);
  if (!chunk.success)
    throw failed(`the server sent ${data.slice(0, 100)}, which is no piece of an answer`, "use another server");
  return chunk.data;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function beginningOf(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const bytes of response.body ?? []) {
    text += decoder.decode(bytes, { stream: true });
    if (text.length > longestErrorBytes) break;
  }
  return text;
}

/** Node's fetch says "fetch failed", and why in its cause. */
function reasonOf(error: unknown): string {
  const { cause, message } = error as Error & { cause?: { code?: string; message?: string } };
  return cause?.code ?? cause?.message ?? message;
}

function failed(message: string, hint: string, cause?: unknown): RookeryError {
  return new RookeryError("ENDPOINT_FAILED", message, hint, { cause });
}
