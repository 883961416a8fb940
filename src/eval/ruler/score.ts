/** RULER's metrics, and what a table of them says. */
import { meanOf } from "../statistics.ts";
import type { RulerTask } from "./item.ts";

/** Llama-2-7B's score at 4,096 tokens: RULER calls a length effective where a model scores above it. */
export const effectiveThreshold = 85.6;

/** What is compared: control characters as line ends, nothing around, case aside. */
function normalize(text: string): string {
  return text
    .replace(/\p{Cc}/gu, "\n")
    .trim()
    .toLowerCase();
}

/**
 * The share of the answers that stand in the text (`all`), or whether one does (`any`): 0 to 1. As in RULER an answer is found
 * anywhere in the text, inside a longer word too.
 */
export function scoreAnswer({ metric }: Pick<RulerTask, "metric">, answers: readonly string[], text: string): number {
  const said = normalize(text);
  const found = answers.filter((answer) => said.includes(answer.toLowerCase())).length;
  return metric === "any" ? Math.min(found, 1) : found / answers.length;
}

export type RulerResult = { task: string; language: string; length: number; score: number };

export type RulerRow = {
  language: string;
  length: number;
  count: number;
  /** 0 to 100, by task. */
  scores: Record<string, number>;
  /** The unweighted mean of the tasks. */
  mean: number;
};

export type RulerSummary = {
  language: string;
  rows: RulerRow[];
  /** The longest length whose mean is above the threshold; null where none is. */
  effectiveLength: number | null;
  /** Shorter lengths that are not above it, although a longer one is. */
  weakerBelow: number[];
  /** Means over lengths whose weights rise from 1 to n (wAvg inc), and fall (wAvg dec). */
  weightedByLength: number;
  weightedByShortness: number;
};

const mean = (values: readonly number[]) => meanOf(values).value;

/** By language, then by length, the shortest first. Scores of items are 0 to 1. */
export function summarizeRuler(results: readonly RulerResult[], threshold = effectiveThreshold): RulerSummary[] {
  return [...Map.groupBy(results, ({ language }) => language)].map(([language, those]) => {
    const rows = [...Map.groupBy(those, ({ length }) => length)]
      .sort(([a], [b]) => a - b)
      .map(([length, items]): RulerRow => {
        const scores = Object.fromEntries(
          [...Map.groupBy(items, ({ task }) => task)].map(([task, ones]) => [
            task,
            100 * mean(ones.map(({ score }) => score)),
          ]),
        );
        return { language, length, count: items.length, scores, mean: mean(Object.values(scores)) };
      });
    const weighted = (weight: (rank: number) => number) => {
      const weights = rows.map((_, rank) => weight(rank));
      return rows.reduce((sum, row, rank) => sum + row.mean * weights[rank]!, 0) / weights.reduce((a, b) => a + b, 0);
    };
    return {
      language,
      rows,
      ...effectiveLengthOf(rows, threshold),
      weightedByLength: weighted((rank) => rank + 1),
      weightedByShortness: weighted((rank) => rows.length - rank),
    };
  });
}

/** @param rows with means of 0 to 100, the shortest first. */
export function effectiveLengthOf(
  rows: readonly { length: number; mean: number }[],
  threshold = effectiveThreshold,
): Pick<RulerSummary, "effectiveLength" | "weakerBelow"> {
  const effectiveLength = rows.findLast(({ mean: score }) => score > threshold)?.length ?? null;
  const weakerBelow = rows
    .filter(({ length, mean: score }) => length < (effectiveLength ?? 0) && score <= threshold)
    .map(({ length }) => length);
  return { effectiveLength, weakerBelow };
}
