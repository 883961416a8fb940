/**
 * What an engine is asked for and what it answers: plain data, so that both cross threads. Whoever serves holds an
 * `EngineHandle` and does not know whether the engine runs on its own thread or on this one.
 */
import type { SamplingSettings } from "./sampling-settings.ts";

/** What the text must keep to, token by token. */
export type Grammar =
  | { type: "json" }
  /** `schema` is JSON text. */
  | { type: "json-schema"; schema: string }
  | { type: "ebnf"; grammar: string };

export type EngineRequest = {
  /** Token ids, read as they are. */
  prompt: Int32Array;
  /** Answers wanted to this one prompt; it is read once for all of them. */
  count: number;
  /** Most tokens of an answer. 0 only reads the prompt (for `promptLogprobs`). */
  maxTokens: number;
  sampling: SamplingSettings;
  /** The same seed, prompt and settings give the same texts, whatever else the engine does. */
  seed: number;
  /** Tokens that end an answer and are no part of it. */
  stopTokenIds: readonly number[];
  /** Texts that end an answer and are no part of it. */
  stopStrings: readonly string[];
  /** Log-probabilities of each token of the answer, and of this many likeliest tokens in its place. Absent: none. */
  topLogprobs?: number;
  /** Log-probabilities of the prompt's tokens too; the prompt is then read without help of cached prefixes. */
  promptLogprobs?: boolean;
  /** Only of the prompt's tokens from this one on; cached prefixes then help with what comes before it. */
  promptLogprobsFrom?: number;
  grammar?: Grammar;
  /** Tells which experts handled each token that is read. */
  reportExperts?: boolean;
  /** Only requests with the same salt share cached prefixes. */
  cacheSalt?: string;
};

/** Natural logarithms over the whole vocabulary, before temperature and penalties. */
export type TokenLogprobs = {
  token: number;
  logprob: number;
  /** The likeliest tokens, the likeliest first. */
  top: readonly { token: number; logprob: number }[];
};

/** Why an answer ended: a stop token or text came, it is as long as asked for or as the model can, or the client went away. */
export type FinishReason = "stop" | "length";

/** `index` counts the answers of a request from 0. */
export type EngineEvent =
  /** Once, when the prompt has been read. `logprobs`: one a prompt token, null for the first and those not asked for. */
  | { type: "prompt"; tokens: number; cachedTokens: number; logprobs?: readonly (TokenLogprobs | null)[] }
  /** `text` is what the token completes: often nothing, in the middle of a character or of what may become a stop text. */
  | { type: "token"; index: number; token: number; text: string; logprobs?: TokenLogprobs }
  /** For the token at `position` of prompt and answer: [layers][topK] experts, and their probabilities. */
  | { type: "experts"; index: number; position: number; token: number; experts: number[][]; probabilities: number[][] }
  /** `text`: what was still held back. */
  | { type: "finished"; index: number; reason: FinishReason; text: string };

export const keyValueCacheTypes = ["bf16", "fp8"] as const;
export type KeyValueCacheType = (typeof keyValueCacheTypes)[number];

/** What an engine is made of. */
export type EngineInfo = {
  /** Most tokens of a prompt and its answer together. */
  maxModelLength: number;
  vocabularySize: number;
  numLayers: number;
  numExperts: number;
  topK: number;
  hiddenSize: number;
  keyValueCacheType: KeyValueCacheType;
  /** Bytes that one token takes in the cache, all layers together. */
  keyValueBytesPerToken: number;
  pageTokens: number;
  pages: number;
  /** Most requests that wait; more are refused with OVERLOADED. */
  queueLimit: number;
};

/** Counters since the start, but for the first five, which tell the present. */
export type EngineStats = {
  waiting: number;
  running: number;
  /** Pages that sequences hold, and pages that only keep prefixes for later. */
  pagesInUse: number;
  pagesCached: number;
  pagesFree: number;
  steps: number;
  promptTokens: number;
  /** Of those, tokens that a cached prefix has saved. */
  cachedPromptTokens: number;
  generatedTokens: number;
  preemptions: number;
  finishedRequests: number;
  cancelledRequests: number;
  /** Calls of the specialised experts: one a layer and step, however many sequences there are. */
  expertCalls: number;
  /** [layers][experts]: tokens each expert has taken. */
  expertLoad: number[][];
};

export interface EngineHandle {
  readonly info: EngineInfo;
  /**
   * The events of a request. Ending the iteration early, or raising `signal`, frees its pages at once.
   * @throws RookeryError INVALID_OPTION for a request that can never be served, OVERLOADED when too many wait already,
   * NON_FINITE for broken weights; the signal's reason.
   */
  generate(request: EngineRequest, signal?: AbortSignal): AsyncIterable<EngineEvent>;
  /** The mean of the last hidden states of `tokens`: f32 [hiddenSize]. Waits its turn as `generate` does. */
  embed(tokens: Int32Array, signal?: AbortSignal): Promise<Float32Array>;
  stats(): Promise<EngineStats>;
  /** Ends what runs and frees all memory. */
  close(): Promise<void>;
}
