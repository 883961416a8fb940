import { z } from "zod";
import { exitCodes } from "../../base/errors.ts";
import { writeFileAtomic } from "../../base/files.ts";
import {
  compareResults,
  type EvalComparison,
  evalCompareOptionsSchema,
  type TaskComparison,
} from "../../eval/compare.ts";
import type { Interval } from "../../eval/paired.ts";
import { comparisonPage } from "../../report/eval-comparison-page.ts";
import { defineCommand } from "../command.ts";
import { alignColumns, printable } from "../text.ts";

const schema = evalCompareOptionsSchema.extend({
  write: z
    .string()
    .min(1)
    .optional()
    .describe("write the comparison as a page of its own")
    .meta({ valueName: "FILE.html" }),
});

const points = (share: number) => `${share > 0 ? "+" : ""}${(100 * share).toFixed(2)}`;
const range = ([low, high]: Interval) => `${points(low)} to ${points(high)}`;

function rowOf({
  task,
  count,
  meanA,
  meanB,
  difference,
  interval,
  won,
  lost,
  exactP,
  verdict,
}: TaskComparison): string[] {
  return [
    task,
    String(count),
    `${(100 * meanA).toFixed(2)}%`,
    `${(100 * meanB).toFixed(2)}%`,
    points(difference),
    range(interval),
    String(won),
    String(lost),
    exactP === null ? "" : exactP.toPrecision(2),
    verdict,
  ];
}

export const command = defineCommand({
  schema,
  positionals: ["a", "b"],
  examples: [
    { line: "rookery eval compare evals/before evals/after", purpose: "exit code 3 if the second is surely worse" },
    {
      line: "rookery eval compare evals/bf16 evals/int4 --margin 0.02",
      purpose: "exit code 3 unless the second is surely less than two points below",
    },
  ],
  async run({ write, ...options }): Promise<EvalComparison> {
    const comparison = await compareResults(options);
    if (write !== undefined) writeFileAtomic(write, comparisonPage(comparison));
    return comparison;
  },
  exitCode: ({ failures }) => (failures.length > 0 ? exitCodes.gateFailed : exitCodes.done),
  describe({ tasks, overall, confidence, failures }) {
    return [
      ...alignColumns(
        [
          ["task", "questions", "A", "B", "B − A", `${100 * confidence}% interval`, "won", "lost", "p", "B is"],
          ...tasks.map(rowOf),
        ],
        { numbersFrom: 1 },
      ),
      ...(overall ? [`all tasks alike: B − A ${points(overall.difference)} points, ${range(overall.interval)}`] : []),
      ...tasks.flatMap(({ task, power }) =>
        power.map(
          ({ discordance, ofThreePoints, smallestDifference }) =>
            `${task}: where ${(100 * discordance).toFixed(1)}% of the questions are answered differently, 3 points are seen with a chance of ${(100 * ofThreePoints).toFixed(0)}%, ${(100 * smallestDifference).toFixed(1)} points with 80%`,
        ),
      ),
      ...tasks.flatMap(({ task, unpaired }) =>
        unpaired > 0
          ? [`note: ${task}: ${unpaired} questions have a score in one of the two alone, and are left out`]
          : [],
      ),
      ...tasks.flatMap(({ task, flips }) =>
        flips
          .slice(0, 5)
          .map(
            ({ item, scoreB, scoreA, answerA, answerB, reference }) =>
              `${scoreB < scoreA ? "lost" : "won"} ${task} ${item}: ${shown(answerA)} → ${shown(answerB)}, right is ${shown(reference)}`,
          ),
      ),
      ...failures.map((failure) => `gate: ${failure}`),
    ];
  },
});

const shown = (text: string) => {
  const line = printable(text).replace(/\s+/g, " ").trim();
  return `"${line.length > 40 ? `${[...line].slice(0, 40).join("")}…` : line}"`;
};
