/** One answer from the server as it comes: what `/v1/chat/completions` streams, told in events of our own. */
import { ask, errorText, postJson, ServerError, serverSentEvents } from "../shared/server.ts";
import type { Sampling, TokenExperts } from "./conversation.ts";

export type AnswerRequest = {
  model: string;
  messages: { role: string; content: string }[];
  sampling: Sampling;
  reportExperts: boolean;
};

export type AnswerEvent =
  | { type: "text"; text: string }
  | { type: "experts"; tokens: TokenExperts[] }
  | { type: "usage"; promptTokens: number; cachedTokens: number; answerTokens: number }
  | { type: "finished"; reason: "stop" | "length" };

/** The parts of a chunk that this page reads; everything may be missing. */
type Chunk = {
  choices?: { delta?: { content?: unknown }; finish_reason?: unknown }[];
  usage?: {
    prompt_tokens?: number;
    completion_tokens?: number;
    prompt_tokens_details?: { cached_tokens?: number } | null;
  } | null;
  rookery?: { experts?: unknown };
};

/** @throws ServerError when the server refuses, breaks off, or reports an error; the signal's reason. */
export async function* streamAnswer(request: AnswerRequest, signal: AbortSignal): AsyncGenerator<AnswerEvent> {
  const response = await postJson(
    "v1/chat/completions",
    {
      model: request.model,
      messages: request.messages,
      ...request.sampling,
      stream: true,
      stream_options: { include_usage: true },
      ...(request.reportExperts ? { rookery: { experts: true } } : {}),
    },
    signal,
  );
  let isWhole = false;
  for await (const { data } of serverSentEvents(response, signal)) {
    if (data === "[DONE]") return;
    const chunk = parseChunk(data);
    if (chunk.rookery?.experts !== undefined) yield { type: "experts", tokens: expertsOf(chunk.rookery.experts) };
    const choice = chunk.choices?.[0];
    const text = choice?.delta?.content;
    if (typeof text === "string" && text !== "") yield { type: "text", text };
    if (typeof choice?.finish_reason === "string") {
      isWhole = true;
      yield { type: "finished", reason: choice.finish_reason === "length" ? "length" : "stop" };
    }
    if (chunk.usage) {
      yield {
        type: "usage",
        promptTokens: chunk.usage.prompt_tokens ?? 0,
        cachedTokens: chunk.usage.prompt_tokens_details?.cached_tokens ?? 0,
        answerTokens: chunk.usage.completion_tokens ?? 0,
      };
    }
  }
  if (!isWhole) throw new ServerError(0, "The connection broke in the middle of the answer.");
}

function parseChunk(data: string): Chunk {
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch {
    throw new ServerError(0, "The server sent something that is no JSON.");
  }
  const error = errorText(value);
  if (error !== undefined) throw new ServerError(500, error);
  return (typeof value === "object" && value !== null ? value : {}) as Chunk;
}

/** Only records of the right shape: the view draws them without asking again. */
function expertsOf(value: unknown): TokenExperts[] {
  const isTable = (table: unknown): table is number[][] =>
    Array.isArray(table) && table.every((row) => Array.isArray(row) && row.every((cell) => Number.isFinite(cell)));
  if (!Array.isArray(value)) return [];
  return value.filter(
    (one: TokenExperts | null) =>
      typeof one?.text === "string" &&
      Number.isFinite(one.position) &&
      isTable(one.experts) &&
      isTable(one.probabilities),
  ) as TokenExperts[];
}

/** What the server serves: how many tokens fit, and how many experts a layer has; undefined where it does not say. */
export type Served = { id: string; maxTokens: number | undefined; experts: number | undefined };

export async function askModel(): Promise<Served> {
  const response = await ask("v1/models");
  const body = (await response.json()) as {
    data?: { id?: unknown; max_model_len?: unknown; rookery?: { engine?: { numExperts?: unknown } } }[];
  };
  const numberOrNone = (value: unknown) => (typeof value === "number" ? value : undefined);
  const model = body.data?.[0];
  if (typeof model?.id !== "string") throw new ServerError(0, "The server names no model.");
  return {
    id: model.id,
    maxTokens: numberOrNone(model.max_model_len),
    experts: numberOrNone(model.rookery?.engine?.numExperts),
  };
}

/** Tokens of a text, or undefined when the server does not count. */
export async function countTokens(text: string): Promise<number | undefined> {
  try {
    const body = (await (await postJson("tokenize", { prompt: text, add_special_tokens: false })).json()) as {
      count?: unknown;
    };
    return typeof body.count === "number" ? body.count : undefined;
  } catch {
    return undefined;
  }
}
