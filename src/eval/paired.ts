/** Two models on the same questions: how far apart they are, and what such a comparison can see at all. */
import { below, streamKeys } from "../base/random.ts";
import { meanOf } from "./statistics.ts";

export type Interval = readonly [low: number, high: number];

export type PairedFigures = {
  count: number;
  meanA: number;
  meanB: number;
  /** B − A. */
  difference: number;
  /** Of the difference, by resampling the questions. */
  interval: Interval;
  /** Questions that B has a higher score on, and a lower one. */
  won: number;
  lost: number;
  /** How likely that many on one side would be if neither were better (McNemar's exact test); null for graded scores. */
  exactP: number | null;
  isSignificant: boolean;
};

const resamplesDefault = 4000;

/**
 * @param pairs scores of A and B on one question each, from 0 to 1.
 * @param confidence of the interval, such as 0.95: also the level of the verdict.
 */
export function comparePairs(
  pairs: readonly (readonly [a: number, b: number])[],
  { confidence, seed, resamples = resamplesDefault }: { confidence: number; seed: number; resamples?: number },
): PairedFigures {
  const differences = Float64Array.from(pairs, ([a, b]) => b - a);
  const meanA = meanOf(pairs.map(([a]) => a)).value;
  const meanB = meanOf(pairs.map(([, b]) => b)).value;
  const interval = bootstrapInterval([differences], { confidence, seed, resamples });
  const won = differences.filter((one) => one > 0).length;
  const lost = differences.filter((one) => one < 0).length;
  const isBinary = pairs.every(([a, b]) => (a === 0 || a === 1) && (b === 0 || b === 1));
  const exactP = isBinary ? signTest(won, lost) : null;
  const excludesZero = interval[0] > 0 || interval[1] < 0;
  return {
    count: pairs.length,
    meanA,
    meanB,
    difference: meanB - meanA,
    interval,
    won,
    lost,
    exactP,
    isSignificant: excludesZero && (exactP === null || exactP < 1 - confidence),
  };
}

/** Of the mean over groups of the means of their differences: each group's questions are resampled among themselves. */
export function bootstrapInterval(
  groups: readonly Float64Array[],
  { confidence, seed, resamples = resamplesDefault }: { confidence: number; seed: number; resamples?: number },
): Interval {
  const means = new Float64Array(resamples);
  for (const [group, differences] of groups.entries()) {
    const keys = streamKeys(seed, "bootstrap", group);
    const count = differences.length;
    for (let resample = 0, draw = 0; resample < resamples; resample++) {
      let sum = 0;
      for (let at = 0; at < count; at++, draw++) sum += differences[below(count, keys, draw)]!;
      means[resample]! += sum / count / groups.length;
    }
  }
  means.sort();
  const at = (share: number) => means[Math.min(resamples - 1, Math.max(0, Math.floor(share * resamples)))]!;
  return [at((1 - confidence) / 2), at((1 + confidence) / 2)];
}

/** Two-sided: the chance of a split as uneven as `won` to `lost`, or more, among fair coin flips. */
export function signTest(won: number, lost: number): number {
  const flips = won + lost;
  if (flips === 0) return 1;
  let tail = 0;
  for (let few = 0; few <= Math.min(won, lost); few++) tail += Math.exp(logChoose(flips, few) - flips * Math.LN2);
  return Math.min(1, 2 * tail);
}

function logChoose(n: number, k: number): number {
  let sum = 0;
  for (let at = 1; at <= k; at++) sum += Math.log((n - k + at) / at);
  return sum;
}

/**
 * The chance to see a difference that is there.
 * @param discordance share of the questions on which exactly one of the two is right.
 */
export function powerOf(
  difference: number,
  { count, discordance, confidence }: { count: number; discordance: number; confidence: number },
): number {
  const deviation = Math.sqrt(Math.max(0, discordance - difference ** 2) / count);
  if (deviation === 0) return difference === 0 ? 0 : 1;
  return normalCdf(Math.abs(difference) / deviation - normalQuantile((1 + confidence) / 2));
}

/** The smallest difference that is seen with `power`. */
export function smallestDifference(
  power: number,
  about: { count: number; discordance: number; confidence: number },
): number {
  const sum = normalQuantile((1 + about.confidence) / 2) + normalQuantile(power);
  // δ = z √((ψ − δ²) / n), solved for δ
  return Math.min(about.discordance, Math.sqrt((sum ** 2 * about.discordance) / (about.count + sum ** 2)));
}

/** The normal distribution function, to 1e-7 (Abramowitz and Stegun, 26.2.17). */
function normalCdf(z: number): number {
  const t = 1 / (1 + 0.231_641_9 * Math.abs(z));
  const series =
    t * (0.319_381_53 + t * (-0.356_563_782 + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
  const tail = (Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI)) * series;
  return z >= 0 ? 1 - tail : tail;
}

function normalQuantile(share: number): number {
  let [low, high] = [-10, 10];
  for (let step = 0; step < 60; step++) {
    const middle = (low + high) / 2;
    if (normalCdf(middle) < share) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}
