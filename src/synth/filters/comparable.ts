/** What an answer comes to once its words are taken away: a number, a choice, a phrase, a JSON value. */
import { stableJson } from "../../base/stable-json.ts";
import { normalizeAnswer } from "../../tasks/score.ts";
import { finalAnswerOf } from "../prompts/answer.ts";
import type { AnswerKind } from "../record.ts";
import { type Behavior, isSameBehavior } from "./code.ts";
import { isSameQuantity, type Quantity, quantitiesOf } from "./quantity.ts";

/** `key` stands for the value, where there is no better way to compare: 2 km is 2000 m, and two programs that do the same are the same. */
export type Comparable = { key: string; quantity?: Quantity; behavior?: Behavior };

/** The kinds that are told from the text alone; code is run instead, and text has no one right answer. */
export type ReadableKind = Exclude<AnswerKind, "text" | "code">;

/** What is behind LaTeX's \boxed or GSM8K's four crosses, if there is one of them; else what `finalAnswerOf` finds. */
function finalPart(text: string): string {
  const boxed = text.lastIndexOf("\\boxed{");
  if (boxed >= 0) return insideBraces(text, boxed + "\\boxed".length);
  const crosses = /####\s*([^\n]+)/.exec(text.slice(Math.max(0, text.lastIndexOf("####"))))?.[1];
  return crosses ?? finalAnswerOf(text);
}

function insideBraces(text: string, start: number): string {
  let depth = 0;
  for (let at = start; at < text.length; at++) {
    if (text[at] === "{") depth++;
    else if (text[at] === "}" && --depth === 0) return text.slice(start + 1, at);
  }
  return text.slice(start + 1);
}

/** The value of an answer, or undefined where it has none of its kind: malformed. @param instruction for its options. */
export function comparableOf(kind: ReadableKind, text: string, instruction: string): Comparable | undefined {
  switch (kind) {
    case "number": {
      const part = finalPart(text);
      // In a sentence of its own the result comes last: "3 boxes of 4 are 12".
      const quantity = quantitiesOf(afterEquals(part)).at(-1) ?? quantitiesOf(part).at(-1);
      return quantity && { key: `${quantity.baseValue} ${quantity.dimension}`, quantity };
    }
    case "choice":
      return choiceOf(finalPart(text), instruction);
    case "phrase": {
      const phrase = plainPhrase(finalPart(text));
      return phrase === "" ? undefined : { key: phrase };
    }
    case "json": {
      const value = jsonIn(text);
      return value === undefined ? undefined : { key: stableJson(normalizedJson(value)) };
    }
  }
}

const afterEquals = (text: string): string => text.slice(text.lastIndexOf("=") + 1);

export function isSameAnswer(a: Comparable, b: Comparable): boolean {
  if (a.behavior && b.behavior) return isSameBehavior(a.behavior, b.behavior);
  if (a.quantity && b.quantity) return isSameQuantity(a.quantity, b.quantity);
  return a.key === b.key;
}

const optionLine = /(?:^|\n|\s)\(?([A-Ja-j])[).．:：、]\s*([^\n]+?)(?=\s+\(?[A-Ja-j][).．:：、]|\n|$)/g;

/** The letter that is named, or whose option is repeated. */
function choiceOf(text: string, instruction: string): Comparable | undefined {
  const plain = text
    .normalize("NFKC")
    .replace(/\*\*|\\text\{([^{}]*)\}/g, "$1")
    .trim();
  const alone = /^[("'[]?([A-Ja-j])(?:[)\]"'.:,、]|\s*$)/.exec(plain)?.[1];
  if (alone !== undefined) return { key: alone.toUpperCase() };
  const options = [...instruction.normalize("NFKC").matchAll(optionLine)];
  const repeated = options.find(([, , option]) => plainPhrase(option!) === plainPhrase(plain))?.[1];
  if (repeated !== undefined) return { key: repeated.toUpperCase() };
  const named = [
    ...plain.matchAll(/(?:answer|option|choice|correct)[^\n]{0,20}?\b([A-J])\b|(?:答案|选项?|选择)[^\n]{0,6}?([A-J])/g),
  ].at(-1);
  const letter = named?.[1] ?? named?.[2] ?? onlyLetter(plain);
  return letter === undefined ? undefined : { key: letter };
}

/** The one capital letter that stands alone; "A" as an article is one too, so that two different letters are no answer. */
function onlyLetter(text: string): string | undefined {
  const letters = new Set([...text.matchAll(/(?<![\p{L}\p{N}])([A-J])(?![\p{L}\p{N}])/gu)].map((match) => match[1]!));
  return letters.size === 1 ? [...letters][0] : undefined;
}

/** Lower case, without quotes, articles and marks around it. A number in it is written one way. */
function plainPhrase(text: string): string {
  return normalizeAnswer(text)
    .toLowerCase()
    .replace(/^(?:the )?(?:answer|result) is[:\s]+/, "")
    .replace(/^(?:答案|结果)是[:：\s]*/, "")
    .replace(/^[\s"'“”‘’«»《》「」『』*_`([]+|[\s"'“”‘’«»《》「」『』*_`)\].,;:!?。，；：！？、]+$/gu, "")
    .replace(/^(?:a|an|the) /, "")
    .replace(/(?<=\d),(?=\d{3}\b)/g, "")
    .replace(/\s*[,、，]\s*/g, ", ")
    .trim();
}

/** The object or list of a text. Repaired JSON would not do: the text as it stands is what is learnt from. */
function jsonIn(text: string): unknown {
  const start = text.search(/[{[]/);
  const end = Math.max(text.lastIndexOf("}"), text.lastIndexOf("]"));
  if (start < 0 || end < start) return undefined;
  try {
    return JSON.parse(text.slice(start, end + 1));
  } catch {
    return undefined;
  }
}

/** Strings trimmed, whole numbers written as strings turned into numbers: models differ in both. */
function normalizedJson(value: unknown): unknown {
  if (typeof value === "string") {
    const text = value.normalize("NFKC").trim();
    return /^-?\d{1,15}(?:\.\d{1,15})?$/.test(text) ? Number(text) : text;
  }
  if (Array.isArray(value)) return value.map(normalizedJson);
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, normalizedJson(inner)]));
  }
  return value;
}
