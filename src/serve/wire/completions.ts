/** The body of POST /v1/completions. */
import { z } from "zod";
import { mostAnswers } from "../limits.ts";
import { generationFields, topLogprobs } from "./common.ts";
import { ebnfGrammar, responseFormat } from "./format.ts";
import { promptList } from "./prompt.ts";

export const completionRequest = z
  .object({
    ...generationFields,
    prompt: promptList,
    // OpenAI's default.
    max_tokens: z.int().min(0).default(16),
    echo: z.boolean().default(false),
    logprobs: topLogprobs.optional(),
    best_of: z.int().min(1).max(mostAnswers).optional(),
    suffix: z.string().max(0, "is not supported: nothing can be put behind the answer").optional(),
    response_format: responseFormat.optional(),
    grammar: ebnfGrammar.optional(),
  })
  .refine(({ best_of, n }) => best_of === undefined || best_of === n, {
    path: ["best_of"],
    message: "must be n: every answer is returned",
  });

export type CompletionRequest = z.output<typeof completionRequest>;
