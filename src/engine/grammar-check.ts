/** What is refused of a grammar before anything compiles it. */
import { RookeryError } from "../base/errors.ts";
import { isPlainObject } from "../base/option-schema.ts";
import type { Grammar } from "./request.ts";

export const grammarLimits = { bytes: 64 * 1024, depth: 64 } as const;

/** Keywords that the library passes over: it would permit texts that the schema forbids. */
const unenforced = [
  ...["not", "if", "then", "else", "multipleOf", "uniqueItems", "contains", "minContains", "maxContains"],
  ...["dependencies", "dependentRequired", "dependentSchemas"],
];
/** Keywords whose value is a schema or a list of them, and those whose value has schemas under names. */
const schemaKeywords = [
  ...["items", "additionalItems", "prefixItems", "unevaluatedItems", "additionalProperties", "unevaluatedProperties"],
  ...["propertyNames", "anyOf", "oneOf", "allOf"],
];
const schemaMapKeywords = ["properties", "patternProperties", "$defs", "definitions"];

/** @throws RookeryError INVALID_OPTION, naming what is wrong. */
export function checkGrammar(grammar: Grammar): void {
  if (grammar.type === "json") return;
  const [what, text] =
    grammar.type === "json-schema" ? ["the JSON schema", grammar.schema] : ["the grammar", grammar.grammar];
  const bytes = Buffer.byteLength(text);
  if (bytes > grammarLimits.bytes) {
    throw invalid(`${what} has ${bytes} bytes`, `give at most ${grammarLimits.bytes}`);
  }
  if (grammar.type === "json-schema") checkSchemaText(text);
}

function checkSchemaText(text: string): void {
  let schema: unknown;
  try {
    schema = JSON.parse(text);
  } catch (error) {
    throw invalid(`the JSON schema is no JSON: ${(error as Error).message}`, "give a JSON object");
  }
  if (!isPlainObject(schema)) throw invalid("the JSON schema is no object", 'give one such as {"type": "object"}');
  checkDepth(schema, 1);
  checkSchema(schema);
}

function checkDepth(value: unknown, depth: number): void {
  if (typeof value !== "object" || value === null) return;
  if (depth > grammarLimits.depth) {
    throw invalid(
      `the JSON schema is nested deeper than ${grammarLimits.depth}`,
      "name inner parts in $defs and refer to them by $ref",
    );
  }
  for (const inner of Object.values(value)) checkDepth(inner, depth + 1);
}

function checkSchema(schema: unknown): void {
  if (Array.isArray(schema)) schema.forEach(checkSchema);
  if (!isPlainObject(schema)) return;
  for (const keyword of unenforced) if (keyword in schema) throw notEnforced(`the keyword ${keyword}`);
  if (Array.isArray(schema.allOf) && schema.allOf.length > 1) throw notEnforced("allOf of several schemas");
  if (typeof schema.$ref === "string" && !/^#(\/|$)/.test(schema.$ref)) {
    throw invalid(
      `the JSON schema refers to ${schema.$ref.slice(0, 100)}`,
      'refer only to its own parts, such as "#/$defs/name"',
    );
  }
  for (const keyword of schemaKeywords) checkSchema(schema[keyword]);
  for (const keyword of schemaMapKeywords) {
    const named = schema[keyword];
    if (isPlainObject(named)) Object.values(named).forEach(checkSchema);
  }
}

function notEnforced(what: string): RookeryError {
  return invalid(`the JSON schema has ${what}, which cannot be enforced`, "leave it out and check the answer yourself");
}

function invalid(message: string, hint: string): RookeryError {
  return new RookeryError("INVALID_OPTION", message, hint);
}
