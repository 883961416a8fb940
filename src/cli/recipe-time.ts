/** How the minutes of `rookery start` are shared out among its stages. */

/** Which part of the time each stage may take, in their order; the rest is for reading data, measuring and writing. */
const shares = { pretraining: 0.4, longContext: 0.05, sft: 0.25, reward: 0.06, dpo: 0.08 };

export type TimedStage = keyof typeof shares;

/** Seconds that the stage takes if all goes as planned. */
export function plannedSeconds(stage: TimedStage, minutes: number): number {
  return 60 * minutes * shares[stage];
}

/**
 * Seconds that the stage may train, `elapsedSeconds` after the beginning: its share of what is left. What took longer than planned, as on
 * a machine that others use too, shortens what comes after it, but no stage to less than half: it would teach nothing.
 */
export function secondsLeftFor(stage: TimedStage, minutes: number, elapsedSeconds: number): number {
  const planned = plannedSeconds(stage, minutes);
  const stages = Object.keys(shares) as TimedStage[];
  const sumOf = (some: TimedStage[]) => some.reduce((sum, one) => sum + shares[one], 0);
  // measuring and writing is left in the same proportion as training is
  const share = (shares[stage] * sumOf(stages)) / sumOf(stages.slice(stages.indexOf(stage)));
  const left = Math.max(0, 60 * minutes - elapsedSeconds);
  return Math.min(planned, Math.max(planned / 2, left * share));
}
