/**
 * Texts with places in them, for tasks in YAML: `{{question}}`, `{{choices.text.0}}`, `{{question | trim}}`. A filter takes what
 * stands before it; several stand one behind the other.
 */
import { RookeryError } from "../../base/errors.ts";
import { didYouMean } from "../../base/nearest.ts";
import { type Row, wrongColumn } from "../data/rows.ts";

type Filter = (value: unknown, argument: string, row: Row) => unknown;

const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const text = (value: unknown) => (Array.isArray(value) ? value.map(String).join(", ") : String(value ?? ""));
const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : [value]);

const filters: Record<string, Filter> = {
  trim: (value) => text(value).trim(),
  lower: (value) => text(value).toLowerCase(),
  first: (value) => list(value)[0],
  join: (value, argument) => list(value).map(text).join(argument),
  /** A list as lettered lines: "A. …". */
  lettered: (value) =>
    list(value)
      .map((one, index) => `${letters[index]}. ${text(one)}`)
      .join("\n"),
  /** 0 → "A". */
  letter: (value) => letters[Number(value)] ?? "",
  /** As many letters as the list is long. */
  letters: (value) => list(value).map((_, index) => letters[index]),
  /** The place of a value in a list of the row, or in the characters of a word: `{{answer | position:ABCD}}`. */
  position: (value, argument, row) => {
    const among = valueAt(row, argument);
    const index = (Array.isArray(among) ? among.map(text) : [...argument]).indexOf(text(value));
    if (index < 0) throw new RookeryError("BAD_DATA", `${text(value)} is not one of ${argument}`, "mend the row");
    return index;
  },
  /** What comes after the last of a mark: `{{answer | after:#### }}`. */
  after: (value, argument) =>
    text(value)
      .slice(text(value).lastIndexOf(argument) + argument.length)
      .trim(),
};

export type Template = (row: Row) => unknown;

/**
 * A template of one place alone keeps the value as it is, a list too; any other gives text.
 * @throws RookeryError INVALID_CONFIG for a filter that does not exist; when used, BAD_DATA for a column that does not.
 */
export function compileTemplate(source: string): Template {
  const parts = source.split(/\{\{(.*?)\}\}/s);
  const compiled = parts.map((part, index) => (index % 2 === 0 ? () => part : compilePlace(part)));
  if (parts.length === 3 && parts[0] === "" && parts[2] === "") return compiled[1]!;
  return (row) => compiled.map((part) => text(part(row))).join("");
}

function compilePlace(source: string): Template {
  const [path, ...uses] = source.split("|");
  const steps = uses.map((use) => {
    const [name = "", ...rest] = use.split(":");
    const filter = filters[name.trim()];
    if (filter) return { filter, argument: rest.join(":").replace(/ $/, "") };
    throw new RookeryError(
      "INVALID_CONFIG",
      `a template has the filter "${name.trim()}"`,
      didYouMean(name.trim(), Object.keys(filters)),
    );
  });
  return (row) => {
    const value = valueAt(row, path!.trim());
    if (value === undefined) throw wrongColumn(row, path!.trim().split(".")[0]!, "text");
    return steps.reduce<unknown>((before, { filter, argument }) => filter(before, argument, row), value);
  };
}

function valueAt(row: Row, path: string): unknown {
  let value: unknown = row;
  for (const key of path.split(".")) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as Record<string, unknown>)[key];
  }
  return value;
}

export function textTemplate(source: string): (row: Row) => string {
  const template = compileTemplate(source);
  return (row) => text(template(row));
}

export function listTemplate(source: string | readonly string[]): (row: Row) => string[] {
  if (typeof source !== "string") {
    const all = source.map(textTemplate);
    return (row) => all.map((one) => one(row));
  }
  const template = compileTemplate(source);
  return (row) => list(template(row)).map(text);
}
