import type { EngineEvent, EngineRequest } from "../../engine/request.ts";
import type { Send } from "../event-stream.ts";
import {
  answerLength,
  cacheSaltOf,
  collect,
  type ExpertEntry,
  expertEntry,
  follow,
  samplingOf,
  seedOf,
  stopsOf,
  usageOf,
} from "../generation.ts";
import { mostExpertsInChunk } from "../limits.ts";
import type { ServeContext, Service } from "../service.ts";
import { type ChatRequest, chatRequest } from "../wire/chat-completions.ts";
import { parseBody } from "../wire/common.ts";
import { grammarOf } from "../wire/format.ts";
import {
  checkExpertView,
  ignoreTools,
  makeId,
  nowSeconds,
  oneGrammar,
  readBody,
  streamAnswer,
  systemFingerprint,
} from "./answering.ts";

/** What is kept of a request once its prompt is tokens. */
type Prepared = { request: EngineRequest; stream: boolean; includeUsage: boolean; reportExperts: boolean };

/** POST /v1/chat/completions */
export async function chatCompletions(service: Service, context: ServeContext): Promise<Response> {
  const prepared = await readBody(service, context, (body) => prepare(service, context, parseBody(chatRequest, body)));
  const { request, reportExperts } = prepared;
  const events = follow(service, request, context.get("running"));
  const head = { id: makeId("chatcmpl-"), created: nowSeconds(), model: service.model.id };
  if (!prepared.stream) return context.json(await whole(service, request, reportExperts, head, events));
  return streamAnswer(service, context, { reportExperts }, (send) => stream(service, prepared, head, events, send));
}

async function prepare(service: Service, context: ServeContext, fields: ChatRequest): Promise<Prepared> {
  const { model, engine, prompts } = service;
  service.checkModel(fields.model);
  ignoreTools(service, fields);
  const grammar = oneGrammar(grammarOf(fields.response_format, "response_format"), fields.grammar);
  const prompt = await prompts.chat(fields.messages, "messages");
  const wanted = fields.max_completion_tokens ?? fields.max_tokens;
  const maxTokens = answerLength(prompt.length, wanted, engine.info.maxModelLength, "messages");
  const reportExperts = fields.rookery?.experts ?? false;
  if (reportExperts && !fields.stream) checkExpertView(service, prompt.length + fields.n * maxTokens);
  const request: EngineRequest = {
    prompt,
    count: fields.n,
    maxTokens,
    sampling: samplingOf(fields, model),
    seed: seedOf(fields.seed),
    ...stopsOf(fields, model),
    ...(fields.logprobs ? { topLogprobs: fields.top_logprobs ?? 0 } : {}),
    ...grammar,
    ...(reportExperts ? { reportExperts } : {}),
    ...cacheSaltOf(context.get("running"), fields.cache_salt),
  };
  return { request, stream: fields.stream, includeUsage: fields.stream_options?.include_usage ?? false, reportExperts };
}

async function whole(
  service: Service,
  request: EngineRequest,
  reportExperts: boolean,
  head: object,
  events: AsyncIterable<EngineEvent>,
): Promise<object> {
  const { promptTokens, cachedTokens, answers, experts } = await collect(service.model, request.count, events);
  const written = answers.reduce((sum, { tokens }) => sum + tokens.length, 0);
  return {
    ...head,
    object: "chat.completion",
    system_fingerprint: systemFingerprint,
    choices: answers.map(({ text, logprobs, reason }, index) => ({
      index,
      message: { role: "assistant", content: text, refusal: null },
      logprobs:
        request.topLogprobs === undefined
          ? null
          : { content: logprobs.map((one) => service.tokens.chatLogprob(one)), refusal: null },
      finish_reason: reason,
    })),
    usage: usageOf(promptTokens, written, cachedTokens),
    ...(reportExperts ? { rookery: { experts } } : {}),
  };
}

/**
 * The order that clients rely on: a chunk with the role for each answer, chunks of text, one with the reason of the end for each
 * answer, then the usage with no choices, only where it was asked for.
 */
async function stream(
  service: Service,
  { request, includeUsage }: Prepared,
  head: object,
  events: AsyncIterable<EngineEvent>,
  send: Send,
): Promise<void> {
  const { model } = service;
  const everyChunk = { ...head, object: "chat.completion.chunk", system_fingerprint: systemFingerprint };
  const usage = { promptTokens: 0, cachedTokens: 0, written: 0 };
  let experts: ExpertEntry[] = [];
  const chunk = (index: number, delta: object, more: { logprobs?: object; finish_reason?: string } = {}) => {
    const choice = { index, delta, logprobs: more.logprobs ?? null, finish_reason: more.finish_reason ?? null };
    send({
      ...everyChunk,
      choices: [choice],
      ...(includeUsage ? { usage: null } : {}),
      ...(experts.length > 0 ? { rookery: { experts } } : {}),
    });
    experts = [];
  };
  let hasBegun = false;
  for await (const event of events) {
    if (!hasBegun) {
      hasBegun = true;
      for (let index = 0; index < request.count; index++) chunk(index, { role: "assistant", content: "" });
    }
    if (event.type === "prompt") {
      usage.promptTokens = event.tokens;
      usage.cachedTokens = event.cachedTokens;
    } else if (event.type === "experts") {
      experts.push(expertEntry(model, event));
      // A long prompt: its tokens are told of as they are read.
      if (experts.length >= mostExpertsInChunk) chunk(event.index, {});
    } else if (event.type === "token") {
      usage.written++;
      const logprobs = event.logprobs && {
        logprobs: { content: [service.tokens.chatLogprob(event.logprobs)], refusal: null },
      };
      if (event.text !== "" || logprobs !== undefined) chunk(event.index, { content: event.text }, logprobs);
    } else {
      if (event.text !== "") chunk(event.index, { content: event.text });
      chunk(event.index, {}, { finish_reason: event.reason });
    }
  }
  if (includeUsage) {
    const { promptTokens, written, cachedTokens } = usage;
    send({ ...everyChunk, choices: [], usage: usageOf(promptTokens, written, cachedTokens) });
  }
  send("[DONE]");
}
