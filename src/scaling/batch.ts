/** Batch size: the gradient's noise scale, the critical batch that follows the loss, and what a batch costs in compute. */
import { RookeryError } from "../base/errors.ts";
import type { CriticalBatch, PowerLaw } from "./laws.ts";
import { fitLine, meanOf } from "./numeric.ts";

/** A mean of squared gradient norms at a batch size, in tokens. */
export type GradientNorm = { batchTokens: number; squaredNorm: number };

/**
 * The simple noise scale tr(Σ) / |G|² in tokens, from squared gradient norms at two batch sizes: E|G_B|² = |G|² + tr(Σ) / B
 * (McCandlish et al., 2018, appendix A.1). Means over many steps, since a single estimate may be anything.
 * @throws RookeryError BAD_DATA where the norms do not fall with the batch, or leave no gradient.
 */
export function simpleNoiseScale(small: GradientNorm, large: GradientNorm): number {
  const { batchTokens: b, squaredNorm: gb } = small;
  const { batchTokens: B, squaredNorm: gB } = large;
  const squared = (B * gB - b * gb) / (B - b);
  const variance = (gb - gB) / (1 / b - 1 / B);
  if (B > b && variance > 0 && squared > 0) return variance / squared;
  throw new RookeryError(
    "BAD_DATA",
    `squared gradient norms ${gb} at ${b} tokens and ${gB} at ${B} give no noise scale`,
    "average over more steps, and let the two batches differ by a factor of 8 or more",
  );
}

/**
 * B_noise and S_min from runs that reach one loss at several batch sizes: 1/S = 1/S_min − B_noise / E, S updates and E tokens
 * (report §2.3.3 after Li et al., 2405.14578). @throws RookeryError BAD_DATA for fewer than two batch sizes or a line that rises.
 */
export function noiseScaleOfRuns(runs: readonly { steps: number; tokens: number }[]): {
  noiseTokens: number;
  leastSteps: number;
} {
  const x = runs.map(({ tokens }) => 1 / tokens);
  const line =
    new Set(x).size > 1
      ? fitLine(
          x,
          runs.map(({ steps }) => 1 / steps),
        )
      : undefined;
  if (!line || line.slope >= 0 || line.intercept <= 0) {
    throw new RookeryError(
      "BAD_DATA",
      `${runs.length} runs to one loss show no trade of steps for tokens`,
      "let them differ in batch size by a factor of 4 or more, each at its best learning rate",
    );
  }
  return { noiseTokens: -line.slope, leastSteps: 1 / line.intercept };
}

/** Kaplan's, for dense models on WebText2: nothing is known of B_crit in the report. */
export const kaplanCriticalBatch: CriticalBatch = {
  tokensAtOneNat: 2e8,
  exponent: 1 / 0.21,
  source: "Kaplan et al., arXiv 2001.08361, section 5.1: dense models on WebText2",
};

export function criticalBatchAt({ tokensAtOneNat, exponent }: CriticalBatch, loss: number): number {
  return tokensAtOneNat / loss ** exponent;
}

/** The law through measured noise scales, or a constant where the losses are too close for a slope; null without any. */
export function fitCriticalBatch(
  points: readonly { loss: number; noiseTokens: number | null }[],
): CriticalBatch | null {
  const known = points.flatMap(({ loss, noiseTokens }) => (noiseTokens === null ? [] : [[loss, noiseTokens] as const]));
  if (known.length === 0) return null;
  const source = `the noise scales of ${known.length} runs`;
  const [x, y] = [known.map(([loss]) => Math.log(loss)), known.map(([, noise]) => Math.log(noise))];
  if (Math.max(...x) - Math.min(...x) < 0.05) return { tokensAtOneNat: Math.exp(meanOf(y)), exponent: 0, source };
  const { intercept, slope } = fitLine(x, y);
  return { tokensAtOneNat: Math.exp(intercept), exponent: -slope, source };
}

/** The batch of a sweep's runs as a power of their budget, the same everywhere where one budget alone tells it; null without any. */
export function fitBatch(runs: readonly { budget: number; batchTokens: number | null }[]): PowerLaw | null {
  const known = runs.flatMap(({ budget, batchTokens }) =>
    batchTokens === null ? [] : [[budget, batchTokens] as const],
  );
  if (known.length === 0) return null;
  const [x, y] = [known.map(([budget]) => Math.log(budget)), known.map(([, batch]) => Math.log(batch))];
  if (new Set(x).size === 1) return { coefficient: Math.exp(meanOf(y)), exponent: 0 };
  const { intercept, slope } = fitLine(x, y);
  return { coefficient: Math.exp(intercept), exponent: slope };
}

/** C_min = C / (1 + B / B_crit): what the same loss costs at a very small batch (report eq. 3). */
export function leastCompute(compute: number, batchTokens: number, criticalTokens: number): number {
  return compute / (1 + batchTokens / criticalTokens);
}
