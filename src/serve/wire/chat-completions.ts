/** The body of POST /v1/chat/completions. */
import { z } from "zod";
import { generationFields, toolFields, topLogprobs } from "./common.ts";
import { ebnfGrammar, responseFormat } from "./format.ts";
import { messageList } from "./messages.ts";

const maxTokens = z.int().min(1).optional();

export const chatRequest = z.object({
  ...generationFields,
  ...toolFields,
  messages: messageList,
  max_tokens: maxTokens,
  max_completion_tokens: maxTokens,
  logprobs: z.boolean().default(false),
  top_logprobs: topLogprobs.optional(),
  response_format: responseFormat.optional(),
  grammar: ebnfGrammar.optional(),
});

export type ChatRequest = z.output<typeof chatRequest>;
