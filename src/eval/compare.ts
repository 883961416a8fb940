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

/** `compareResults` on rows that are read already. */
export function compareItems(
  a: readonly ItemRow[],
  b: readonly ItemRow[],
  options: EvalCompareOptions,
): EvalComparison {
  const { confidence, margin, seed } = options;
  const shared = pairQuestions(a, b, options);
  // several verdicts at once are each held to a stricter level, so that together they are wrong as seldom as one
  const each = 1 - (1 - confidence) / shared.size;
  const compared = [...shared].map(([task, pairs]) => {
    const scored = scorePairs(task, pairs, options.metric);
    const questions = [...a, ...b].filter((row) => row.task === task).length;
    return { scored, comparison: compareTask(task, scored, { ...options, confidence: each }, questions) };
  });
  const tasks = compared.map(({ comparison }) => comparison);
  const differences = compared.map(({ scored }) => Float64Array.from(scored, differenceOf));
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

/** One question's rows in both results. */
type Pair = { rowA: ItemRow; rowB: ItemRow };
type ScoredPair = Pair & { scoreA: number; scoreB: number };

const differenceOf = ({ scoreA, scoreB }: ScoredPair): number => scoreB - scoreA;

/** By task, the questions that both have. @throws RookeryError BAD_DATA where there are none, or other ones under the same numbers. */
function pairQuestions(
  a: readonly ItemRow[],
  b: readonly ItemRow[],
  names: Pick<EvalCompareOptions, "a" | "b">,
): Map<string, Pair[]> {
  const byKey = new Map(b.map((row) => [keyOf(row), row]));
  const pairs = a.flatMap((rowA): Pair[] => {
    const rowB = byKey.get(keyOf(rowA));
    return rowB ? [{ rowA, rowB }] : [];
  });
  if (pairs.length === 0) {
    throw new RookeryError(
      "BAD_DATA",
      `${names.a} and ${names.b} have no question in common`,
      "compare results of the same tasks",
    );
  }
  for (const pair of pairs) checkSameQuestion(pair);
  return Map.groupBy(pairs, ({ rowA }) => rowA.task);
}

/** Those that have a score in both. @throws RookeryError BAD_DATA where none has. */
function scorePairs(task: string, pairs: readonly Pair[], metric: string | undefined): ScoredPair[] {
  const scored = pairs.flatMap(({ rowA, rowB }) => {
    const [scoreA, scoreB] = [scoreOf(rowA, metric), scoreOf(rowB, metric)];
    return scoreA === null || scoreB === null ? [] : [{ rowA, rowB, scoreA, scoreB }];
  });
  if (scored.length > 0) return scored;
  throw new RookeryError(
    "BAD_DATA",
    `task ${task} has no question with ${metric ?? "a score"} in both`,
    "name another --metric, or leave it out",
  );
}

/** @param questions rows of the task in both results together. */
function compareTask(
  task: string,
  scored: readonly ScoredPair[],
  { confidence, seed, flips }: Pick<EvalCompareOptions, "confidence" | "seed" | "flips">,
  questions: number,
): TaskComparison {
  const figures = comparePairs(
    scored.map(({ scoreA, scoreB }) => [scoreA, scoreB] as const),
    { confidence, seed },
  );
  const { count, won, lost, isSignificant, difference } = figures;
  const power = [...new Set([(won + lost) / count, 0.2])].map((discordance) => {
    const about = { count, discordance, confidence };
    return { discordance, ofThreePoints: powerOf(0.03, about), smallestDifference: smallestDifference(0.8, about) };
  });
  return {
    task,
    ...figures,
    unpaired: questions - 2 * count,
    verdict: !isSignificant ? "no difference seen" : difference > 0 ? "better" : "worse",
    power,
    flips: scored
      .filter((one) => differenceOf(one) !== 0)
      .sort((x, y) => differenceOf(x) - differenceOf(y))
      .slice(0, flips)
      .map(flipOf),
  };
}

const keyOf = ({ task, item }: ItemRow) => `${task}\n${item}`;

/** The same numbers of questions may be other questions: of another file, or a file in another order. */
function checkSameQuestion({ rowA, rowB }: Pair): void {
  if (rowA.reference === rowB.reference) return;
  throw new RookeryError(
    "BAD_DATA",
    `question ${rowA.item} of task ${rowA.task} is not the same in both results`,
    "evaluate both models on the same files",
  );
}

function scoreOf(row: ItemRow, metric: string | undefined): number | null {
  if (metric === undefined || row.score === null) return row.score;
  const scores = JSON.parse(row.scores) as Record<string, number>;
  return scores[metric] ?? null;
}

function flipOf({ rowA, rowB, scoreA, scoreB }: ScoredPair): Flip {
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
