/** The learning rate that a sweep's search has found, as a power of the size. */
import { RookeryError } from "../base/errors.ts";
import { type PowerLaw, powerAt } from "./laws.ts";
import { fitLine, leastSquares } from "./numeric.ts";
import { learningRateLaw } from "./recipe.ts";

export type TriedRate = { activatedParameters: number; learningRate: number; loss: number };

export type RateSearch = {
  /** Learning rate as a power of activated parameters. */
  law: PowerLaw;
  /** Of each size the rate at which its loss is least; `isEdge` where that is the end of what was tried. */
  best: { activatedParameters: number; learningRate: number; isEdge: boolean }[];
};

/**
 * For each size the bottom of the parabola, in log rate, through its least loss and both neighbors; then a power law through the
 * sizes, or for a single one the published exponent along N ∝ √C.
 * @throws RookeryError BAD_DATA if no run has succeeded.
 */
export function fitRates(tried: readonly TriedRate[]): RateSearch {
  const sizes = [...new Set(tried.map(({ activatedParameters }) => activatedParameters))].sort((a, b) => a - b);
  const best = sizes.map((size) => bestRate(tried.filter((one) => one.activatedParameters === size)));
  const [first] = best;
  if (!first) {
    throw new RookeryError(
      "BAD_DATA",
      "no run of the search for a learning rate has succeeded",
      "give --learning-rate",
    );
  }
  const usual = 2 * learningRateLaw.exponent;
  const [x, y] = [best.map((one) => Math.log(one.activatedParameters)), best.map((one) => Math.log(one.learningRate))];
  const { slope, intercept } = best.length > 1 ? fitLine(x, y) : { slope: usual, intercept: y[0]! - usual * x[0]! };
  return { law: { coefficient: Math.exp(intercept), exponent: slope }, best };
}

function bestRate(tried: readonly TriedRate[]): RateSearch["best"][number] {
  const rates = tried.toSorted((a, b) => a.learningRate - b.learningRate);
  const index = rates.reduce((best, { loss }, at) => (loss < rates[best]!.loss ? at : best), 0);
  const { activatedParameters, learningRate } = rates[index]!;
  const around = rates.slice(Math.max(0, index - 1), index + 2);
  const offsets = around.map((one) => Math.log(one.learningRate / learningRate));
  const parabola = leastSquares(
    offsets.map((u) => [1, u, u * u]),
    around.map(({ loss }) => loss),
  );
  const [, slope = 0, bend = 0] = parabola ?? [];
  const isEdge = around.length < 3 || bend <= 0;
  return {
    activatedParameters,
    learningRate: isEdge ? learningRate : learningRate * Math.exp(-slope / (2 * bend)),
    isEdge,
  };
}

export function rateFor({ law }: RateSearch, activatedParameters: number): number {
  return Math.min(1, powerAt(law, activatedParameters));
}
