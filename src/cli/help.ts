import { alternatives, describeAllowed, hasType, joinWithOr, type OptionSchema } from "../base/option-schema.ts";
import { rookeryVersion } from "../base/version.ts";
import type { Command } from "./command.ts";
import type { CommandEntry } from "./commands.ts";
import { commonFlags, type Flag, flagsOf, positionalName } from "./flags.ts";
import { alignColumns } from "./text.ts";

const helpWidth = 110;

/** One row of a command's reference, for help and documentation alike. */
export type OptionRow = { syntax: string; description: string };

/** `rookery --help`; `group` narrows it to the commands of one first word. */
export function overviewHelp(table: readonly CommandEntry[], group?: string): string[] {
  const shown = table.filter((entry) => group === undefined || entry.name.startsWith(`${group} `));
  return [
    `rookery ${rookeryVersion}: mixture-of-experts language models in TypeScript`,
    "",
    `Usage: rookery ${group === undefined ? "" : `${group} `}COMMAND [options]`,
    "",
    "Commands:",
    ...alignColumns(shown.map((entry) => [`  ${entry.name}`, entry.summary])),
    "",
    "Examples:",
    ...(group === undefined
      ? ["  rookery doctor", "  rookery COMMAND --help"]
      : shown.slice(0, 2).map((entry) => `  rookery ${entry.name} --help`)),
  ];
}

/** `rookery COMMAND --help`. */
export function commandHelp(entry: CommandEntry, command: Command): string[] {
  const positionals = positionalRows(command);
  return [
    `rookery ${entry.name}: ${entry.summary}`,
    "",
    `Usage: ${usageLine(entry, command)}`,
    ...(positionals.length === 0 ? [] : ["", "Arguments:", ...toColumns(positionals)]),
    "",
    "Options:",
    ...toColumns([...flagRows(command), ...commonRows()]),
    ...nestedSection(command),
    "",
    "Examples:",
    ...command.examples.flatMap((example) => [`  # ${example.purpose}`, `  ${example.line}`]),
  ];
}

/** "rookery info MODEL [options]". */
export function usageLine(entry: CommandEntry, command: Command): string {
  const words = command.positionals.map((key) => {
    const name = positionalName(key, command.schema);
    const isList = hasType(command.schema.properties?.[key] ?? {}, "array");
    const shown = isList ? `${name}...` : name;
    return isRequired(command.schema, key) ? shown : `[${shown}]`;
  });
  return ["rookery", entry.name, ...words, "[options]"].join(" ");
}

export function positionalRows(command: Command): OptionRow[] {
  return command.positionals.map((key) => {
    const schema = command.schema.properties?.[key] ?? {};
    return {
      syntax: positionalName(key, command.schema),
      description: describeOption(schema, isRequired(command.schema, key)),
    };
  });
}

export function flagRows(command: Command): OptionRow[] {
  return flagsOf(command.schema, command.positionals).map((flag) => ({
    syntax: flagSyntax(flag),
    description: describeOption(flag.schema, isRequired(command.schema, flag.key), manyOf(flag)),
  }));
}

export function commonRows(): OptionRow[] {
  return commonFlags.map((flag) => ({
    syntax: "valueName" in flag ? `--${flag.name} ${flag.valueName}` : `--${flag.name}`,
    description: flag.description,
  }));
}

/** Keys inside objects, which only files and `--set` reach. */
export function nestedRows(command: Command): OptionRow[] {
  const flags = new Set(flagsOf(command.schema, command.positionals).map((flag) => flag.key));
  return Object.entries(command.schema.properties ?? {})
    .filter(([key]) => !flags.has(key) && !command.positionals.includes(key))
    .flatMap(([key, schema]) => rowsInside(key, schema));
}

function rowsInside(path: string, schema: OptionSchema): OptionRow[] {
  const objects = alternatives(schema).filter((one) => one.properties !== undefined);
  if (objects.length === 0) return [{ syntax: path, description: describeOption(schema, false) }];
  const rows = objects.flatMap((one) =>
    Object.entries(one.properties ?? {}).flatMap(([key, inner]) => rowsInside(`${path}.${key}`, inner)),
  );
  return rows.filter((row, index) => rows.findIndex((other) => other.syntax === row.syntax) === index);
}

function nestedSection(command: Command): string[] {
  const rows = nestedRows(command);
  return rows.length === 0 ? [] : ["", "Keys for --set and --config:", ...toColumns(rows)];
}

function flagSyntax(flag: Flag): string {
  if (flag.isBoolean) return flag.schema.default === true ? `--no-${flag.name}` : `--${flag.name}`;
  const valueName = flag.schema.valueName ?? defaultValueName(flag.schema);
  return `--${flag.name} ${flag.takesOptionalNumber ? `[${valueName}]` : valueName}`;
}

function defaultValueName(schema: OptionSchema): string {
  const fixed = fixedValues(schema);
  if (fixed !== undefined) return fixed.length <= 4 ? fixed.join("|") : "NAME";
  return hasType(schema, "number") ? "N" : "TEXT";
}

/** The words that can be chosen from, when nothing else can. */
function fixedValues(schema: OptionSchema): string[] | undefined {
  const values = alternatives(schema).map((one) => one.enum ?? ("const" in one ? [one.const] : undefined));
  return values.every((one) => one !== undefined) ? values.flat().map(String) : undefined;
}

function manyOf({ isRepeatable, takesCommas }: Flag): string {
  if (!isRepeatable) return "";
  return takesCommas ? "several with commas" : "repeatable";
}

function describeOption(schema: OptionSchema, isNeeded: boolean, many = ""): string {
  const fixed = fixedValues(schema);
  const description = schema.description ?? describeAllowed([schema]);
  const notes = [
    fixed !== undefined && fixed.length > 4 ? joinWithOr(fixed) : "",
    many,
    isNeeded ? "required" : defaultNote(schema),
  ].filter((note) => note !== "");
  return notes.length === 0 ? description : `${description} (${notes.join("; ")})`;
}

function defaultNote(schema: OptionSchema): string {
  const value = schema.default;
  if (value === undefined || value === false || value === "" || (Array.isArray(value) && value.length === 0)) return "";
  if (value === true) return "on by default";
  const items = Array.isArray(value) ? value : [value];
  return `default: ${items.map((item) => (typeof item === "string" ? item : JSON.stringify(item))).join(", ")}`;
}

function isRequired(schema: OptionSchema, key: string): boolean {
  return schema.required?.includes(key) ?? false;
}

function toColumns(rows: readonly OptionRow[]): string[] {
  return alignColumns(
    rows.map((row) => [`  ${row.syntax}`, row.description]),
    { width: helpWidth },
  );
}
