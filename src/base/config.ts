import type { z } from "zod";
import { RookeryError } from "./errors.ts";
import { didYouMean } from "./nearest.ts";
import {
  coerceStrings,
  describeAllowed,
  hasType,
  isPlainObject,
  type OptionSchema,
  refuseUnknownKeys,
  schemasAt,
  toOptionSchema,
} from "./option-schema.ts";
import { rookeryVersion } from "./version.ts";

/** The format of the `config.json` that every run writes, and that `--config` reads back. */
export const runConfigFormat = "rookery-run/1";

/** A run's own `config.json`: every option as it was resolved. */
export type RunConfig = {
  format: typeof runConfigFormat;
  rookeryVersion: string;
  command: string;
  options: Record<string, unknown>;
};

/** One source of options. `values` is nested as the schema is. */
export type ConfigLayer = {
  /** As named in messages: "run.yaml", "preset nano". */
  name: string;
  values: Record<string, unknown>;
  /** Whether the values come as text and are to be turned into the schema's types. */
  areStrings?: boolean;
  /** How this source writes a key ("learningRate" → "--learning-rate"); by default `"KEY" in NAME`. */
  nameKey?: (path: string) => string;
};

/** What a run writes as its `config.json`; `JSON.stringify` it. */
export function makeRunConfig(command: string, options: Record<string, unknown>): RunConfig {
  return { format: runConfigFormat, rookeryVersion, command, options };
}

/**
 * Lays the layers over each other, the first being the weakest, and validates the outcome.
 * Objects are merged key by key; lists and everything else replace what lies below.
 * @throws RookeryError UNKNOWN_OPTION for a key that the schema does not know, INVALID_OPTION for a value it refuses.
 */
export function resolveOptions<Schema extends z.ZodType>(
  schema: Schema,
  layers: readonly ConfigLayer[],
): z.output<Schema> {
  const optionSchema = toOptionSchema(schema);
  const typed = layers.map((layer) => {
    refuseUnknownKeys(optionSchema, layer.values, layer.name);
    return layer.areStrings === true
      ? { ...layer, values: coerceStrings(optionSchema, layer.values) as Record<string, unknown> }
      : layer;
  });
  const parsed = schema.safeParse(mergeLayers(typed), { reportInput: true });
  if (parsed.success) return parsed.data;
  throw describeIssues(parsed.error.issues, optionSchema, typed);
}

/** The options that a program gives to a function, checked as those of a command line are. Throws as `resolveOptions`. */
export function parseOptions<Schema extends z.ZodType<object>>(
  schema: Schema,
  given: z.input<Schema>,
): z.output<Schema> {
  // callers in plain JavaScript can give anything
  if (!isPlainObject(given)) {
    throw new RookeryError("INVALID_OPTION", `the options are ${showValue(given)}`, "give an object");
  }
  return resolveOptions(schema, [{ name: "the options", values: given }]);
}

/** The values of all layers, the last being the strongest. */
export function mergeLayers(layers: readonly ConfigLayer[]): Record<string, unknown> {
  return layers.reduce<Record<string, unknown>>((below, layer) => mergeObjects(below, layer.values), {});
}

/**
 * Layers in which a key also replaces its alternatives in the layers below: `--minutes` on the command line goes before the
 * `steps` of a file. Alternatives within one layer stay, for the command to refuse.
 */
export function replaceAlternatives(
  layers: readonly ConfigLayer[],
  groups: readonly (readonly string[])[],
): ConfigLayer[] {
  return layers.map((layer, index) => {
    const above = layers.slice(index + 1);
    const isReplaced = (key: string) =>
      groups.some(
        (group) => group.includes(key) && above.some(({ values }) => group.some((one) => Object.hasOwn(values, one))),
      );
    const values = Object.fromEntries(Object.entries(layer.values).filter(([key]) => !isReplaced(key)));
    return { ...layer, values };
  });
}

function mergeObjects(below: Record<string, unknown>, above: Record<string, unknown>): Record<string, unknown> {
  const merged = { ...below };
  for (const [key, value] of Object.entries(above)) {
    if (key === "__proto__" || value === undefined) continue;
    const under = Object.hasOwn(merged, key) ? merged[key] : undefined;
    merged[key] = isPlainObject(value) && isPlainObject(under) ? mergeObjects(under, value) : value;
  }
  return merged;
}

/**
 * Options from `KEY=VALUE` texts; a dotted key reaches into objects.
 * @throws RookeryError INVALID_OPTION when a text has no `=` or an empty key.
 */
export function parseAssignments(assignments: readonly string[]): Record<string, unknown> {
  let values: Record<string, unknown> = {};
  for (const assignment of assignments) {
    const equals = assignment.indexOf("=");
    const path = assignment.slice(0, Math.max(0, equals)).split(".");
    if (equals < 1 || path.some((key) => key === "" || key === "__proto__")) {
      throw new RookeryError(
        "INVALID_OPTION",
        `--set ${JSON.stringify(assignment)} is not KEY=VALUE`,
        "write for example --set learningRate=0.001",
      );
    }
    const nested = path.reduceRight<unknown>((inner, key) => ({ [key]: inner }), assignment.slice(equals + 1));
    values = mergeObjects(values, nested as Record<string, unknown>);
  }
  return values;
}

function describeIssues(
  issues: readonly z.core.$ZodIssue[],
  schema: OptionSchema,
  layers: readonly ConfigLayer[],
): RookeryError {
  const issue = issues[0]!;
  const others = new Set(issues.map((one) => one.path.join("."))).size - 1;
  const more = others > 0 ? ` (and ${others} more)` : "";
  const path = issue.path.map(String);
  const source = layers.findLast((layer) => valueAt(layer.values, path) !== undefined);
  const key = path.join(".");
  if (issue.code === "unrecognized_keys") {
    const unknown = issue.keys[0]!;
    const known = schemasAt(schema, issue.path).flatMap((one) => Object.keys(one.properties ?? {}));

    const message = `unknown key "${[...path, unknown].join(".")}"${source === undefined ? "" : ` in ${source.name}`}${more}`;
    return new RookeryError(
      "UNKNOWN_OPTION",
      message,
      didYouMean(
        unknown,
        known.filter((name) => name !== unknown),
      ),
    );
  }
  const isOwnRule = issue.code === "custom";
  const allowed = isOwnRule ? issue.message : `give ${describeAllowed(schemasAt(schema, issue.path))}`;
  const writer = source ?? layers.at(-1);
  const name = writer?.nameKey?.(key) ?? (source === undefined ? `"${key}"` : `"${key}" in ${source.name}`);
  if (key === "") return new RookeryError("INVALID_OPTION", `these options cannot be used together${more}`, allowed);
  const value = valueAt(mergeLayers(layers), path);
  const state =
    value === undefined ? "is missing" : isOwnRule ? `cannot be ${showValue(value)}` : `is ${showValue(value)}`;
  return new RookeryError("INVALID_OPTION", `${name} ${state}${more}`, `${allowed}${spelledOut(value, schema, path)}`);
}

const magnitudes = [
  ["M", "e6"],
  ["B", "e9"],
  ["T", "e12"],
] as const;

/** 52B is what pages print and papers write: how to give it. K is left alone, since it may be 1000 or 1024. */
function spelledOut(value: unknown, schema: OptionSchema, path: readonly PropertyKey[]): string {
  const magnitude = typeof value === "string" ? magnitudes.find(([letter]) => value.endsWith(letter)) : undefined;
  if (magnitude === undefined || !schemasAt(schema, path).some((one) => hasType(one, "number"))) return "";
  const number = String(value).slice(0, -1);
  return /^\d+(\.\d+)?$/.test(number) ? `: ${number}${magnitude[1]} for ${value}` : "";
}

function valueAt(values: unknown, path: readonly string[]): unknown {
  let current = values;
  for (const key of path) {
    if (typeof current !== "object" || current === null || !Object.hasOwn(current, key)) return undefined;
    current = (current as Record<string, unknown>)[key];
  }
  return current;
}

/** For a message: JSON, cut to a sensible length. */
export function showValue(value: unknown): string {
  // JSON has no number that is not finite, and 1e400 is none
  const text = typeof value === "number" ? String(value) : (JSON.stringify(value) ?? String(value));
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}
