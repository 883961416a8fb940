/** One budget: a quadratic of the loss in log N, and where it is least. */
import { RookeryError } from "../base/errors.ts";
import type { Minimum } from "./laws.ts";
import { leastSquares, meanOf } from "./numeric.ts";
import type { Point } from "./table.ts";

/** loss ≈ c0 + c1 u + c2 u², u = ln(N / center). */
export type Quadratic = { center: number; coefficients: readonly [number, number, number] };

export type Budget = { budget: number; points: readonly Point[]; sizes: number };

const leastSizes = 4;

/** Points by budget, the smallest first. */
export function groupByBudget(points: readonly Point[]): Budget[] {
  const groups = new Map<number, Point[]>();
  for (const point of points) groups.set(point.budget, [...(groups.get(point.budget) ?? []), point]);
  return [...groups]
    .map(([budget, inside]) => ({
      budget,
      points: inside.toSorted((a, b) => a.parameters - b.parameters),
      sizes: new Set(inside.map(({ parameters }) => parameters)).size,
    }))
    .sort((a, b) => a.budget - b.budget);
}

export function quadraticAt({ center, coefficients: [c0, c1, c2] }: Quadratic, parameters: number): number {
  const u = Math.log(parameters / center);
  return c0 + c1 * u + c2 * u * u;
}

/** The rows of the design and its center. */
function designOf(points: readonly Point[]): { center: number; rows: number[][] } {
  const center = Math.exp(meanOf(points.map(({ parameters }) => Math.log(parameters))));
  const rows = points.map(({ parameters }) => {
    const u = Math.log(parameters / center);
    return [1, u, u * u];
  });
  return { center, rows };
}

export function fitQuadratic(points: readonly Point[], losses: readonly number[]): Quadratic | undefined {
  const { center, rows } = designOf(points);
  const found = leastSquares(rows, losses);
  return found && { center, coefficients: found as [number, number, number] };
}

/** How much each point draws its own fitted value to itself: the diagonal of the hat matrix. */
export function leverages(points: readonly Point[]): number[] {
  const { rows } = designOf(points);
  return rows.map((row, index) => {
    const unit = rows.map((_, other) => (other === index ? 1 : 0));
    const found = leastSquares(rows, unit) ?? [0, 0, 0];
    return row.reduce((sum, value, i) => sum + value * found[i]!, 0);
  });
}

/** The N at which the quadratic is least, or undefined if it bends the other way. */
export function bottomOf({ center, coefficients: [, c1, c2] }: Quadratic): number | undefined {
  return c2 > 0 ? center * Math.exp(-c1 / (2 * c2)) : undefined;
}

/** What goes with N parameters at a budget (tokens, a batch), interpolated between its runs; values are above 0. */
export function valueAt(points: readonly Point[], values: readonly number[], parameters: number): number {
  const logs = values.map(Math.log);
  const curve = fitQuadratic(points, logs);
  return Math.exp(curve ? quadraticAt(curve, parameters) : meanOf(logs));
}

export function tokensAt(points: readonly Point[], parameters: number): number {
  return valueAt(
    points,
    points.map(({ tokens }) => tokens),
    parameters,
  );
}

/**
 * The minimum of a budget's curve.
 * @param source names the table in messages.
 * @throws RookeryError BAD_DATA for too few sizes, a curve without a minimum, or a minimum outside the sizes.
 */
export function minimumOf(
  { budget, points, sizes }: Budget,
  source: string,
): { quadratic: Quadratic; minimum: Minimum } {
  const refuse = (message: string, hint: string): never => {
    throw new RookeryError("BAD_DATA", `${source}, budget ${budget.toExponential(2)}: ${message}`, hint);
  };
  if (sizes < leastSizes) {
    refuse(
      `${sizes === 1 ? "one size is" : `${sizes} sizes are`} too few for a curve`,
      `train at least ${leastSizes}, better 5 or more`,
    );
  }
  const losses = points.map(({ loss }) => loss);
  const quadratic = fitQuadratic(points, losses);
  const parameters = quadratic && bottomOf(quadratic);
  const [smallest, largest] = [points[0]!.parameters, points.at(-1)!.parameters];
  if (!quadratic || parameters === undefined) {
    return refuse(
      "the losses bend downward, so that there is no least one",
      "add sizes on both sides until the loss rises at both ends, or look for a failed run among its rows",
    );
  }
  if (parameters < smallest || parameters > largest) {
    const side = parameters < smallest ? "smaller" : "larger";
    const edge = parameters < smallest ? smallest : largest;
    refuse(
      `the least loss lies outside the sizes, at about ${parameters.toExponential(2)} parameters (${side} than ${edge.toExponential(2)})`,
      `add ${side} models at this budget`,
    );
  }
  const compute = meanOf(points.map((point) => point.compute));
  const minimum = {
    compute,
    parameters,
    tokens: tokensAt(points, parameters),
    loss: quadraticAt(quadratic, parameters),
  };
  return { quadratic, minimum };
}
