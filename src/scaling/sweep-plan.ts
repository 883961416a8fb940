/** Which runs a sweep is made of: models by a rule, and tokens, batch and learning rate that go with each budget. */
import { RookeryError } from "../base/errors.ts";
import { account } from "../model/accounting.ts";
import { configWith, type ModelConfig } from "../model/config.ts";
import { countFlops } from "../model/flops.ts";
import { presets } from "../model/presets.ts";
import { expertLearningRateRatio } from "../train/schedule.ts";
import { familyMember, sweepSteps } from "./family.ts";
import { powerAt } from "./laws.ts";
import { logSpaced } from "./numeric.ts";
import { batchLaw, learningRateLaw, reportedBatchToNoise } from "./recipe.ts";
import type { SweepOptions } from "./sweep-options.ts";

/** One run of a sweep, all of it but the learning rate that a search has yet to find. */
export type SweepPoint = {
  /** Name of its training run. */
  run: string;
  budget: number;
  config: ModelConfig;
  activatedParameters: number;
  totalParameters: number;
  flopsPerToken: number;
  batchTokens: number;
  steps: number;
  tokens: number;
  /** FLOPs that it takes: the budget, up to a whole number of steps. */
  compute: number;
  seed: number;
  learningRate: number;
  expertLearningRateRatio: number;
};

const fewestSteps = 50;
/** Updates over this are whole multiples of it, so that they divide into forward passes. */
const mostRowTokens = 16_384;
const searchedFactors = [0.125, 0.25, 0.5, 1, 2];

/** The family that a sweep's options describe. */
export const familyOf = ({ family, model }: SweepOptions): ModelConfig => configWith(presets[family], model);

/** The budgets in ascending order, each once. */
function budgetsOf({ budgets }: SweepOptions): number[] {
  return [...new Set(budgets)].sort((a, b) => a - b);
}

/** The models of a budget, the smallest first; sizes that come to the same model count once. */
function modelsFor(budget: number, family: ModelConfig, options: SweepOptions): ModelConfig[] {
  const { sizesPerBudget, sizeStep, tokensPerParameter } = options;
  // C = 6 N D with D = r N; the exact FLOPs of each model decide its tokens
  const middle = Math.sqrt(budget / 6 / tokensPerParameter);
  const reach = sizeStep ** ((sizesPerBudget - 1) / 2);
  const wanted = options.sizes?.toSorted((a, b) => a - b) ?? logSpaced(middle / reach, middle * reach, sizesPerBudget);
  const members = wanted.map((size) => memberAt(budget, family, size));
  const byShape = new Map(members.map((config) => [JSON.stringify(config), config]));
  return [...byShape.values()];
}

/** @throws RookeryError INVALID_OPTION that names the budget, since nobody has written down the size. */
function memberAt(budget: number, family: ModelConfig, size: number): ModelConfig {
  try {
    return familyMember(family, size, sweepSteps);
  } catch (error) {
    if (!(error instanceof RookeryError)) throw error;
    throw new RookeryError(
      error.code,
      `budget ${budget.toExponential(2)}: ${error.message}`,
      `${error.hint}; sizes follow --budgets and --tokens-per-parameter, or give --sizes`,
    );
  }
}

/** Tokens an update at a budget: a whole number of rows. */
function batchFor(budget: number, smallest: number, { batchTokens, sequenceLength }: SweepOptions): number {
  const wanted =
    batchTokens === undefined ? powerAt(batchLaw, budget) : batchTokens * (budget / smallest) ** batchLaw.exponent;
  const unit =
    wanted < mostRowTokens ? sequenceLength : Math.max(1, Math.floor(mostRowTokens / sequenceLength)) * sequenceLength;
  return Math.max(1, Math.round(wanted / unit)) * unit;
}

function ruledRate(budget: number, smallest: number, { learningRate }: SweepOptions): number {
  if (typeof learningRate !== "number") return powerAt(learningRateLaw, budget);
  return learningRate * (budget / smallest) ** learningRateLaw.exponent;
}

function pointFor(budget: number, config: ModelConfig, seed: number, options: SweepOptions): SweepPoint {
  const { parameters } = account(config);
  const smallest = Math.min(...options.budgets);
  const flopsPerToken = countFlops(config, { sequenceLength: options.sequenceLength }).training;
  const batchTokens = batchFor(budget, smallest, options);
  const steps = Math.round(budget / flopsPerToken / batchTokens);
  if (steps < fewestSteps) {
    throw new RookeryError(
      "INVALID_OPTION",
      `budget ${budget.toExponential(2)} gives a model of ${parameters.activated} activated parameters ${steps} updates of ${batchTokens} tokens`,
      `it takes ${fewestSteps} or more: lower --batch-tokens, raise --tokens-per-parameter, or leave out the largest sizes`,
    );
  }
  const tokens = steps * batchTokens;
  return {
    run: `c${budget.toExponential().replace("+", "")}-n${parameters.activated}-s${seed}`,
    budget,
    config,
    activatedParameters: parameters.activated,
    totalParameters: parameters.total,
    ...{ flopsPerToken, batchTokens, steps, tokens, seed },
    compute: tokens * flopsPerToken,
    learningRate: ruledRate(budget, smallest, options),
    expertLearningRateRatio: expertLearningRateRatio(
      config.numExperts,
      config.topK,
      options.recipe.batchToNoiseRatio ?? reportedBatchToNoise,
    ),
  };
}

/**
 * The runs of a sweep, the smallest budget first.
 * @throws RookeryError INVALID_OPTION for a size that the family has not, or a budget too small for a model.
 */
export function pointsOf(options: SweepOptions): SweepPoint[] {
  const family = familyOf(options);
  const seeds = Array.from({ length: options.seeds }, (_, index) => index + 1);
  return budgetsOf(options).flatMap((budget) =>
    modelsFor(budget, family, options).flatMap((config) =>
      seeds.map((seed) => pointFor(budget, config, seed, options)),
    ),
  );
}

/** The runs that look for a learning rate: the least, the middle and the largest model of the smallest budget, at five rates. */
export function searchPointsOf(options: SweepOptions): SweepPoint[] {
  const [smallest = 0] = budgetsOf(options);
  const models = modelsFor(smallest, familyOf(options), options);
  const chosen = [...new Set([0, Math.floor((models.length - 1) / 2), models.length - 1])].map(
    (index) => models[index]!,
  );
  return chosen.flatMap((config) => {
    const point = pointFor(smallest, config, 1, options);
    return searchedFactors.map((factor) => {
      const learningRate = point.learningRate * factor;
      return { ...point, learningRate, run: `rate-n${point.activatedParameters}-${factor}` };
    });
  });
}
