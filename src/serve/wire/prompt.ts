import { z } from "zod";
import { mostPrompts } from "../limits.ts";

/** One text, or the ids of one text. */
export type RawPrompt = string | Int32Array;

/**
 * The four shapes of `prompt` and `input`: a text, several texts, the ids of one text, the ids of several. Looked at by hand: a
 * prompt may have a million ids, and the schema library would take a second over them.
 */
export const promptList = z.unknown().transform((value, context): RawPrompt[] => {
  const fail = (message: string): never => {
    context.addIssue({ code: "custom", message });
    return z.NEVER;
  };
  const expected = "must be a text, a list of texts, a list of token ids, or a list of such lists";
  if (typeof value === "string") return [value];
  if (!Array.isArray(value)) return fail(expected);
  if (value.length === 0) return fail("must not be empty");
  const items: readonly unknown[] = value;
  if (typeof items[0] === "number") {
    const ids = toIds(items);
    return ids === undefined ? fail("must have token ids only, which are whole numbers of at least 0") : [ids];
  }
  if (items.length > mostPrompts) return fail(`must have at most ${mostPrompts} prompts`);
  const prompts: RawPrompt[] = [];
  for (const item of items) {
    const prompt = typeof item === "string" ? item : Array.isArray(item) ? toIds(item) : undefined;
    if (prompt === undefined) return fail(expected);
    prompts.push(prompt);
  }
  return prompts;
});

const largestId = 2 ** 24;

function toIds(values: readonly unknown[]): Int32Array | undefined {
  const ids = new Int32Array(values.length);
  for (let at = 0; at < values.length; at++) {
    const value = values[at];
    if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value > largestId) return undefined;
    ids[at] = value;
  }
  return ids;
}
