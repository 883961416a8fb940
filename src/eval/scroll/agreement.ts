/** How far two gradings of the same answers agree. */
import type { ScrollScore } from "./scores.ts";

export type Agreement = {
  /** Answers that both have graded. */
  count: number;
  /** Share of those on which both are on the same side of one half. */
  sameSide: number | null;
  /** Cohen's kappa of the sides: 1 for full agreement, 0 for what chance would give; null where it is not defined. */
  kappa: number | null;
  /** Mean distance of the scores, 0 to 100. */
  meanDistance: number | null;
  /** Mean of the second less mean of the first, 0 to 100. */
  bias: number | null;
  /** Pearson's; null where one of them does not vary. */
  correlation: number | null;
};

const isRight = (score: number) => score >= 0.5;

export function agreementOf(first: readonly ScrollScore[], second: readonly ScrollScore[]): Agreement {
  const others = new Map(second.map(({ key, score }) => [key, score]));
  const pairs = first.flatMap(({ key, score }): [number, number][] => {
    const other = others.get(key);
    return score === null || other === null || other === undefined ? [] : [[score, other]];
  });
  const count = pairs.length;
  if (count === 0) {
    return { ...{ count, sameSide: null, kappa: null }, ...{ meanDistance: null, bias: null, correlation: null } };
  }
  const mean = (of: (pair: [number, number]) => number) => pairs.reduce((sum, pair) => sum + of(pair), 0) / count;
  const sameSide = mean(([a, b]) => Number(isRight(a) === isRight(b)));
  const [rightA, rightB] = [mean(([a]) => Number(isRight(a))), mean(([, b]) => Number(isRight(b)))];
  const byChance = rightA * rightB + (1 - rightA) * (1 - rightB);
  const [meanA, meanB] = [mean(([a]) => a), mean(([, b]) => b)];
  const spread = Math.sqrt(mean(([a]) => (a - meanA) ** 2) * mean(([, b]) => (b - meanB) ** 2));
  return {
    ...{ count, sameSide },
    kappa: byChance === 1 ? null : (sameSide - byChance) / (1 - byChance),
    meanDistance: 100 * mean(([a, b]) => Math.abs(a - b)),
    bias: 100 * (meanB - meanA),
    correlation: spread === 0 ? null : mean(([a, b]) => (a - meanA) * (b - meanB)) / spread,
  };
}
