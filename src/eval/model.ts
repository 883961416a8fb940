/**
 * A model under evaluation, in this process or behind a URL: what tasks ask of it is the same. Texts become tokens, and
 * likelihoods are summed, as lm-eval does it, so that figures can be laid beside those of others.
 */
import type { ChatMessage } from "../endpoint/endpoint.ts";

/** How likely a token was, and whether no other was likelier. `logprob`: natural logarithm over the whole vocabulary. */
export type TokenScore = { logprob: number; isLikeliest: boolean };

/** How likely a continuation is after its context: the sum of its tokens' log-probabilities, in nats. */
export type Likelihood = {
  logprob: number;
  /** Whether greedy decoding would have written it. */
  isGreedy: boolean;
  /** Tokens of the continuation. */
  tokens: number;
  /** Tokens that were cut off on the left because the whole is longer than the model reads. */
  cutTokens: number;
};

/** A token of a long text. `position`: how many tokens stood before it in the same window. `bytes`: of UTF-8 text. */
export type RollingToken = TokenScore & { position: number; bytes: number };

export type GenerationRequest = {
  /** A text to be continued, or a chat whose next turn is wanted; one that ends with the assistant's is written on. */
  prompt: string | readonly ChatMessage[];
  /** Put the token in front with which a document begins: a text is then read as in pretraining. */
  asDocument?: boolean;
  maxTokens: number;
  /** Texts that end the answer and are no part of it. */
  stop: readonly string[];
  /** 0 takes the likeliest token always. */
  temperature: number;
  seed: number;
};

export type GeneratedText = {
  text: string;
  /** "length": it was cut off at `maxTokens`. */
  finishReason: "stop" | "length";
  promptTokens: number;
  answerTokens: number;
  cutTokens: number;
};

export interface EvalModel {
  /** For people: a folder, or URL and name. */
  readonly name: string;
  /** Most tokens of a prompt and its answer together. */
  readonly maxLength: number;
  /** So many requests are worth having under way at once. */
  readonly concurrency: number;
  /** How an engine in this process keeps keys and values. */
  readonly cache?: { type: string; bytesPerToken: number } | undefined;
  /** Token ids of texts in which nothing is a control token. @throws RookeryError where the server shows no tokenizer. */
  encode(texts: readonly string[]): Promise<Int32Array[]>;
  /** @throws RookeryError what the engine or the server throws; the signal's reason. So do the others. */
  likelihood(context: string, continuation: string, signal?: AbortSignal): Promise<Likelihood>;
  /** Each token of a text of any length, in windows of `maxLength` or `windowTokens` side by side. */
  rolling(text: string, options: { windowTokens?: number }, signal?: AbortSignal): Promise<RollingToken[]>;
  generate(request: GenerationRequest, signal?: AbortSignal): Promise<GeneratedText>;
  /** Prompt tokens that were read so far, and how many of them a cached prefix has saved; null where nobody tells. */
  prefixStats(): Promise<{ promptTokens: number; cachedTokens: number } | null>;
  close(): Promise<void>;
}
