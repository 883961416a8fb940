/** Sweeps whose law is known: what a fit is checked with, and what shows how many runs an answer takes. */
import { type ComputeLaw, type LossLaw, lossAt, optimumOf, powerAt } from "./laws.ts";
import { goldenMinimum, logSpaced, normalStream } from "./numeric.ts";
import type { Point } from "./table.ts";

export type SyntheticSweep = {
  loss: LossLaw;
  compute: ComputeLaw;
  budgets: readonly number[];
  sizesPerBudget: number;
  /** Largest size of a budget over its smallest; the best one of C = a N D lies in the middle. */
  sizeRange: number;
  seeds: number;
  /** Standard deviation of a run's loss, in nats. */
  noise: number;
  seed: number;
};

/** Runs that obey the law, and the noise. */
export function syntheticPoints(sweep: SyntheticSweep): Point[] {
  const { compute, loss } = sweep;
  const noise = normalStream(sweep.seed, "synthetic sweep");
  const optimum = optimumOf(loss, compute);
  return sweep.budgets.flatMap((budget) => {
    const center = powerAt(optimum.parameters, budget);
    const spread = Math.sqrt(sweep.sizeRange);
    return logSpaced(center / spread, center * spread, sweep.sizesPerBudget).flatMap((parameters) =>
      Array.from({ length: sweep.seeds }, (): Point => {
        const tokens = budget / (compute.perParameterToken * parameters + compute.perToken);
        const measured = lossAt(loss, parameters, tokens) + sweep.noise * noise();
        return { budget, compute: budget, parameters, tokens, loss: measured, batchTokens: null, noiseTokens: null };
      }),
    );
  });
}

/** The N that is best for C under the whole compute law, its term without N too. */
export function bestParameters(loss: LossLaw, compute: ComputeLaw, budget: number): number {
  const center = Math.log(powerAt(optimumOf(loss, compute).parameters, budget));
  const lossOf = (u: number) => {
    const parameters = Math.exp(u);
    return lossAt(loss, parameters, budget / (compute.perParameterToken * parameters + compute.perToken));
  };
  return Math.exp(goldenMinimum(lossOf, center - 5, center + 5));
}
