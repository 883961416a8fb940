/** What a fit says of a budget that it has not seen, and how far runs at that budget turned out from it. */
import { RookeryError } from "../base/errors.ts";
import { type Estimate, type Extrapolation, estimateLoss, estimateOptimum, extrapolationOf } from "./bands.ts";
import type { ScalingFit } from "./fit.ts";
import { groupByBudget, minimumOf } from "./isoflop.ts";
import { leastComputeFor, ownBatchAt } from "./law-compute.ts";
import { meanOf } from "./numeric.ts";
import type { Point } from "./table.ts";

export type Prediction = {
  compute: number;
  /** At the batch that the sweep's batches lead to; null where it has none. */
  batchTokens: number | null;
  /** C_min: the compute less what that batch costs; what the laws are of. */
  leastCompute: number;
  extrapolation: Extrapolation;
  parameters: Estimate;
  tokens: Estimate;
  loss: Estimate;
  /** Runs at that budget: the bottom of their curve, or the size with the least mean loss where they are too few for one. */
  measured: { parameters: number; tokens: number; loss: number; runs: number; error: number } | null;
};

/** A fit with what it foretells. */
export type CheckedFit = ScalingFit & { predictions: Prediction[] };

/** @throws RookeryError INVALID_OPTION for a compute that is no number above 0. */
export function predict({ law }: ScalingFit, compute: number): Prediction {
  if (!(Number.isFinite(compute) && compute > 0)) {
    throw new RookeryError(
      "INVALID_OPTION",
      `a budget of ${compute} FLOPs cannot be foretold`,
      "give a number above 0",
    );
  }
  const batchTokens = ownBatchAt(law, compute);
  const least = batchTokens === null ? compute : leastComputeFor(law, compute, batchTokens);
  return {
    compute,
    batchTokens,
    leastCompute: least,
    extrapolation: extrapolationOf(law, least),
    parameters: estimateOptimum(law, "parameters", least),
    tokens: estimateOptimum(law, "tokens", least),
    loss: estimateLoss(law, least) ?? { value: Number.NaN, interval: null },
    measured: null,
  };
}

/** The budgets of another table, which `source` names, foretold and as they were. @throws RookeryError BAD_DATA as `minimumOf` does. */
export function check(fit: ScalingFit, points: readonly Point[], source: string): Prediction[] {
  return groupByBudget(points).map((group) => {
    const prediction = predict(fit, group.budget);
    const found = group.sizes >= 4 ? minimumOf(group, source).minimum : leastOf(group.points);
    const { parameters, tokens, loss } = found;
    const runs = group.points.length;
    return { ...prediction, measured: { parameters, tokens, loss, runs, error: prediction.loss.value - loss } };
  });
}

function leastOf(points: readonly Point[]): { parameters: number; tokens: number; loss: number } {
  const sizes = [...new Set(points.map(({ parameters }) => parameters))].map((size) => {
    const same = points.filter(({ parameters }) => parameters === size);
    return { parameters: size, tokens: same[0]!.tokens, loss: meanOf(same.map(({ loss }) => loss)) };
  });
  return sizes.reduce((best, one) => (one.loss < best.loss ? one : best));
}
