/** What a law says at a compute, with a band where there is one, and how far that lies from what was measured. */
import { type FrontierLaw, frontierAt, type PowerLaw, powerAt, type ScalingLaw } from "./laws.ts";
import { quantile } from "./numeric.ts";

export type Estimate = { value: number; interval: readonly [low: number, high: number] | null };

export type Extrapolation = {
  /** Decades of compute beyond the measured range, 0 inside it. */
  decades: number;
  /** As a factor, 1 inside. */
  factor: number;
  direction: "inside" | "above" | "below";
};

export function extrapolationOf({ computeRange: [least, most] }: ScalingLaw, compute: number): Extrapolation {
  const factor = Math.max(1, compute / most, least / compute);
  const direction = compute > most ? "above" : compute < least ? "below" : "inside";
  return { decades: Math.log10(factor), factor, direction };
}

/** 95% of resampled laws, and beside that what leaving the last budget out cost for each decade beyond the data. */
function widened(
  value: number,
  samples: readonly number[],
  errorPerDecade: number,
  decades: number,
): readonly [number, number] {
  const beyond = errorPerDecade * decades;
  const below = Math.hypot(Math.max(0, value - quantile(samples, 0.025)), beyond);
  const above = Math.hypot(Math.max(0, quantile(samples, 0.975) - value), beyond);
  return [value - below, value + above];
}

/** N or D that is best for the compute. */
export function estimateOptimum(law: ScalingLaw, what: "parameters" | "tokens", compute: number): Estimate {
  const value = powerAt(law[what], compute);
  if (!law.uncertainty) return { value, interval: null };
  const { parameters, tokens, errorPerDecade } = law.uncertainty;
  const samples = (what === "parameters" ? parameters : tokens).map((one: PowerLaw) => Math.log(powerAt(one, compute)));
  const perDecade = what === "parameters" ? errorPerDecade.logParameters : errorPerDecade.logTokens;
  const [low, high] = widened(Math.log(value), samples, perDecade, extrapolationOf(law, compute).decades);
  return { value, interval: [Math.exp(low), Math.exp(high)] };
}

/** The loss of the best model for the compute; null where the law has none. */
export function estimateLoss(law: ScalingLaw, compute: number): Estimate | null {
  if (!law.frontier) return null;
  const value = frontierAt(law.frontier, compute);
  if (!law.uncertainty) return { value, interval: null };
  const { frontier, errorPerDecade } = law.uncertainty;
  const samples = frontier.map((one: FrontierLaw) => frontierAt(one, compute));
  return { value, interval: widened(value, samples, errorPerDecade.loss, extrapolationOf(law, compute).decades) };
}
