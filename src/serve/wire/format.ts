import { z } from "zod";
import type { Grammar } from "../../engine/request.ts";
import { badRequest } from "../errors.ts";
import { largestGrammarBytes } from "../limits.ts";

const schemaObject = z.custom<object>((value) => typeof value === "object" && value !== null && !Array.isArray(value), {
  message: "must be a JSON schema",
});

/** `response_format` of chat and completions: free text, any JSON, or JSON of a schema. */
export const responseFormat = z.discriminatedUnion("type", [
  z.object({ type: z.literal("text") }),
  // `schema` is how llama.cpp's server writes it.
  z.object({ type: z.literal("json_object"), schema: schemaObject.nullish() }),
  z.object({
    type: z.literal("json_schema"),
    json_schema: z.object({ name: z.string().max(256).nullish(), schema: schemaObject.nullish() }),
  }),
]);

/** `text.format` of responses: the same, with the schema one level higher. */
export const textFormat = z.discriminatedUnion("type", [
  z.object({ type: z.literal("text") }),
  z.object({ type: z.literal("json_object") }),
  z.object({ type: z.literal("json_schema"), name: z.string().max(256).nullish(), schema: schemaObject }),
]);

/** A grammar in xgrammar's EBNF, as llama.cpp's server takes one. */
export const ebnfGrammar = z.string().max(largestGrammarBytes);

/** @throws ApiError 400 for a schema that is too large. Whether it can be kept to is the engine's to say. */
export function grammarOf(
  format: z.output<typeof responseFormat> | z.output<typeof textFormat> | undefined,
  param: string,
): Grammar | undefined {
  if (format === undefined || format.type === "text") return undefined;
  const schema = "json_schema" in format ? format.json_schema.schema : "schema" in format ? format.schema : undefined;
  if (schema === undefined || schema === null) return { type: "json" };
  const text = JSON.stringify(schema);
  if (text.length > largestGrammarBytes) {
    throw badRequest(`${param}: the schema has more than ${largestGrammarBytes} characters`, param);
  }
  return { type: "json-schema", schema: text };
}
