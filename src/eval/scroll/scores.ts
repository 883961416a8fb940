/** Means of scores by task, subtask, length and language, with what has no score counted under both conventions. */
import { meanOf as estimateOf } from "../statistics.ts";
import type { ScrollRecord } from "./record.ts";

/** Why an item has no score. */
export const nullReasons = {
  noResponse: "no response",
  failed: "the model failed, or the prompt was too long",
  truncated: "the answer was cut off",
  judgeFailed: "the judge failed or refused",
  malformed: "the judge's verdict cannot be read",
} as const;
export type NullReason = keyof typeof nullReasons;

export type ScrollScore = {
  key: string;
  /** 0 to 1, or null and why. */
  score: number | null;
  reason: NullReason | null;
};

export type ScrollMean = {
  name: string;
  items: number;
  scored: number;
  /** 0 to 100 over the items that have a score, as PenguinScrolls counts; null where none has. */
  mean: number | null;
  /** The same with items without a score as 0. */
  meanNullsAsZero: number | null;
  /** Of `mean`: sample deviation over the root of the number; null below two items. */
  standardError: number | null;
};

/** The four categories of the published tables. */
export const categories = ["extraction", "localization", "qualitative", "numerical"] as const;
export type Category = (typeof categories)[number];

const categoryOfTask: Readonly<Record<string, Category>> = {
  事实抽取: "extraction",
  信息定位: "localization",
  推理分析: "qualitative",
  推理计算: "numerical",
  表格计算: "numerical",
  "information extraction": "extraction",
  "information localization": "localization",
  "qualitative analysis": "qualitative",
  "numerical reasoning": "numerical",
};

/** The category that a `dataset` belongs to; its own name where it is none of the benchmark's. */
export const categoryOf = (task: string): string => categoryOfTask[task] ?? categoryOfTask[task.toLowerCase()] ?? task;

const lengthBins = [
  { name: "0–8K", below: 8192 },
  { name: "8–32K", below: 32_768 },
  { name: "32–64K", below: 65_536 },
  { name: "64–128K", below: 131_072 },
  { name: "128K and more", below: Number.POSITIVE_INFINITY },
] as const;

/** The bin of the published tables; null for a record that does not say its length. */
export function lengthBin(tokenCount: number | null): string | null {
  return tokenCount === null ? null : (lengthBins.find(({ below }) => tokenCount < below)?.name ?? null);
}

export type ScrollReport = {
  /** Over all items, each weighing the same: the published "micro avg". */
  overall: ScrollMean;
  categories: ScrollMean[];
  tasks: ScrollMean[];
  /** `dataset` / `split`. */
  subtasks: ScrollMean[];
  lengths: ScrollMean[];
  languages: ScrollMean[];
  kinds: ScrollMean[];
  nulls: Partial<Record<NullReason, number>>;
};

type Scored = { record: ScrollRecord; score: ScrollScore };

export function reportScores(items: readonly Scored[]): ScrollReport {
  const by = (nameOf: (record: ScrollRecord) => string | null): ScrollMean[] =>
    [...Map.groupBy(items, ({ record }) => nameOf(record))].flatMap(([name, those]) =>
      name === null ? [] : [meanOf(name, those)],
    );
  const inOrder = (means: ScrollMean[], names: readonly string[]) => {
    const rank = ({ name }: ScrollMean) => (names.includes(name) ? names.indexOf(name) : names.length);
    return means.sort((a, b) => rank(a) - rank(b));
  };
  const nulls: ScrollReport["nulls"] = {};
  for (const { score } of items) if (score.reason) nulls[score.reason] = (nulls[score.reason] ?? 0) + 1;
  return {
    overall: meanOf("all", items),
    categories: inOrder(
      by(({ task }) => categoryOf(task)),
      categories,
    ),
    tasks: by(({ task }) => task),
    subtasks: by(({ task, subtask }) => `${task} / ${subtask}`),
    lengths: inOrder(
      by(({ tokenCount }) => lengthBin(tokenCount)),
      lengthBins.map(({ name }) => name),
    ),
    languages: by(({ language }) => language),
    kinds: by(({ check, isSubjective }) =>
      check ? "checked without a judge" : isSubjective ? "subjective" : "objective",
    ),
    nulls,
  };
}

function meanOf(name: string, items: readonly Scored[]): ScrollMean {
  const scores = items.flatMap(({ score }) => (score.score === null ? [] : [100 * score.score]));
  const { value, standardError } = estimateOf(scores);
  return {
    ...{ name, items: items.length, scored: scores.length, mean: scores.length === 0 ? null : value },
    meanNullsAsZero: items.length === 0 ? null : (value * scores.length) / items.length,
    standardError: scores.length < 2 ? null : standardError,
  };
}

/** The mean over items of means over groups of them. */
export function microAverage(groups: readonly { items: number; mean: number }[]): number {
  const items = groups.reduce((sum, group) => sum + group.items, 0);
  return groups.reduce((sum, group) => sum + group.items * group.mean, 0) / items;
}
