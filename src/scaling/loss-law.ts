/** Fits of a loss: over N and D at once, as a second opinion beside the isoFLOP curves, and along the optimum. */
import type { FrontierLaw, LossLaw, Minimum } from "./laws.ts";
import { fitLine, goldenMinimum, leastSquares, logSpaced } from "./numeric.ts";
import type { Point } from "./table.ts";

type LinearPart = { law: LossLaw; error: number };

/** For given exponents the rest is linear: errors are relative, none of the three may be negative. */
function linearPart(
  points: readonly Point[],
  parameterExponent: number,
  tokenExponent: number,
): LinearPart | undefined {
  // measured from the first point, so that the columns are of one size
  const [n0, d0] = [points[0]!.parameters, points[0]!.tokens];
  const rows = points.map(({ parameters, tokens }) => [
    1,
    (n0 / parameters) ** parameterExponent,
    (d0 / tokens) ** tokenExponent,
  ]);
  const losses = points.map(({ loss }) => loss);
  const found = leastSquares(
    rows,
    losses,
    losses.map((loss) => 1 / loss ** 2),
  );
  if (!found || found.some((value) => value < 0)) return undefined;
  const [floor = 0, forParameters = 0, forTokens = 0] = found;
  const error = rows.reduce((sum, row, i) => {
    const fitted = row.reduce((total, value, j) => total + value * found[j]!, 0);
    return sum + (fitted / losses[i]! - 1) ** 2;
  }, 0);
  const law = {
    floor,
    parameterCoefficient: forParameters * n0 ** parameterExponent,
    parameterExponent,
    tokenCoefficient: forTokens * d0 ** tokenExponent,
    tokenExponent,
  };
  return { law, error };
}

/** L(N, D) by least squares: a grid of both exponents that closes in on the best. Undefined where nothing fits. */
export function fitLossLaw(points: readonly Point[]): LossLaw | undefined {
  let best: LinearPart | undefined;
  let [low, high] = [
    [0.03, 0.03],
    [1.2, 1.2],
  ] as [[number, number], [number, number]];
  for (let round = 0; round < 7; round++) {
    for (const alpha of logSpaced(low[0], high[0], 11)) {
      for (const beta of logSpaced(low[1], high[1], 11)) {
        const found = linearPart(points, alpha, beta);
        if (found && (!best || found.error < best.error)) best = found;
      }
    }
    if (!best) return undefined;
    const { parameterExponent: alpha, tokenExponent: beta } = best.law;
    // two steps of the grid on either side
    const width = [(high[0] / low[0]) ** 0.2, (high[1] / low[1]) ** 0.2] as const;
    low = [alpha / width[0], beta / width[1]];
    high = [alpha * width[0], beta * width[1]];
  }
  return best?.law;
}

/**
 * L(C) along the optimum. The floor is found where the rest is closest to a power law, between 0 and just under the least loss;
 * with fewer than four minima it is `otherFloor`, since three numbers cannot be had from three.
 */
export function fitFrontier(minima: readonly Pick<Minimum, "compute" | "loss">[], otherFloor: number): FrontierLaw {
  const least = Math.min(...minima.map(({ loss }) => loss));
  const x = minima.map(({ compute }) => Math.log(compute));
  const lawFor = (floor: number): FrontierLaw => {
    const { intercept, slope } = fitLine(
      x,
      minima.map(({ loss }) => Math.log(loss - floor)),
    );
    return { floor, coefficient: Math.exp(intercept), exponent: -slope };
  };
  if (minima.length < 4) return lawFor(Math.min(otherFloor, 0.98 * least));
  const errorFor = (floor: number) => {
    const { coefficient, exponent } = lawFor(floor);
    return minima.reduce((sum, { compute, loss }) => sum + (floor + coefficient / compute ** exponent - loss) ** 2, 0);
  };
  return lawFor(goldenMinimum(errorFor, 0, 0.98 * least));
}
