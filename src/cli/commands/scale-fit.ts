import { z } from "zod";
import { writeFileAtomic } from "../../base/files.ts";
import { rookeryVersion } from "../../base/version.ts";
import { fitPage } from "../../report/fit-page.ts";
import { fitScalingLaw, type Interval } from "../../scaling/fit.ts";
import { type CheckedFit, check, type Prediction, predict } from "../../scaling/predict.ts";
import { readTable } from "../../scaling/table-file.ts";
import { defineCommand } from "../command.ts";
import { alignColumns, shortNumber } from "../text.ts";

const schema = z.strictObject({
  table: z
    .string()
    .min(1)
    .describe("the results of a sweep: .parquet or .csv with budget, activated_parameters, tokens and loss")
    .meta({ valueName: "TABLE" }),
  resamples: z.int().min(50).max(10_000).default(1000).describe("times that the noise is dealt anew for the intervals"),
  seed: z
    .int()
    .min(0)
    .max(2 ** 31 - 1)
    .default(1)
    .describe("fixes the resampling"),
  predict: z
    .array(z.number().positive().max(1e40))
    .max(64)
    .default([])
    .describe("FLOPs to foretell the best model and its loss for")
    .meta({ valueName: "FLOPS" }),
  check: z
    .string()
    .min(1)
    .optional()
    .describe("a table of budgets that the fit has not seen, to compare with what it foretells")
    .meta({ valueName: "TABLE" }),
  write: z
    .string()
    .min(1)
    .optional()
    .describe("write the fit with its plots as a page of its own")
    .meta({ valueName: "FILE.html" }),
});

const range = ([low, high]: Interval, show: (value: number) => string) => `${show(low)}–${show(high)}`;
const exponent = (value: number) => value.toFixed(4);

function predictionRows(predictions: readonly Prediction[]): string[] {
  if (predictions.length === 0) return [];
  const interval = (of: Prediction["loss"], show: (value: number) => string) =>
    of.interval ? range(of.interval, show) : "";
  return [
    ...alignColumns(
      [
        ["foretold", "beyond data", "best N", "best D", "loss", "95%", "measured", "off by"],
        ...predictions.map(({ compute, extrapolation, parameters, tokens, loss, measured }) => [
          compute.toExponential(2),
          extrapolation.direction === "inside" ? "" : `${extrapolation.factor.toFixed(1)}×`,
          shortNumber(parameters.value),
          shortNumber(tokens.value),
          loss.value.toFixed(4),
          interval(loss, (value) => value.toFixed(4)),
          measured ? measured.loss.toFixed(4) : "",
          measured ? measured.error.toFixed(4) : "",
        ]),
      ],
      { numbersFrom: 1 },
    ),
    "",
  ];
}

function describe({ law, budgets, intervals, secondOpinion, leftOut, warnings, predictions }: CheckedFit): string[] {
  const power = (
    name: string,
    { coefficient, exponent: power }: { coefficient: number; exponent: number },
    of: Interval,
  ) => [name, `${coefficient.toPrecision(3)} · C^${exponent(power)}, exponent ${range(of, exponent)}`];
  const {
    compute,
    frontier,
    batch: { critical },
  } = law;
  return [
    ...alignColumns(
      [
        ["budget", "sizes", "best N", "95%", "best D", "loss", "±"],
        ...budgets.map(({ budget, points, minimum, intervals: of }) => [
          budget.toExponential(2),
          String(new Set(points.map(({ parameters }) => parameters)).size),
          shortNumber(minimum.parameters),
          range(of.parameters, shortNumber),
          shortNumber(minimum.tokens),
          minimum.loss.toFixed(4),
          ((of.loss[1] - of.loss[0]) / 2).toFixed(4),
        ]),
      ],
      { numbersFrom: 1 },
    ),
    "",
    ...predictionRows(predictions),
    ...alignColumns([
      power("N(C)", law.parameters, intervals.parametersExponent),
      power("D(C)", law.tokens, intervals.tokensExponent),
      ...(frontier
        ? [
            [
              "L(C)",
              `${frontier.floor.toFixed(3)} + ${frontier.coefficient.toPrecision(3)} · C^-${exponent(frontier.exponent)}, exponent ${range(intervals.frontierExponent, exponent)}`,
            ],
          ]
        : []),
      ["C(N, D)", `${compute.perParameterToken.toFixed(3)} N D + ${compute.perToken.toPrecision(3)} D`],
      ...(secondOpinion
        ? [
            [
              "L(N, D)",
              `implies exponents ${exponent(secondOpinion.parametersExponent)} for N and ${exponent(secondOpinion.tokensExponent)} for D`,
            ],
          ]
        : []),
      ...(critical
        ? [["B_crit(L)", `${critical.tokensAtOneNat.toPrecision(3)} / L^${critical.exponent.toFixed(2)} tokens`]]
        : []),
      ...leftOut.map((one, index) => [
        index === 0 ? "left out" : "",
        `${one.budget.toExponential(2)}${one.isExtrapolated ? ", extrapolated" : ""}: N off by ${percent(one.logParametersError)}, D by ${percent(one.logTokensError)}, loss by ${one.lossError.toFixed(4)}`,
      ]),
    ]),
    ...warnings.map((warning) => `note: ${warning}`),
  ];
}

function percent(logarithm: number): string {
  const value = 100 * Math.expm1(logarithm);
  return `${value < 0 ? "" : "+"}${value.toFixed(1)}%`;
}

export const command = defineCommand({
  schema,
  positionals: ["table"],
  examples: [
    { line: "rookery scale fit sweep.parquet", purpose: "the power laws of a sweep, with their intervals" },
    {
      line: "rookery scale fit sweep.csv --json > fit.json",
      purpose: "the law as a file for `rookery plan --law fit.json`",
    },
    {
      line: "rookery scale fit sweep.parquet --predict 1e14 --check larger.parquet",
      purpose: "what it foretells of larger budgets, and how they turned out",
    },
    { line: "rookery scale fit sweep.parquet --write fit.html", purpose: "its curves as a page" },
  ],
  run: async ({ table, resamples, seed, predict: budgets, check: other, write }): Promise<CheckedFit> => {
    const points = await readTable(table);
    const fitted = fitScalingLaw(points, { name: table, source: table, resamples, seed });
    const checked = other === undefined ? [] : check(fitted, await readTable(other), other);
    const fit = { ...fitted, predictions: [...budgets.map((compute) => predict(fitted, compute)), ...checked] };
    if (write !== undefined) writeFileAtomic(write, fitPage(fit, rookeryVersion));
    return fit;
  },
  describe,
});
