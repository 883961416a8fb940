/** Bodies as OpenAI's API has them: what is sent, and what of the answers is read. */
import { z } from "zod";

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
  stop?: readonly string[] | undefined;
};

/** What shape an answer must have; servers that cannot hold to it say so, or do not. */
export type ResponseFormat =
  | { type: "json_object" }
  | { type: "json_schema"; json_schema: { name: string; schema: object; strict?: boolean } };

export type ChatRequest = AnswerSettings & {
  model: string;
  messages: readonly ChatMessage[];
  response_format?: ResponseFormat | undefined;
};

/** Text, or token ids; several give several choices, in their order. */
export type Prompt = string | readonly number[];

export type CompletionRequest = AnswerSettings & {
  model: string;
  prompt: Prompt | readonly Prompt[];
  /** Gives the prompt back before the answer; with `logprobs` and `max_tokens` 1, its log-probabilities. */
  echo?: boolean | undefined;
  /** How many of the likeliest tokens are told at each place; 0 for the chosen one alone. */
  logprobs?: number | undefined;
};

/** `promptTokens` and `answerTokens` where the server tells them. */
export type TokenCounts = { promptTokens?: number; answerTokens?: number };

/** `finishReason` is "stop", "length", "content_filter" or the server's own word. `refusal` stands instead of a text. */
export type ChatAnswer = TokenCounts & { text: string; finishReason: string; refusal?: string };

/** One entry a token, natural logarithms; null for the first token of a text, which nothing comes before. */
export type CompletionLogprobs = {
  tokens: string[];
  tokenLogprobs: (number | null)[];
  topLogprobs: (Record<string, number> | null)[];
  /** Where each token begins in the text, in the server's characters. */
  textOffsets: number[];
};

export type CompletionChoice = { text: string; finishReason: string; logprobs?: CompletionLogprobs };
export type CompletionAnswer = TokenCounts & { choices: CompletionChoice[] };

const tokenCount = z.int().min(0);
/** Counts that cannot be are as good as none: a budget goes by them. */
const usage = z
  .object({ prompt_tokens: tokenCount, completion_tokens: tokenCount.default(0) })
  .nullish()
  .catch(undefined);

const countsOf = (used: z.output<typeof usage>): TokenCounts =>
  used ? { promptTokens: used.prompt_tokens, answerTokens: used.completion_tokens } : {};

export const chatBody = z
  .object({
    choices: z
      .array(
        z.object({
          message: z.object({ content: z.string().nullish(), refusal: z.string().nullish() }),
          finish_reason: z.string().nullish(),
        }),
      )
      .min(1),
    usage,
  })
  .transform(({ choices: [choice], usage: used }): ChatAnswer => {
    const { content, refusal } = choice!.message;
    const answer = { text: content ?? "", finishReason: choice!.finish_reason ?? "", ...countsOf(used) };
    return refusal ? { ...answer, refusal } : answer;
  });

const logprobs = z
  .object({
    tokens: z.array(z.string()),
    token_logprobs: z.array(z.number().nullable()),
    top_logprobs: z.array(z.record(z.string(), z.number()).nullable()).nullish(),
    text_offset: z.array(z.number()).nullish(),
  })
  .refine((lists) => lists.tokens.length === lists.token_logprobs.length)
  .transform(
    (lists): CompletionLogprobs => ({
      tokens: lists.tokens,
      tokenLogprobs: lists.token_logprobs,
      topLogprobs: lists.top_logprobs ?? [],
      textOffsets: lists.text_offset ?? [],
    }),
  );

export const completionBody = z
  .object({
    choices: z
      .array(
        z.object({
          text: z.string(),
          index: z.int().min(0).default(0),
          finish_reason: z.string().nullish(),
          logprobs: logprobs.nullish(),
        }),
      )
      .min(1),
    usage,
  })
  .transform(
    ({ choices, usage: used }): CompletionAnswer => ({
      choices: choices
        .toSorted((a, b) => a.index - b.index)
        .map((one) => ({
          text: one.text,
          finishReason: one.finish_reason ?? "",
          ...(one.logprobs ? { logprobs: one.logprobs } : {}),
        })),
      ...countsOf(used),
    }),
  );

/** A piece of a streamed chat or completion. */
export const chunkBody = z.object({
  choices: z
    .array(
      z.object({
        delta: z.object({ content: z.string().nullish() }).nullish(),
        text: z.string().nullish(),
        finish_reason: z.string().nullish(),
      }),
    )
    .default([]),
  usage,
});

export const errorBody = z.object({
  error: z.object({
    message: z.string(),
    code: z.union([z.string(), z.number()]).nullish(),
    type: z.string().nullish(),
  }),
});

export const modelsBody = z.object({ data: z.array(z.object({ id: z.string() })) });
