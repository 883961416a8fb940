/** Answers that have to be JSON of a schema: what is asked of the server, and what is made of near misses. */
import { z } from "zod";
import { nearest } from "../base/nearest.ts";
import { coerceStrings, isPlainObject, type OptionSchema, schemasAt, toOptionSchema } from "../base/option-schema.ts";
import { readNearJson } from "./near-json.ts";
import type { ResponseFormat } from "./wire.ts";

/** What a server can hold an answer to. */
export const structuredModes = ["json_schema", "json_object", "none"] as const;
export type StructuredMode = (typeof structuredModes)[number];

export function responseFormatOf(schema: z.ZodType, mode: StructuredMode): ResponseFormat | undefined {
  if (mode === "none") return undefined;
  if (mode === "json_object") return { type: "json_object" };
  return { type: "json_schema", json_schema: { name: "answer", schema: jsonSchemaOf(schema), strict: true } };
}

function jsonSchemaOf(schema: z.ZodType): object {
  const { $schema: _, ...rest } = z.toJSONSchema(schema) as Record<string, unknown>;
  return rest;
}

export type StructuredReading<Value> = { value: Value; isRepaired: boolean } | { fault: string };

/** The value that `text` holds, or meant: names of keys nearly right, numbers written as text, a list without its object. */
export function readStructured<Value>(text: string, schema: z.ZodType<Value>): StructuredReading<Value> {
  const strict = schema.safeParse(parsedOrUndefined(text));
  if (strict.success) return { value: strict.data, isRepaired: false };
  const near = readNearJson(text);
  if (near === undefined) return { fault: "no JSON in it" };
  const form = toOptionSchema(schema);
  const fitted = schema.safeParse(coerceStrings(form, fitKeys(form, inObject(form, near))));
  if (fitted.success) return { value: fitted.data, isRepaired: true };
  const issue = fitted.error.issues[0]!;
  const place = issue.path.length > 0 ? `${issue.path.map(String).join(".")}: ` : "";
  return { fault: `${place}${issue.message}` };
}

function parsedOrUndefined(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** A bare value where an object with one property was asked for. */
function inObject(form: OptionSchema, value: unknown): unknown {
  const keys = Object.keys(form.properties ?? {});
  return Array.isArray(value) && keys.length === 1 ? { [keys[0]!]: value } : value;
}

/** Gives keys that are nearly those of the schema their right names. */
function fitKeys(form: OptionSchema, value: unknown): unknown {
  if (Array.isArray(value)) return value.map((item, index) => fitKeys({ anyOf: schemasAt(form, [index]) }, item));
  if (!isPlainObject(value)) return value;
  const known = schemasAt(form, []).flatMap((one) => Object.keys(one.properties ?? {}));
  const entries = Object.entries(value).map(([key, inner]): [string, unknown] => {
    const isKnown = known.includes(key);
    const free = known.filter((name) => !Object.hasOwn(value, name));
    const name = isKnown ? key : (nearest(key, free) ?? key);
    return [name, fitKeys({ anyOf: schemasAt(form, [name]) }, inner)];
  });
  return Object.fromEntries(entries);
}
