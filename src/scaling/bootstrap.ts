/** Where the minima might as well have been: budgets fitted again with their noise dealt anew. */
import { type Budget, bottomOf, fitQuadratic, leverages, type Quadratic, quadraticAt, tokensAt } from "./isoflop.ts";
import type { Minimum } from "./laws.ts";
import { meanOf, signStream } from "./numeric.ts";

/**
 * The minima of every budget, `resamples` times. Each point keeps the size of its miss and takes a random sign (the wild bootstrap:
 * Wu, 1986), so that sizes stay as they were and noise may differ between budgets; a miss is enlarged by what the point drew the
 * curve to itself. A sample whose curve has no bottom within twice the sizes takes the one of the fit.
 */
export function bootstrapMinima(
  groups: readonly Budget[],
  quadratics: readonly Quadratic[],
  { resamples, seed }: { resamples: number; seed: number },
): Minimum[][] {
  const prepared = groups.map(({ budget, points }, index) => {
    const quadratic = quadratics[index]!;
    const pull = leverages(points);
    const fitted = points.map(({ parameters }) => quadraticAt(quadratic, parameters));
    const misses = points.map(({ loss }, i) => (loss - fitted[i]!) / Math.max(0.1, 1 - pull[i]!));
    return { budget, points, quadratic, fitted, misses, compute: meanOf(points.map((point) => point.compute)) };
  });
  return Array.from({ length: resamples }, (_, round) =>
    prepared.map(({ budget, points, quadratic, fitted, misses, compute }) => {
      const sign = signStream(seed, "bootstrap", round, String(budget));
      const losses = misses.map((miss, i) => fitted[i]! + sign() * miss);
      const again = fitQuadratic(points, losses) ?? quadratic;
      const bottom = bottomOf(again);
      const [least, most] = [points[0]!.parameters / 2, points.at(-1)!.parameters * 2];
      const isInside = bottom !== undefined && bottom >= least && bottom <= most;
      const curve = isInside ? again : quadratic;
      const parameters = bottomOf(curve)!;
      return { compute, parameters, tokens: tokensAt(points, parameters), loss: quadraticAt(curve, parameters) };
    }),
  );
}
