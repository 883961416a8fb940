/**
 * From a sweep's table to a scaling law (report §2.3.1): a quadratic in log N per budget, the least losses, power laws through
 * them, and how far each is to be trusted.
 */
import { RookeryError } from "../base/errors.ts";
import { criticalBatchAt, fitBatch, fitCriticalBatch, leastCompute } from "./batch.ts";
import { bootstrapMinima } from "./bootstrap.ts";
import { type Budget, groupByBudget, minimumOf, type Quadratic, valueAt } from "./isoflop.ts";
import {
  type ComputeLaw,
  type FrontierLaw,
  frontierAt,
  type LossLaw,
  type Minimum,
  optimumOf,
  type PowerLaw,
  powerAt,
  type ScalingLaw,
  type Uncertainty,
} from "./laws.ts";
import { fitFrontier, fitLossLaw } from "./loss-law.ts";
import { deviationOf, fitLine, leastSquares, quantile } from "./numeric.ts";
import type { Point } from "./table.ts";

export type Interval = readonly [low: number, high: number];

export type FittedBudget = {
  budget: number;
  points: readonly Point[];
  quadratic: Quadratic;
  /** `compute` is C_min where the table has noise scales. */
  minimum: Minimum;
  intervals: { parameters: Interval; tokens: Interval; loss: Interval };
};

/** What the other budgets say of one that was left out, in logarithms; of the loss in nats. */
export type LeftOut = {
  budget: number;
  isExtrapolated: boolean;
  logParametersError: number;
  logTokensError: number;
  lossError: number;
};

export type ScalingFit = {
  law: ScalingLaw;
  budgets: FittedBudget[];
  intervals: {
    parametersExponent: Interval;
    tokensExponent: Interval;
    frontierExponent: Interval;
  };
  /** The exponents that L(N, D), fitted to all points at once, implies. */
  secondOpinion: { loss: LossLaw; parametersExponent: number; tokensExponent: number } | null;
  leftOut: LeftOut[];
  warnings: string[];
};

export type FitSettings = { name: string; source: string; resamples: number; seed: number };

const leastBudgets = 3;
const storedLaws = 200;

/** The laws through minima. @param floor of the loss where there are too few of them to tell it. */
function lawsThrough(
  minima: readonly Minimum[],
  floor: number,
): { parameters: PowerLaw; tokens: PowerLaw; frontier: FrontierLaw } {
  const x = minima.map(({ compute }) => Math.log(compute));
  const power = (values: readonly number[]): PowerLaw => {
    const { intercept, slope } = fitLine(x, values.map(Math.log));
    return { coefficient: Math.exp(intercept), exponent: slope };
  };
  return {
    parameters: power(minima.map(({ parameters }) => parameters)),
    tokens: power(minima.map(({ tokens }) => tokens)),
    frontier: fitFrontier(minima, floor),
  };
}

/** a and b of C = a N D + b D, in relative errors; b is 0 where the sizes do not tell it apart. */
export function fitComputeLaw(points: readonly Point[]): ComputeLaw {
  const perToken = points.map(({ compute, tokens }) => compute / tokens);
  const weights = perToken.map((flops) => 1 / flops ** 2);
  const rows = points.map(({ parameters }) => [parameters, 1]);
  const [a, b] = leastSquares(rows, perToken, weights) ?? [];
  if (a !== undefined && b !== undefined && a > 0 && b >= 0) return { perParameterToken: a, perToken: b };
  const alone = leastSquares(
    rows.map(([parameters = 0]) => [parameters]),
    perToken,
    weights,
  );
  return { perParameterToken: alone?.[0] ?? 6, perToken: 0 };
}

/**
 * @throws RookeryError BAD_DATA, with what to change: too few budgets or sizes, or a minimum outside the sizes of its budget.
 */
export function fitScalingLaw(points: readonly Point[], settings: FitSettings): ScalingFit {
  const groups = groupByBudget(points);
  if (groups.length < leastBudgets) {
    throw new RookeryError(
      "BAD_DATA",
      `${settings.source} has ${groups.length === 1 ? "one budget" : `${groups.length} budgets`}: a power law cannot be told from that`,
      `train at ${leastBudgets} budgets or more, a factor of 8 or more apart in total`,
    );
  }
  const batch = { tokens: fitBatch(points), critical: fitCriticalBatch(points) };
  const corrected = (group: Budget, minimum: Minimum) => correct(group, minimum, batch);
  const fitted = groups.map((group) => ({ group, ...minimumOf(group, settings.source) }));
  const minima = fitted.map(({ group, minimum }) => corrected(group, minimum));
  refuseUnordered(groups, minima);
  const resampled = bootstrapMinima(
    groups,
    fitted.map(({ quadratic }) => quadratic),
    settings,
  ).map((sample) => sample.map((minimum, index) => corrected(groups[index]!, minimum)));
  const loss = fitLossLaw(points) ?? null;
  const lawsOf = (of: readonly Minimum[]) => lawsThrough(of, loss?.floor ?? 0);
  const law = lawsOf(minima);
  const { scale, samples } = spreadOf(minima, law.parameters, resampled);
  const sampledLaws = samples.map(lawsOf);
  const leftOut = minima.map((one, index) => missOf(lawsOf(minima.toSpliced(index, 1)), one, groups, index));
  const uncertainty: Uncertainty = {
    parameters: sampledLaws.slice(0, storedLaws).map((one) => one.parameters),
    tokens: sampledLaws.slice(0, storedLaws).map((one) => one.tokens),
    frontier: sampledLaws.slice(0, storedLaws).map((one) => one.frontier),
    errorPerDecade: errorPerDecade(minima, leftOut),
  };
  const compute = fitComputeLaw(points);
  const implied = loss && optimumOf(loss, compute);
  const interval = (values: readonly number[]): Interval => [quantile(values, 0.025), quantile(values, 0.975)];
  const intervals = {
    parametersExponent: interval(sampledLaws.map((one) => one.parameters.exponent)),
    tokensExponent: interval(sampledLaws.map((one) => one.tokens.exponent)),
    frontierExponent: interval(sampledLaws.map((one) => one.frontier.exponent)),
  };
  return {
    law: {
      name: settings.name,
      source: settings.source,
      compute,
      ...law,
      loss,
      computeRange: [Math.min(...minima.map((one) => one.compute)), Math.max(...minima.map((one) => one.compute))],
      minima,
      batch,
      chosen: null,
      uncertainty,
      notes: notesOf(batch),
    },
    budgets: fitted.map(({ group, quadratic }, index) => ({
      budget: group.budget,
      points: group.points,
      quadratic,
      minimum: minima[index]!,
      intervals: {
        parameters: interval(samples.map((sample) => sample[index]!.parameters)),
        tokens: interval(samples.map((sample) => sample[index]!.tokens)),
        loss: interval(samples.map((sample) => sample[index]!.loss)),
      },
    })),
    intervals,
    secondOpinion: loss &&
      implied && {
        loss,
        parametersExponent: implied.parameters.exponent,
        tokensExponent: implied.tokens.exponent,
      },
    leftOut,
    warnings: [...warningsOf(groups, scale, intervals, batch), ...notesOf(batch)],
  };
}

/** The minimum with C_min for C, at the batch that a run of its size has; where no run tells, at the one that other budgets lead to. */
function correct({ budget, points }: Budget, minimum: Minimum, { tokens, critical }: ScalingLaw["batch"]): Minimum {
  if (!critical || !tokens) return minimum;
  const known = points.flatMap((point) => (point.batchTokens === null ? [] : [{ point, batch: point.batchTokens }]));
  const batch =
    known.length === 0
      ? powerAt(tokens, budget)
      : valueAt(
          known.map(({ point }) => point),
          known.map((one) => one.batch),
          minimum.parameters,
        );
  return { ...minimum, compute: leastCompute(minimum.compute, batch, criticalBatchAt(critical, minimum.loss)) };
}

/** Budgets whose C_min does not grow from one to the next by a percent at least tell no power law. */
function refuseUnordered(groups: readonly Budget[], minima: readonly Minimum[]): void {
  const index = minima.findIndex((one, i) => i > 0 && !(one.compute > 1.01 * minima[i - 1]!.compute));
  if (index < 0) return;
  const [before, after] = [index - 1, index].map((i) => groups[i]!.budget.toPrecision(5));
  const [least, more] = [index - 1, index].map((i) => minima[i]!.compute.toExponential(2));
  throw new RookeryError(
    "BAD_DATA",
    `the budgets ${before} and ${after} come to ${least} and ${more} FLOPs, which does not grow`,
    "give runs of one budget the same value of budget, and check compute, batch_tokens and noise_tokens",
  );
}

/**
 * Where minima lie further from their line than the noise of their points explains (other learning rates, sizes that do not
 * divide), all resampled ones are spread by as much: Birge's ratio.
 */
function spreadOf(
  minima: readonly Minimum[],
  parameters: PowerLaw,
  resampled: readonly Minimum[][],
): { scale: number; samples: Minimum[][] } {
  const misses = minima.map((minimum, index) => {
    const logs = resampled.map((sample) => Math.log(sample[index]!.parameters));
    return Math.log(minimum.parameters / powerAt(parameters, minimum.compute)) / deviationOf(logs);
  });
  const freedom = minima.length - 2;
  const ratio = Math.sqrt(misses.reduce((sum, miss) => sum + miss * miss, 0) / freedom);
  const scale = Number.isFinite(ratio) ? Math.max(1, ratio) : 1;
  const away = (from: number, to: number) => from * (to / from) ** scale;
  const samples = resampled.map((sample) =>
    sample.map((one, index) => {
      const center = minima[index]!;
      return {
        compute: one.compute,
        parameters: away(center.parameters, one.parameters),
        tokens: away(center.tokens, one.tokens),
        loss: center.loss + scale * (one.loss - center.loss),
      };
    }),
  );
  return { scale, samples };
}

/** What laws say of a minimum that was left out of them. */
function missOf(
  law: ReturnType<typeof lawsThrough>,
  minimum: Minimum,
  groups: readonly Budget[],
  index: number,
): LeftOut {
  return {
    budget: groups[index]!.budget,
    isExtrapolated: index === 0 || index === groups.length - 1,
    logParametersError: Math.log(powerAt(law.parameters, minimum.compute) / minimum.parameters),
    logTokensError: Math.log(powerAt(law.tokens, minimum.compute) / minimum.tokens),
    lossError: frontierAt(law.frontier, minimum.compute) - minimum.loss,
  };
}

/** How far the laws through all minima but the largest miss it, over the decades between: what extrapolation has cost here. */
function errorPerDecade(minima: readonly Minimum[], leftOut: readonly LeftOut[]): Uncertainty["errorPerDecade"] {
  const [last, before] = [minima.at(-1)!, minima.at(-2)!];
  const { logParametersError, logTokensError, lossError } = leftOut.at(-1)!;
  const decades = Math.log10(last.compute / before.compute);
  const per = (error: number) => Math.abs(error) / decades;
  return { logParameters: per(logParametersError), logTokens: per(logTokensError), loss: per(lossError) };
}

/** What goes with the law to whoever plans by it. */
function notesOf({ critical }: ScalingLaw["batch"]): string[] {
  if (!critical || critical.exponent >= 0) return [];
  return [
    "the noise scales of these runs fall as the loss falls, where they are known to grow: beyond the data the critical batch, and with it C_min, cannot be trusted",
  ];
}

function warningsOf(
  groups: readonly Budget[],
  scale: number,
  { parametersExponent, tokensExponent }: ScalingFit["intervals"],
  { critical, tokens }: ScalingLaw["batch"],
): string[] {
  const unsure = Object.entries({ N: parametersExponent, D: tokensExponent }).filter(([, [low]]) => low <= 0);
  const range = groups.at(-1)!.budget / groups[0]!.budget;
  return [
    ...(range < 7.99 ? [`the budgets span a factor of ${range.toFixed(1)} only: exponents need 8 or more`] : []),
    ...(scale > 2
      ? [
          `minima scatter ${scale.toFixed(1)} times as much around the power law as their noise explains: intervals are that much wider`,
        ]
      : []),
    ...unsure.map(
      ([what, [low]]) =>
        `${what}(C) may not grow at all (exponents from ${low.toFixed(2)} on): add seeds, or budgets that are further apart`,
    ),
    ...(critical && tokens
      ? []
      : [
          `the table has no ${critical ? "batch_tokens" : "noise_tokens"}: C is taken as C_min, as if every batch were far below the critical one`,
        ]),
    ...(groups.length < 4 ? ["with three budgets the floor of L(C) is that of L(N, D)"] : []),
  ];
}
