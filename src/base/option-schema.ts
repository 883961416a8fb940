import { z } from "zod";
import { RookeryError } from "./errors.ts";
import { didYouMean } from "./nearest.ts";

/**
 * The part of JSON Schema that options are written in. Flags, documentation, coercion and advice are all
 * derived from this one form of a command's zod schema, so they cannot disagree with each other.
 */
export type OptionSchema = {
  type?: string | string[];
  description?: string;
  default?: unknown;
  const?: unknown;
  enum?: unknown[];
  /** Values that are known where others can be given, too: what a shell offers, set by `.meta({ examples: [...] })`. */
  examples?: unknown[];
  anyOf?: OptionSchema[];
  oneOf?: OptionSchema[];
  items?: OptionSchema | boolean;
  prefixItems?: OptionSchema[];
  properties?: Record<string, OptionSchema>;
  required?: string[];
  additionalProperties?: boolean | OptionSchema;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  exclusiveMaximum?: number;
  minLength?: number;
  /** What help calls the value, set by `.meta({ valueName: "PATH" })`. */
  valueName?: string;
};

/** The input side of a zod schema as JSON Schema (draft 2020-12). */
export function toOptionSchema(schema: z.ZodType): OptionSchema {
  return z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as OptionSchema;
}

/** `learningRate` → `learning-rate`. */
export function toFlagName(key: string): string {
  return key
    .replace(/_/g, "-")
    .replace(/([a-z0-9])([A-Z])/g, (_, before: string, after: string) => `${before}-${after.toLowerCase()}`);
}

/** The alternatives of a schema with nested unions opened: a schema that is no union is its only alternative. */
export function alternatives(schema: OptionSchema): OptionSchema[] {
  const branches = schema.anyOf ?? schema.oneOf;
  return branches === undefined ? [schema] : branches.flatMap(alternatives);
}

/** Whether the schema takes a value of that JSON type ("integer" counts as "number"). */
export function hasType(schema: OptionSchema, type: string): boolean {
  return alternatives(schema).some((one) =>
    typesOf(one).some((t) => t === type || (type === "number" && t === "integer")),
  );
}

/** Every schema that a value at `path` may have to satisfy; empty when the path leads nowhere. */
export function schemasAt(schema: OptionSchema, path: readonly PropertyKey[]): OptionSchema[] {
  let current = alternatives(schema);
  for (const key of path) current = current.flatMap((one) => childSchema(one, key)).flatMap(alternatives);
  return current;
}

/** Refuses keys that the schema does not know, at any depth, naming the nearest that it does. */
export function refuseUnknownKeys(
  schema: OptionSchema,
  value: unknown,
  whereFrom: string,
  path: readonly string[] = [],
): void {
  if (!isPlainObject(value)) {
    if (Array.isArray(value)) {
      value.forEach((item, index) => {
        const inner = schemasAt(schema, [index]);
        if (inner.length > 0) refuseUnknownKeys({ anyOf: inner }, item, whereFrom, [...path, String(index)]);
      });
    }
    return;
  }
  const objects = alternatives(schema).filter((one) => typesOf(one).includes("object"));
  if (objects.length === 0) return; // not an object here: the value itself is wrong, and zod says so
  for (const [key, inner] of Object.entries(value)) {
    const children = objects.flatMap((one) => childSchema(one, key));
    if (children.length === 0 || key === "__proto__") {
      const known = [...new Set(objects.flatMap((one) => Object.keys(one.properties ?? {})))];
      throw new RookeryError(
        "UNKNOWN_OPTION",
        `unknown key "${[...path, key].join(".")}" in ${whereFrom}`,
        didYouMean(key, known),
      );
    }
    refuseUnknownKeys({ anyOf: children }, inner, whereFrom, [...path, key]);
  }
}

/**
 * Turns the strings of flags and `--set` into what the schema asks for. A string that fits nothing stays a string,
 * for validation to refuse with the full list of what is allowed.
 */
export function coerceStrings(schema: OptionSchema, value: unknown): unknown {
  if (typeof value === "string") return coerceString(schema, value);
  if (Array.isArray(value)) {
    return value.map((item, index) => coerceStrings({ anyOf: schemasAt(schema, [index]) }, item));
  }
  if (!isPlainObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key, coerceStrings({ anyOf: schemasAt(schema, [key]) }, inner)]),
  );
}

const numberPattern = /^[+-]?(\d[\d_]*\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

function coerceString(schema: OptionSchema, text: string): unknown {
  const branches = alternatives(schema);
  for (const branch of branches) {
    const fixed = branch.enum ?? ("const" in branch ? [branch.const] : []);
    const match = fixed.find((member) => String(member) === text);
    if (match !== undefined) return match;
  }
  const types = new Set(
    branches.filter((branch) => branch.enum === undefined && !("const" in branch)).flatMap(typesOf),
  );
  if ((types.has("number") || types.has("integer")) && numberPattern.test(text))
    return Number(text.replaceAll("_", ""));
  if (types.has("boolean") && (text === "true" || text === "false")) return text === "true";
  if (types.has("null") && text === "null") return null;
  if ((types.has("array") && text.startsWith("[")) || (types.has("object") && text.startsWith("{"))) {
    try {
      return JSON.parse(text);
    } catch {
      return text;
    }
  }
  if (types.has("array") && !types.has("string")) return [coerceStrings({ anyOf: schemasAt(schema, [0]) }, text)];
  return text;
}

/** What a value may be, for people: "an integer of at least 1". */
export function describeAllowed(schemas: readonly OptionSchema[]): string {
  const texts = [...new Set(schemas.flatMap(alternatives).map(describeOne))];
  return texts.length === 0 ? "nothing" : joinWithOr(texts);
}

/** "a, b or c". */
export function joinWithOr(words: readonly string[]): string {
  return words.length < 2 ? (words[0] ?? "") : `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
}

function describeOne(schema: OptionSchema): string {
  if ("const" in schema) return String(schema.const);
  if (schema.enum !== undefined) return joinWithOr(schema.enum.map(String));
  const types = typesOf(schema);
  if (types.length === 0) return "any value";
  return joinWithOr(types.map((type) => describeType(schema, type)));
}

function describeType(schema: OptionSchema, type: string): string {
  switch (type) {
    case "integer":
    case "number":
      return `${type === "integer" ? "an integer" : "a number"}${describeRange(schema)}`;
    case "string":
      return (schema.minLength ?? 0) > 0 ? "text that is not empty" : "text";
    case "boolean":
      return "true or false";
    case "array":
      if (schema.prefixItems !== undefined)
        return `a list of ${schema.prefixItems.length}: ${schema.prefixItems.map(describeOne).join(", ")}`;
      return typeof schema.items === "object" ? `a list, each ${describeAllowed([schema.items])}` : "a list";
    case "object": {
      const keys = Object.keys(schema.properties ?? {});
      return keys.length === 0
        ? "an object"
        : `an object with ${keys.slice(0, 8).join(", ")}${keys.length > 8 ? ", …" : ""}`;
    }
    default:
      return type;
  }
}

function describeRange(schema: OptionSchema): string {
  // zod writes the range of exact integers into every integer; nobody needs to read it.
  const isBound = (value: number | undefined): value is number =>
    value !== undefined && Math.abs(value) !== Number.MAX_SAFE_INTEGER;
  if (isBound(schema.minimum) && isBound(schema.maximum)) return ` from ${schema.minimum} to ${schema.maximum}`;
  const parts = [
    isBound(schema.minimum) ? `of at least ${schema.minimum}` : "",
    isBound(schema.exclusiveMinimum) ? `above ${schema.exclusiveMinimum}` : "",
    isBound(schema.maximum) ? `at most ${schema.maximum}` : "",
    isBound(schema.exclusiveMaximum) ? `below ${schema.exclusiveMaximum}` : "",
  ].filter((part) => part !== "");
  return parts.length === 0 ? "" : ` ${parts.join(" and ")}`;
}

function childSchema(schema: OptionSchema, key: PropertyKey): OptionSchema[] {
  if (typeof key === "number") {
    const positioned = schema.prefixItems?.[key];
    if (positioned !== undefined) return [positioned];
    return typeof schema.items === "object" ? [schema.items] : [];
  }
  const name = String(key);
  if (schema.properties !== undefined && Object.hasOwn(schema.properties, name)) return [schema.properties[name]!];
  if (typeof schema.additionalProperties === "object") return [schema.additionalProperties];
  return schema.additionalProperties === true ? [{}] : [];
}

function typesOf(schema: OptionSchema): string[] {
  if (schema.type === undefined) return [];
  return typeof schema.type === "string" ? [schema.type] : schema.type;
}

/** Whether the value is an object with keys of its own, as JSON and YAML make them. */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
