/** The body of POST /v1/responses: OpenAI's newer shape, without what would need a memory on the server. */
import { z } from "zod";
import { mostMessages } from "../limits.ts";
import { boundedList, samplingFields, toolFields, topLogprobs } from "./common.ts";
import { textFormat } from "./format.ts";
import { message } from "./messages.ts";

/** Items of other types (files, calls of tools, references) would be left out of the prompt without a word. */
const inputItem = z
  .unknown()
  .refine((item) => typeof item !== "object" || item === null || !("type" in item) || item.type === "message", {
    path: ["type"],
    message: "only items of type message can be read",
  })
  .pipe(message);

const never = (what: string) => z.undefined({ message: `is not supported: ${what}` }).optional();

export const responseRequest = z.object({
  model: z.string().optional(),
  ...samplingFields,
  ...toolFields,
  input: z.union([
    z.string().transform((content) => [{ role: "user" as const, content }]),
    boundedList(inputItem, { min: 1, max: mostMessages }),
  ]),
  instructions: z.string().optional(),
  max_output_tokens: z.int().min(1).optional(),
  stream: z.boolean().default(false),
  text: z.object({ format: textFormat.nullish() }).optional(),
  include: boundedList(z.string(), { max: 64 }).default([]),
  top_logprobs: topLogprobs.optional(),
  metadata: z.record(z.string().max(64), z.string().max(512)).optional(),
  user: z.string().max(512).optional(),
  cache_salt: z.string().max(256).optional(),
  previous_response_id: never("this server remembers nothing; send the whole conversation as input"),
  conversation: never("this server remembers nothing; send the whole conversation as input"),
  prompt: never("this server has no prompt templates; send instructions and input"),
  background: z.literal(false, { message: "is not supported: leave it out" }).optional(),
});

export type ResponseRequest = z.output<typeof responseRequest>;
