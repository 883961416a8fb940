/** From the fields of a request to what the engine is asked, and from its events to answers. */
import { randomInt } from "node:crypto";
import type { EngineEvent, EngineRequest, FinishReason, TokenLogprobs } from "../engine/request.ts";
import type { SamplingSettings } from "../engine/sampling-settings.ts";
import { stopTokenIds } from "../engine/stop-tokens.ts";
import { badRequest } from "./errors.ts";
import { tooLong } from "./prompt-encoder.ts";
import type { ServedModel } from "./served-model.ts";
import type { Running, Service } from "./service.ts";

/** The sampling fields, as they stand in a body. */
export type SamplingFields = {
  temperature?: number | undefined;
  top_p?: number | undefined;
  top_k?: number | undefined;
  min_p?: number | undefined;
  repetition_penalty?: number | undefined;
  presence_penalty?: number | undefined;
  frequency_penalty?: number | undefined;
  logit_bias?: Record<string, number> | undefined;
  seed?: number | undefined;
};

/** What the client says goes before what the model's makers say, and that before OpenAI's defaults. */
export function samplingOf(fields: SamplingFields, { generation }: ServedModel): SamplingSettings {
  const topK = fields.top_k ?? generation.topK ?? 0;
  const bias = fields.logit_bias ?? {};
  return {
    temperature: fields.temperature ?? generation.temperature ?? 1,
    // 0 and -1 are how clients say "all".
    topK: topK < 1 ? undefined : topK,
    topP: fields.top_p ?? generation.topP,
    minP: fields.min_p,
    repetitionPenalty: fields.repetition_penalty ?? generation.repetitionPenalty,
    presencePenalty: fields.presence_penalty,
    frequencyPenalty: fields.frequency_penalty,
    logitBias: Object.entries(bias).map(([id, value]) => [Number(id), value] as const),
  };
}

/** A seed of 32 bits: the client's, or a new one. */
export function seedOf(seed: number | undefined): number {
  return seed === undefined ? randomInt(2 ** 32) : ((seed % 2 ** 32) + 2 ** 32) % 2 ** 32;
}

/**
 * What ends an answer. A stop text that is the name of a special token is that token, since special tokens are no part of an
 * answer's text.
 */
export function stopsOf(
  fields: { stop: readonly string[]; stop_token_ids: readonly number[]; ignore_eos: boolean },
  { tokenizer, generation }: ServedModel,
): Pick<EngineRequest, "stopStrings" | "stopTokenIds"> {
  const unknown = fields.stop_token_ids.find((id) => id >= tokenizer.vocabularySize);
  if (unknown !== undefined) throw badRequest(`stop_token_ids: there is no token ${unknown}`, "stop_token_ids");
  const ids = new Set(fields.stop_token_ids);
  if (!fields.ignore_eos) for (const id of stopTokenIds(tokenizer, generation.eosTokenIds)) ids.add(id);
  const stopStrings = new Set<string>();
  for (const text of fields.stop) {
    const special = tokenizer.specialTokens.get(text);
    if (special === undefined) stopStrings.add(text.toWellFormed());
    else ids.add(special);
  }
  return { stopStrings: [...stopStrings], stopTokenIds: [...ids] };
}

/**
 * Tokens that an answer may have: what was asked for, as far as there is room behind the prompt.
 * @throws ApiError 400 when the prompt leaves none.
 */
export function answerLength(
  promptTokens: number,
  wanted: number | undefined,
  maxModelLength: number,
  param: string,
): number {
  const room = maxModelLength - promptTokens;
  if (room < 1 && wanted !== 0) {
    throw tooLong(`the ${promptTokens} tokens and an answer`, maxModelLength, param);
  }
  return Math.min(wanted ?? room, room);
}

/** Requests share cached prefixes only with those of the same API key. */
export function cacheSaltOf(running: Running, salt: string | undefined): { cacheSalt?: string } {
  if (running.tenant === undefined && salt === undefined) return {};
  return { cacheSalt: JSON.stringify([running.tenant ?? null, salt ?? null]) };
}

/** The engine's events of one request, measured on their way. */
export async function* follow(
  service: Service,
  request: EngineRequest,
  running: Running,
): AsyncGenerator<EngineEvent, void, undefined> {
  const { metrics } = service;
  const lastTokens = new Map<number, number>();
  for await (const event of service.engine.generate(request, running.controller.signal)) {
    if (event.type === "token") {
      const now = performance.now();
      const last = lastTokens.get(event.index);
      if (last !== undefined) metrics.interTokenLatency.observe((now - last) / 1000);
      else if (lastTokens.size === 0) metrics.timeToFirstToken.observe((now - running.startMilliseconds) / 1000);
      lastTokens.set(event.index, now);
    } else if (event.type === "finished") {
      metrics.countFinished(event.reason);
    }
    yield event;
  }
}

/** Which experts handled a token, as the field `rookery.experts` tells it. */
export type ExpertEntry = {
  /** Which answer; tokens of the prompt belong to answer 0. */
  index: number;
  /** From the beginning of the prompt. */
  position: number;
  token: number;
  text: string;
  /** [layers][topK] */
  experts: number[][];
  probabilities: number[][];
};

export function expertEntry(model: ServedModel, event: Extract<EngineEvent, { type: "experts" }>): ExpertEntry {
  const { index, position, token, experts, probabilities } = event;
  // Four digits are enough to show, and keep the stream a third of the size.
  const rounded = probabilities.map((layer) => layer.map((one) => Math.round(one * 1e4) / 1e4));
  return { index, position, token, text: model.tokenizer.decode([token]), experts, probabilities: rounded };
}

export type Answer = { text: string; tokens: number[]; logprobs: TokenLogprobs[]; reason: FinishReason };

/** All that a request has led to. */
export type Collected = {
  promptTokens: number;
  cachedTokens: number;
  promptLogprobs: readonly (TokenLogprobs | null)[];
  answers: Answer[];
  experts: ExpertEntry[];
};

/** Gathers the events of one request. */
export async function collect(
  model: ServedModel,
  count: number,
  events: AsyncIterable<EngineEvent>,
): Promise<Collected> {
  const answers = Array.from(
    { length: count },
    (): Answer => ({ text: "", tokens: [], logprobs: [], reason: "length" }),
  );
  const collected: Collected = { promptTokens: 0, cachedTokens: 0, promptLogprobs: [], answers, experts: [] };
  for await (const event of events) {
    if (event.type === "prompt") {
      collected.promptTokens = event.tokens;
      collected.cachedTokens = event.cachedTokens;
      collected.promptLogprobs = event.logprobs ?? [];
    } else if (event.type === "experts") {
      collected.experts.push(expertEntry(model, event));
    } else {
      const answer = answers[event.index]!;
      answer.text += event.text;
      if (event.type === "finished") answer.reason = event.reason;
      else {
        answer.tokens.push(event.token);
        if (event.logprobs) answer.logprobs.push(event.logprobs);
      }
    }
  }
  return collected;
}

/** `usage` of chat and completions. */
export function usageOf(promptTokens: number, completionTokens: number, cachedTokens: number): object {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
    completion_tokens_details: { reasoning_tokens: 0 },
  };
}
