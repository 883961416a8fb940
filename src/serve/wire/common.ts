/** What the bodies of several routes share: bounded lists, sampling settings, and one readable line for what is wrong. */
import { z } from "zod";
import { type ApiError, badRequest } from "../errors.ts";
import { longestStop, mostAnswers, mostBiases, mostStops, mostTopLogprobs } from "../limits.ts";

/** A list whose length is checked before its items are: a million bad items would make a million messages. */
export function boundedList<Item extends z.ZodType>(item: Item, limits: { min?: number; max: number }) {
  return z
    .array(z.unknown())
    .min(limits.min ?? 0)
    .max(limits.max)
    .pipe(z.array(item));
}

/** A token id; whether the vocabulary has it is checked where the tokenizer is known. */
const tokenId = z
  .int()
  .min(0)
  .max(2 ** 24);

const stopText = z.string().max(longestStop);

const stop = z
  .union([stopText.transform((text) => [text]), boundedList(stopText, { max: mostStops })])
  // Nothing would ever be written if the empty text ended an answer.
  .transform((texts) => texts.filter((text) => text !== ""));

const logitBias = z
  .custom<Record<string, unknown>>((value) => typeof value === "object" && value !== null && !Array.isArray(value), {
    message: "must be an object of token ids and numbers",
  })
  .refine((value) => Object.keys(value).length <= mostBiases, { message: `must have at most ${mostBiases} entries` })
  .pipe(z.record(z.string().regex(/^\d{1,8}$/, "must have token ids as keys"), z.number().min(-100).max(100)));

/** Fields that chat, completions and responses understand. What is not here is ignored. */
export const samplingFields = {
  temperature: z.number().min(0).max(100).optional(),
  top_p: z.number().gt(0).max(1).optional(),
  top_k: z.int().min(-1).optional(),
  min_p: z.number().min(0).max(1).optional(),
  repetition_penalty: z.number().gt(0).max(100).optional(),
  presence_penalty: z.number().min(-2).max(2).optional(),
  frequency_penalty: z.number().min(-2).max(2).optional(),
  logit_bias: logitBias.optional(),
  // Clients send any whole number, negative ones too.
  seed: z
    .number()
    .refine((value) => Number.isInteger(value), { message: "must be a whole number" })
    .optional(),
};

/** Fields that chat and completions understand besides. */
export const generationFields = {
  model: z.string().optional(),
  ...samplingFields,
  n: z.int().min(1).max(mostAnswers).default(1),
  stop: stop.default([]),
  stop_token_ids: boundedList(tokenId, { max: mostStops }).default([]),
  ignore_eos: z.boolean().default(false),
  stream: z.boolean().default(false),
  stream_options: z.object({ include_usage: z.boolean().nullish() }).optional(),
  cache_salt: z.string().max(256).optional(),
  rookery: z.object({ experts: z.boolean().nullish() }).optional(),
};

export const topLogprobs = z.int().min(0).max(mostTopLogprobs);

/** `tools` and what says that one must be called: this server calls none. */
export const toolFields = {
  tools: z.array(z.unknown()).optional(),
  functions: z.array(z.unknown()).optional(),
  tool_choice: z.union([z.string(), z.object({})]).optional(),
  function_call: z.union([z.string(), z.object({})]).optional(),
};

/** @throws ApiError 400, naming the first field that is wrong. */
export function parseBody<Schema extends z.ZodType>(schema: Schema, body: unknown): z.output<Schema> {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  throw describeIssue(parsed.error.issues[0]!);
}

function describeIssue(issue: z.core.$ZodIssue): ApiError {
  let path = issue.path;
  let inner = issue;
  // The branch of a union that got furthest is the one that was meant.
  while (inner.code === "invalid_union" && inner.errors.length > 0) {
    const branches = inner.errors.flatMap((issues) => (issues[0] === undefined ? [] : [issues[0]]));
    const furthest = branches.reduce((best, one) => (one.path.length > best.path.length ? one : best), branches[0]!);
    if (furthest === undefined || furthest.path.length === 0) break;
    path = [...path, ...furthest.path];
    inner = furthest;
  }
  const param = path.map(String).join(".").slice(0, 200);
  const isMissing = inner.code === "invalid_type" && /received undefined$/.test(inner.message);
  const message = `${param === "" ? "the body" : param}: ${isMissing ? "is missing" : inner.message}`;
  return badRequest(message, param === "" ? null : param, isMissing ? "missing_required_parameter" : "invalid_value");
}
