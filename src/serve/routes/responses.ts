import type { EngineEvent, EngineRequest, FinishReason } from "../../engine/request.ts";
import type { ChatMessage } from "../../text/chat-template.ts";
import type { Send } from "../event-stream.ts";
import { answerLength, cacheSaltOf, collect, follow, samplingOf, seedOf, stopsOf } from "../generation.ts";
import type { ServeContext, Service } from "../service.ts";
import { parseBody } from "../wire/common.ts";
import { grammarOf } from "../wire/format.ts";
import { type ResponseRequest, responseRequest } from "../wire/responses.ts";
import { ignoreTools, makeId, nowSeconds, oneGrammar, readBody, streamAnswer } from "./answering.ts";

type Prepared = {
  request: EngineRequest;
  stream: boolean;
  /** What the answer repeats of the request, from `object` to `user`. */
  head: Record<string, unknown>;
};

const withLogprobs = "message.output_text.logprobs";

/** POST /v1/responses. Nothing is remembered: `store` is always false, and an id can never be asked for again. */
export async function responses(service: Service, context: ServeContext): Promise<Response> {
  const prepared = await readBody(service, context, (body) =>
    prepare(service, context, parseBody(responseRequest, body)),
  );
  const { request, head } = prepared;
  const events = follow(service, request, context.get("running"));
  if (prepared.stream) {
    const numbered = { sequence_number: 0 };
    const options = {
      reportExperts: false,
      describeError: ({ message, code, param }: { message: string; code: string | null; param: string | null }) => ({
        event: "error",
        data: { type: "error", message, code, param, ...numbered },
      }),
    };
    return streamAnswer(service, context, options, (send) => stream(service, prepared, events, numbered, send));
  }
  const { promptTokens, cachedTokens, answers } = await collect(service.model, 1, events);
  const { text, tokens, logprobs, reason } = answers[0]!;
  const item = messageItem(makeId("msg_"), reason, text, viewLogprobs(service, logprobs));
  return context.json(wholeResponse(head, reason, item, { promptTokens, cachedTokens, written: tokens.length }));
}

async function prepare(service: Service, context: ServeContext, fields: ResponseRequest): Promise<Prepared> {
  const { model, engine, prompts } = service;
  service.checkModel(fields.model);
  ignoreTools(service, fields);
  const grammar = oneGrammar(grammarOf(fields.text?.format ?? undefined, "text.format"), undefined);
  const messages: ChatMessage[] = fields.instructions ? [{ role: "system", content: fields.instructions }] : [];
  for (const message of fields.input) messages.push(message);
  const prompt = await prompts.chat(messages, "input");
  const wantsLogprobs = fields.include.includes(withLogprobs) || (fields.top_logprobs ?? 0) > 0;
  const request: EngineRequest = {
    prompt,
    count: 1,
    maxTokens: answerLength(prompt.length, fields.max_output_tokens, engine.info.maxModelLength, "input"),
    sampling: samplingOf(fields, model),
    seed: seedOf(fields.seed),
    ...stopsOf({ stop: [], stop_token_ids: [], ignore_eos: false }, model),
    ...(wantsLogprobs ? { topLogprobs: fields.top_logprobs ?? 0 } : {}),
    ...grammar,
    ...cacheSaltOf(context.get("running"), fields.cache_salt),
  };
  const { temperature, topP } = request.sampling;
  const head = {
    id: makeId("resp_"),
    object: "response",
    created_at: nowSeconds(),
    background: false,
    error: null,
    instructions: fields.instructions ?? null,
    max_output_tokens: fields.max_output_tokens ?? null,
    metadata: fields.metadata ?? {},
    model: model.id,
    parallel_tool_calls: false,
    previous_response_id: null,
    reasoning: { effort: null, summary: null },
    service_tier: "default",
    store: false,
    temperature,
    text: { format: fields.text?.format ?? { type: "text" } },
    tool_choice: fields.tool_choice ?? "auto",
    tools: [],
    top_logprobs: fields.top_logprobs ?? 0,
    top_p: topP ?? 1,
    truncation: "disabled",
    user: fields.user ?? null,
  };
  return { request, stream: fields.stream, head };
}

type Usage = { promptTokens: number; cachedTokens: number; written: number };

function wholeResponse(head: object, reason: FinishReason, item: object, usage: Usage): object {
  const { promptTokens, cachedTokens, written } = usage;
  return {
    ...head,
    status: reason === "stop" ? "completed" : "incomplete",
    incomplete_details: reason === "stop" ? null : { reason: "max_output_tokens" },
    output: [item],
    usage: {
      input_tokens: promptTokens,
      input_tokens_details: { cached_tokens: cachedTokens },
      output_tokens: written,
      output_tokens_details: { reasoning_tokens: 0 },
      total_tokens: promptTokens + written,
    },
  };
}

function textPart(text: string, logprobs: readonly object[]): object {
  return { type: "output_text", text, annotations: [], logprobs };
}

function messageItem(id: string, reason: FinishReason, text: string, logprobs: readonly object[]): object {
  const status = reason === "stop" ? "completed" : "incomplete";
  return { type: "message", id, status, role: "assistant", content: [textPart(text, logprobs)] };
}

function viewLogprobs(service: Service, logprobs: Parameters<Service["tokens"]["chatLogprob"]>[0][]): object[] {
  return logprobs.map((one) => service.tokens.chatLogprob(one));
}

/** Every event is named, has its place in a sequence, and those of the text say which part they belong to. */
async function stream(
  service: Service,
  { head }: Prepared,
  events: AsyncIterable<EngineEvent>,
  numbered: { sequence_number: number },
  sendEvent: Send,
): Promise<void> {
  const send = (type: string, data: object) => {
    sendEvent({ type, ...data, ...numbered }, type);
    numbered.sequence_number++;
  };
  const id = makeId("msg_");
  const item = { output_index: 0 };
  const part = { item_id: id, ...item, content_index: 0 };
  const usage: Usage = { promptTokens: 0, cachedTokens: 0, written: 0 };
  const logprobs: object[] = [];
  let text = "";
  let reason: FinishReason = "length";
  let hasBegun = false;
  for await (const event of events) {
    if (!hasBegun) {
      hasBegun = true;
      const running = { ...head, status: "in_progress", incomplete_details: null, output: [], usage: null };
      send("response.created", { response: running });
      send("response.in_progress", { response: running });
      const message = { type: "message", id, status: "in_progress", role: "assistant", content: [] };
      send("response.output_item.added", { ...item, item: message });
      send("response.content_part.added", { ...part, part: textPart("", []) });
    }
    if (event.type === "prompt") {
      usage.promptTokens = event.tokens;
      usage.cachedTokens = event.cachedTokens;
    } else if (event.type === "token" || event.type === "finished") {
      text += event.text;
      const found: object[] = [];
      if (event.type === "finished") reason = event.reason;
      else {
        usage.written++;
        if (event.logprobs) found.push(service.tokens.chatLogprob(event.logprobs));
        logprobs.push(...found);
      }
      if (event.text === "" && found.length === 0) continue;
      send("response.output_text.delta", { ...part, delta: event.text, logprobs: found });
    }
  }
  send("response.output_text.done", { ...part, text, logprobs });
  send("response.content_part.done", { ...part, part: textPart(text, logprobs) });
  const message = messageItem(id, reason, text, logprobs);
  send("response.output_item.done", { ...item, item: message });
  const response = wholeResponse(head, reason, message, usage);
  send(reason === "stop" ? "response.completed" : "response.incomplete", { response });
}
