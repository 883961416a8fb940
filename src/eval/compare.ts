/** `rookery eval compare`: the same questions to two models, task by task, and whether the second is surely worse. */
import path from "node:path";
import { z } from "zod";
import { parseOptions } from "../base/config.ts";
import { RookeryError } from "../base/errors.ts";
import { rookeryVersion } from "../base/version.ts";
import {
  bootstrapInterval,
  comparePairs,
  type Interval,
  type PairedFigures,
  powerOf,
  smallestDifference,
} from "./paired.ts";
import { readItems } from "./results.ts";
import type { ItemRow } from "./summary.ts";

export const evalCompareOptionsSchema = z.strictObject({
  a: z.string().min(1).describe("results to compare with: their folder").meta({ valueName: "A" }),
  b: z.string().min(1).describe("results that are compared").meta({ valueName: "B" }),
  metric: z.string().min(1).optional().describe("the figure that is compared; by default each task's usual one"),
  confidence: z.number().gt(0.5).lt(1).default(0.95).describe("of the intervals and the verdicts"),
  margin: z
    .number()
    .gt(0)
    .lt(1)
    .optional()
    .describe("the gate then passes only where B is surely less than this below A, such as 0.02")
    .meta({ valueName: "SHARE" }),
  flips: z.int().min(0).max(100_000).default(20).describe("at most so many questions that flipped are listed a task"),
  seed: z
    .int()
    .min(0)
    .max(2 ** 31 - 1)
    .default(1)
    .describe("of the resampling"),
});
export type EvalCompareOptionsInput = z.input<typeof evalCompareOptionsSchema>;
export type EvalCompareOptions = z.output<typeof evalCompareOptionsSchema>;

export const comparisonFormat = "rookery-eval-comparison/1";

export type Flip = {
  item: string;
  scoreA: number;
  scoreB: number;
  question: string;
  reference: string;
  answerA: string;
  answerB: string;
};

/** What n questions can show: at the share of questions that are answered differently here, and at 20%. */
export type Power = {
  discordance: number;
  /** The chance to see three points. */
  ofThreePoints: number;
  /** What is seen with a chance of 80%. */
  smallestDifference: number;
};

export type TaskComparison = PairedFigures & {
  task: string;
  /** Questions that only one of the two has a score on: they are left out. */
  unpaired: number;
  verdict: "better" | "worse" | "no difference seen";
  power: Power[];
  /** Lost ones first. */
  flips: Flip[];
};

export type EvalComparison = {
  format: typeof comparisonFormat;
  rookeryVersion: string;
  a: string;
  b: string;
  confidence: number;
  margin: number | null;
  tasks: TaskComparison[];
  /** Over tasks, each counting the same; null for one task. */
  overall: { difference: number; interval: Interval } | null;
  /** The verdict as a gate, and why it fails. */
  failures: string[];
};

/** @throws RookeryError FILE_UNREADABLE, FILE_DAMAGED, BAD_DATA for results that share no question. */
export async function compareResults(given: EvalCompareOptionsInput): Promise<EvalComparison> {
  const options = parseOptions(evalCompareOptionsSchema, given);
  const [a, b] = [await readItems(options.a), await readItems(options.b)];
  return compareItems(a, b, options);
}

export function compareItems(
  a: readonly ItemRow[],
  b: readonly ItemRow[],
  options: EvalCompareOptions,
): EvalComparison {
  const { confidence, margin, seed } = options;
  const byKey = new Map(b.map((row) => [keyOf(row), row]));
  const shared = Map.groupBy(
    a.filter((row) => byKey.has(keyOf(row))),
    ({ task }) => task,
  );
  if (shared.size === 0) {
    throw new RookeryError(
      "BAD_DATA",
      `${options.a} and ${options.b} have no question in common`,
      "compare results of the same tasks",
    );
  }
  // several verdicts at once are each held to a stricter level, so that together they are wrong as seldom as one
  const each = 1 - (1 - confidence) / shared.size;
  const differences: Float64Array[] = [];
  const tasks = [...shared].map(([task, rows]): TaskComparison => {
    const both = rows.map((row) => [row, byKey.get(keyOf(row))!] as const);
    checkSameQuestions(task, both);
    const scored = both.flatMap(([rowA, rowB]) => {
      const [scoreA, scoreB] = [scoreOf(rowA, options.metric), scoreOf(rowB, options.metric)];
      return scoreA === null || scoreB === null ? [] : [{ rowA, rowB, scoreA, scoreB }];
    });
    if (scored.length === 0) {
      throw new RookeryError(
        "BAD_DATA",
        `task ${task} has no question with ${options.metric ?? "a score"} in both`,
        "name another --metric, or leave it out",
      );
    }
    const figures = comparePairs(
      scored.map(({ scoreA, scoreB }) => [scoreA, scoreB] as const),
      { confidence: each, seed },
    );
    differences.push(Float64Array.from(scored, ({ scoreA, scoreB }) => scoreB - scoreA));
    const { count, won, lost, isSignificant, difference } = figures;
    const power = [...new Set([(won + lost) / count, 0.2])].map((discordance) => {
      const about = { count, discordance, confidence: each };
      return { discordance, ofThreePoints: powerOf(0.03, about), smallestDifference: smallestDifference(0.8, about) };
    });
    const onlyOne = a.filter((row) => row.task === task).length + b.filter((row) => row.task === task).length;
    return {
      task,
      ...figures,
      unpaired: onlyOne - 2 * count,
      verdict: !isSignificant ? "no difference seen" : difference > 0 ? "better" : "worse",
      power,
      flips: scored
        .filter(({ scoreA, scoreB }) => scoreA !== scoreB)
        .sort((x, y) => x.scoreB - x.scoreA - (y.scoreB - y.scoreA))
        .slice(0, options.flips)
        .map(flipOf),
    };
  });
  const mean = tasks.reduce((sum, { difference }) => sum + difference, 0) / tasks.length;
  const overall =
    tasks.length === 1
      ? null
      : { difference: mean, interval: bootstrapInterval(differences, { confidence, seed: seed + 1 }) };
  return {
    format: comparisonFormat,
    rookeryVersion,
    a: path.normalize(options.a),
    b: path.normalize(options.b),
    confidence,
    margin: margin ?? null,
    tasks,
    overall,
    failures: failuresOf(tasks, overall, margin),
  };
}

const keyOf = ({ task, item }: ItemRow) => `${task}\n${item}`;

/** The same numbers of questions may be other questions: of another file, or a file in another order. */
function checkSameQuestions(task: string, both: readonly (readonly [ItemRow, ItemRow])[]): void {
  const other = both.find(([a, b]) => a.reference !== b.reference);
  if (!other) return;
  throw new RookeryError(
    "BAD_DATA",
    `question ${other[0].item} of task ${task} is not the same in both results`,
    "evaluate both models on the same files",
  );
}

function scoreOf(row: ItemRow, metric: string | undefined): number | null {
  if (metric === undefined || row.score === null) return row.score;
  const scores = JSON.parse(row.scores) as Record<string, number>;
  return scores[metric] ?? null;
}

function flipOf({
  rowA,
  rowB,
  scoreA,
  scoreB,
}: {
  rowA: ItemRow;
  rowB: ItemRow;
  scoreA: number;
  scoreB: number;
}): Flip {
  const { item, question, reference, answer: answerA } = rowA;
  return { item, scoreA, scoreB, question, reference, answerA, answerB: rowB.answer };
}

function failuresOf(
  tasks: readonly TaskComparison[],
  overall: EvalComparison["overall"],
  margin: number | undefined,
): string[] {
  const points = (share: number) => `${(100 * share).toFixed(2)} points`;
  const all = [
    ...tasks.map(({ task, difference, interval, verdict }) => ({
      name: task,
      difference,
      interval,
      isWorse: verdict === "worse",
    })),
    ...(overall ? [{ name: "all tasks", ...overall, isWorse: overall.interval[1] < 0 }] : []),
  ];
  return all.flatMap(({ name, difference, interval, isWorse }) => {
    if (margin === undefined) return isWorse ? [`${name}: B is worse by ${points(-difference)}`] : [];
    const isSafe = interval[0] > -margin;
    return isSafe ? [] : [`${name}: B may be ${points(-interval[0])} below A, more than ${points(margin)}`];
  });
}
