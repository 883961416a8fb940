import { runSweep, type SweepResult } from "../../scaling/sweep.ts";
import { sweepOptionsSchema } from "../../scaling/sweep-options.ts";
import { defineCommand } from "../command.ts";
import { alignColumns, formatDuration, shortNumber } from "../text.ts";

const flops = (value: number) => value.toExponential(2).replace("e+", "e");

function describe({ table, estimate, learningRates, done, failed, name }: SweepResult): string[] {
  if (table === null) {
    return [
      ...alignColumns(
        [
          ["budget", "activated", "parameters", "tokens", "updates", "batch", "rate"],
          ...estimate.budgets.flatMap(({ budget, batchTokens, learningRate, models }) =>
            models.map(({ activatedParameters, totalParameters, tokens, steps }) => [
              flops(budget),
              shortNumber(activatedParameters),
              shortNumber(totalParameters),
              shortNumber(tokens),
              String(steps),
              String(batchTokens),
              learningRate.toExponential(1),
            ]),
          ),
        ],
        { numbersFrom: 0 },
      ),
      "",
      planLine(estimate),
    ];
  }
  return [
    `${done} runs done${failed.length > 0 ? `, ${failed.length} failed` : ""}: ${table}`,
    ...(learningRates
      ? [`learning rate: ${learningRates.law.coefficient.toPrecision(3)} · N^${learningRates.law.exponent.toFixed(3)}`]
      : []),
    ...failed.map(({ run, reason }) => `failed: ${run}: ${reason}`),
    ...(failed.length > 0 ? [`try them again: rookery scale run --resume --retry-failed --name ${name}`] : []),
    `next: rookery scale fit ${table}`,
  ];
}

function planLine({ runs, searchRuns, compute, seconds, parallel }: SweepResult["estimate"]): string {
  const search = searchRuns > 0 ? ` and ${searchRuns} to find the learning rate` : "";
  return `${runs} runs${search}, ${flops(compute)} FLOPs, ${parallel} at once: about ${formatDuration(seconds)}`;
}

export const command = defineCommand({
  schema: sweepOptionsSchema,
  examples: [
    { line: "rookery scale run --data texts/ --plan-only", purpose: "what would be trained, and how long it takes" },
    {
      line: "rookery scale run --name small --data texts/ --budgets 1e12 2e12 4e12 8e12 --learning-rate search",
      purpose: "four curves, at the learning rate that suits each size",
    },
    { line: "rookery scale run --resume --name small", purpose: "go on after Ctrl-C or a crash" },
  ],
  run: (options, context) => runSweep(options, context),
  describe,
});
