/** Figures of repeated rounds: the middle one, and how far the others lie from it. */
export type Spread = { median: number; min: number; max: number };

/** The middle value, or the mean of the two in the middle; NaN of nothing. */
export function median(values: readonly number[]): number {
  const sorted = Float64Array.from(values).sort();
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}

export function spreadOf(values: readonly number[]): Spread {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}

export function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

/**
 * How many times as fast as the peer: its seconds by ours, round by round. Rounds are pairs from the same moment, so what the
 * machine did meanwhile cancels out.
 */
export function ratiosToPeer(ourSeconds: readonly number[], peerSeconds: readonly number[]): number[] {
  return ourSeconds.map((seconds, round) => peerSeconds[round]! / seconds);
}

/** The spread over rounds of the geometric mean over several things that each had a figure in every round. */
export function spreadOfMeans(figures: readonly (readonly number[])[]): Spread {
  const rounds = figures[0]?.length ?? 0;
  return spreadOf(Array.from({ length: rounds }, (_, round) => geometricMean(figures.map((one) => one[round]!))));
}
