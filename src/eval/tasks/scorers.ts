/** Ways to score an answer that is compared with right ones. */
import { passesTests } from "../../sandbox/passes-tests.ts";
import { isRight } from "../../tasks/score.ts";
import { type Row, textOf } from "../data/rows.ts";
import type { Scorer } from "./definition.ts";
import { sameMathAnswer } from "./math-answer.ts";

export type Comparison = {
  ignoreCase?: boolean;
  ignorePunctuation?: boolean;
  /** Removed from both sides before they are compared. */
  ignore?: readonly RegExp[];
};

/** ASCII punctuation, as Python's `string.punctuation` has it. */
const punctuation = /[!"#$%&'()*+,\-./:;<=>?@[\\\]^_`{|}~]/g;

/** 1 if the answer is one of the references. */
export function exactMatch(name: string, comparison: Comparison = {}, extract?: Extract): Scorer {
  const simple = (text: string) => {
    let left = (comparison.ignore ?? []).reduce((before, pattern) => before.replace(pattern, ""), text);
    if (comparison.ignoreCase) left = left.toLowerCase();
    return comparison.ignorePunctuation ? left.replace(punctuation, "") : left;
  };
  return {
    name,
    score(answer, { references }) {
      const found = simple(extract ? extract(answer) : answer);
      return references.some((reference) => simple(reference) === found) ? 1 : 0;
    },
  };
}

/** What of an answer is compared. */
export type Extract = (answer: string) => string;

const nothingFound = "[invalid]";

/** The first or last match of a pattern: its first group that matched, or the whole where there are no groups. */
export function extractMatch(pattern: RegExp, which: "first" | "last"): Extract {
  const global = new RegExp(pattern.source, [...new Set(`${pattern.flags}g`)].join(""));
  return (answer) => {
    const found = [...answer.matchAll(global)].at(which === "first" ? 0 : -1);
    if (!found) return nothingFound;
    const text = found.length === 1 ? found[0] : found.slice(1).find((group) => group !== undefined && group !== "");
    return text?.trim() ?? nothingFound;
  };
}

const articles = /\b(a|an|the)\b/g;

/** As SQuAD, TriviaQA and DROP compare: without case, articles, punctuation and spare spaces; full-width forms narrowed. */
export function plainAnswer(text: string): string {
  return text
    .normalize("NFKC")
    .toLowerCase()
    .replace(/[\p{P}\p{S}]/gu, " ")
    .replace(articles, " ")
    .split(/\s+/)
    .filter((word) => word !== "")
    .join(" ");
}

export const plainMatch: Scorer = {
  name: "exact_match",
  score: (answer, { references }) => {
    const found = plainAnswer(answer);
    return references.some((reference) => plainAnswer(reference) === found) ? 1 : 0;
  },
};

/** Words of a text; each Chinese, Japanese or Korean character is one. */
function words(text: string): string[] {
  return (
    plainAnswer(text).match(
      /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Hangul}]|[^\s\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Hangul}]+/gu,
    ) ?? []
  );
}

/** The best F1 of shared words over the references. */
export const wordF1: Scorer = {
  name: "f1",
  score: (answer, { references }) => Math.max(0, ...references.map((reference) => f1(words(answer), words(reference)))),
};

function f1(found: readonly string[], right: readonly string[]): number {
  if (found.length === 0 || right.length === 0) return found.length === right.length ? 1 : 0;
  const left = new Map<string, number>();
  for (const word of right) left.set(word, (left.get(word) ?? 0) + 1);
  let shared = 0;
  for (const word of found) {
    const count = left.get(word) ?? 0;
    if (count > 0) shared++;
    left.set(word, count - 1);
  }
  if (shared === 0) return 0;
  const [precision, recall] = [shared / found.length, shared / right.length];
  return (2 * precision * recall) / (precision + recall);
}

/** 1 if a reference stands anywhere in the answer. */
export const contains: Scorer = {
  name: "contains",
  score: (answer, { references }) => {
    const plain = plainAnswer(answer);
    return references.some((reference) => plain.includes(plainAnswer(reference))) ? 1 : 0;
  },
};

/** As the tasks with checkable answers are scored. */
export const checkedAnswer: Scorer = {
  name: "exact_match",
  score: (answer, { references }) => (references.some((reference) => isRight({ answer: reference }, answer)) ? 1 : 0),
};

/** Mathematical answers: the same number or expression, however it is set. */
export const mathAnswer: Scorer = {
  name: "math",
  score: (answer, { references }) => (references.some((reference) => sameMathAnswer(answer, reference)) ? 1 : 0),
};

/** A Python program, of the prompt and the answer, that passes its tests: contained, without network and files. */
export function passAtOne(program: (answer: string, row: Row) => string, tests: (row: Row) => string): Scorer {
  return {
    name: "pass@1",
    async score(answer, { row }, { signal, allowUncontained }) {
      const result = await passesTests({
        language: "python",
        code: program(answer, row),
        tests: tests(row),
        allowUncontained,
        signal,
      });
      return result.isPassed ? 1 : 0;
    },
  };
}

/** Another model's opinion, from 0 to 1. */
export const judged: Scorer = {
  name: "judge",
  async score(answer, { row, references }, { judge }) {
    if (!judge) throw new Error("a judge is needed");
    return await judge(textOf(row, "question"), answer, references[0]);
  },
};
