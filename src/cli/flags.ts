import { parseArgs } from "node:util";
import { type ConfigLayer, parseAssignments } from "../base/config.ts";
import { readConfigFile } from "../base/config-file.ts";
import { RookeryError } from "../base/errors.ts";
import { didYouMean } from "../base/nearest.ts";
import { hasType, type OptionSchema, schemasAt, toFlagName } from "../base/option-schema.ts";

/** A flag that a key of the schema gives rise to. */
export type Flag = {
  key: string;
  /** Without the dashes: "learning-rate". */
  name: string;
  schema: OptionSchema;
  isBoolean: boolean;
  /** A switch that may be given a number: `--dashboard` or `--dashboard 8081`. */
  takesOptionalNumber: boolean;
  isRepeatable: boolean;
  /** A list of numbers or of words from a list of their own: 512,1024 is two of them. */
  takesCommas: boolean;
};

/** What the words after the command's name say. */
export type ParsedWords = {
  /** Weakest first: file, `--set`, flags. */
  layers: ConfigLayer[];
  json: boolean;
  help: boolean;
};

/** Flags that every command has. */
export const commonFlags = [
  { name: "config", valueName: "FILE", description: "options from a YAML or JSON file, or from a run's config.json" },
  { name: "set", valueName: "KEY=VALUE", description: "one option by its key, dots reaching inside; repeatable" },
  { name: "json", description: "print the result as one JSON object" },
  { name: "help", description: "show this help" },
] as const;

/** The flags of a command: one a key, except for positionals and for objects, which `--set` and files reach. */
export function flagsOf(schema: OptionSchema, positionals: readonly string[]): Flag[] {
  return Object.entries(schema.properties ?? {})
    .filter(([key, one]) => !positionals.includes(key) && !isOnlyObject(one))
    .map(([key, one]) => ({
      key,
      name: toFlagName(key),
      schema: one,
      isBoolean: hasType(one, "boolean") && !hasType(one, "string") && !hasType(one, "number"),
      takesOptionalNumber: hasType(one, "boolean") && hasType(one, "number") && !hasType(one, "string"),
      isRepeatable: hasType(one, "array"),
      takesCommas: schemasAt(one, [0]).some((item) => item.enum !== undefined || hasType(item, "number")),
    }));
}

/**
 * Reads the words after a command's name into layers of options.
 * @param command name, as a run's config.json holds it
 * @throws RookeryError UNKNOWN_OPTION or INVALID_OPTION, naming the flag; whatever reading the `--config` file throws.
 */
export function parseWords(
  words: readonly string[],
  command: string,
  schema: OptionSchema,
  positionals: readonly string[],
): ParsedWords {
  const flags = flagsOf(schema, positionals);
  const flagValues: Record<string, string | string[]> = {};
  const assignments: string[] = [];
  const loose: string[] = [];
  const parsed: ParsedWords = { layers: [], json: false, help: false };
  let openList: string[] | undefined;
  /** The switch before this word, if a number may belong to it. */
  let openSwitch: string | undefined;

  for (const token of tokenize(words, flags)) {
    const before = openSwitch;
    openSwitch = undefined;
    if (token.kind === "option-terminator") openList = undefined;
    else if (token.kind === "positional") {
      if (before !== undefined && /^\d+$/.test(token.value)) flagValues[before] = token.value;
      else (openList ?? loose).push(token.value);
    } else {
      openList = undefined;
      const flag = flags.find((one) => one.name === token.name);
      if (flag === undefined) {
        if (token.name === "json") parsed.json = true;
        else if (token.name === "help") parsed.help = true;
        else if (token.name === "set") assignments.push(requiredValue(token));
        else if (token.name === "config") parsed.layers.push(configLayer(requiredValue(token), command));
        else throw unknownFlag(token.rawName, flags);
      } else if (flag.takesOptionalNumber && token.value !== undefined) {
        flagValues[flag.key] = token.value;
      } else if (flag.isBoolean || flag.takesOptionalNumber) {
        flagValues[flag.key] = booleanOf(token);
        if (flag.takesOptionalNumber) openSwitch = flag.key;
      } else if (flag.isRepeatable) {
        const list = flagValues[flag.key];
        const values = Array.isArray(list) ? list : [];
        values.push(...(flag.takesCommas ? requiredValue(token).split(",") : [requiredValue(token)]));
        flagValues[flag.key] = values;
        // A shell expands `--data texts/*.txt` into many words: without positionals they can only belong to the flag.
        if (positionals.length === 0) openList = values;
      } else {
        flagValues[flag.key] = requiredValue(token);
      }
    }
  }
  Object.assign(flagValues, assignPositionals(loose, schema, positionals));
  if (assignments.length > 0) {
    parsed.layers.push({
      name: "--set",
      values: parseAssignments(assignments),
      areStrings: true,
      nameKey: (key) => `--set ${key}`,
    });
  }
  const nameKey = (key: string) => {
    if (positionals.includes(key)) return positionalName(key, schema);
    // of a list that was given as a flag, a word
    const [flag = key] = key.split(".");
    return Object.hasOwn(flagValues, flag) || flag === key ? `--${toFlagName(flag)}` : `--set ${key}`;
  };
  parsed.layers.push({ name: "flags", values: flagValues, areStrings: true, nameKey });
  return parsed;
}

/** What help calls a positional: "MODEL", "PATH". */
export function positionalName(key: string, schema: OptionSchema): string {
  return schema.properties?.[key]?.valueName ?? toFlagName(key).toUpperCase();
}

type OptionToken = {
  kind: "option";
  name: string;
  rawName: string;
  value: string | undefined;
  inlineValue: boolean | undefined;
};
type Token = OptionToken | { kind: "positional"; value: string } | { kind: "option-terminator" };

function tokenize(words: readonly string[], flags: readonly Flag[]): Token[] {
  const isSwitch = (flag: Flag) => flag.isBoolean || flag.takesOptionalNumber;
  const takesValue = [...flags.filter((flag) => !isSwitch(flag)).map((flag) => flag.name), "set", "config"];
  const takesNone = [...flags.filter(isSwitch).map((flag) => flag.name), "json"];
  const { tokens } = parseArgs({
    args: [...words],
    options: {
      ...Object.fromEntries(takesValue.map((name) => [name, { type: "string" as const, multiple: true }])),
      ...Object.fromEntries(takesNone.map((name) => [name, { type: "boolean" as const, multiple: true }])),
      help: { type: "boolean", short: "h" },
    },
    // Strict parsing would throw errors of its own, without the nearest name.
    strict: false,
    allowPositionals: true,
    allowNegative: true,
    tokens: true,
  });
  return tokens as Token[];
}

function requiredValue(token: OptionToken): string {
  const { value, inlineValue, rawName } = token;
  if (value === undefined || (inlineValue !== true && /^--[a-z]/.test(value))) {
    const hint =
      value === undefined ? `write ${rawName} VALUE` : `write ${rawName}=${value} if "${value}" is the value`;
    throw new RookeryError("INVALID_OPTION", `${rawName} needs a value`, hint);
  }
  return value;
}

function booleanOf(token: OptionToken): string {
  const isNegated = token.rawName === `--no-${token.name}`;
  if (token.value === undefined) return String(!isNegated);
  if (!isNegated && (token.value === "true" || token.value === "false")) return token.value;
  throw new RookeryError(
    "INVALID_OPTION",
    `${token.rawName} is ${JSON.stringify(token.value)}`,
    `write --${token.name} or --no-${token.name}`,
  );
}

function unknownFlag(rawName: string, flags: readonly Flag[]): RookeryError {
  const negations = flags.filter((flag) => flag.isBoolean).map((flag) => `--no-${flag.name}`);
  const known = [...flags, ...commonFlags].map((flag) => `--${flag.name}`);
  const candidates = rawName.startsWith("--no-") ? [...negations, ...known] : known;
  return new RookeryError("UNKNOWN_OPTION", `unknown option ${rawName}`, didYouMean(rawName, candidates));
}

function configLayer(path: string, command: string): ConfigLayer {
  return { name: path, values: readConfigFile(path, command) };
}

function assignPositionals(
  words: readonly string[],
  schema: OptionSchema,
  positionals: readonly string[],
): Record<string, string | string[]> {
  const values: Record<string, string | string[]> = {};
  let next = 0;
  for (const key of positionals) {
    if (next >= words.length) break;
    const isList = hasType(schema.properties?.[key] ?? {}, "array");
    values[key] = isList ? words.slice(next) : words[next]!;
    next = isList ? words.length : next + 1;
  }
  if (next < words.length) {
    const takes =
      positionals.length === 0
        ? "takes no words, only flags"
        : `takes ${positionals.map((key) => positionalName(key, schema)).join(" ")}`;
    throw new RookeryError("UNKNOWN_OPTION", `unexpected ${JSON.stringify(words[next])}`, `this command ${takes}`);
  }
  return values;
}

function isOnlyObject(schema: OptionSchema): boolean {
  return hasType(schema, "object") && !["string", "number", "boolean", "array"].some((type) => hasType(schema, type));
}
