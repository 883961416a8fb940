/** The numerical methods that fits are made of: least squares, quantiles, normal noise, a minimum without derivatives. */
import { streamKeys, uniform } from "../base/random.ts";

/** Coefficients that minimise Σ w (y − row · x)². Undefined if the rows do not determine them. */
export function leastSquares(
  rows: readonly (readonly number[])[],
  y: readonly number[],
  weights?: readonly number[],
): number[] | undefined {
  const size = rows[0]?.length ?? 0;
  const normal = Array.from({ length: size }, () => new Array<number>(size + 1).fill(0));
  for (const [index, row] of rows.entries()) {
    const weight = weights?.[index] ?? 1;
    for (let i = 0; i < size; i++) {
      for (let j = 0; j < size; j++) normal[i]![j]! += weight * row[i]! * row[j]!;
      normal[i]![size]! += weight * row[i]! * y[index]!;
    }
  }
  return solve(normal);
}

/** Gauss-Jordan with pivots on [A | b]; what is too small beside its column's diagonal counts as singular. */
function solve(matrix: number[][]): number[] | undefined {
  const size = matrix.length;
  const scales = matrix.map((row, i) => Math.abs(row[i]!));
  for (let column = 0; column < size; column++) {
    let pivot = column;
    for (let row = column + 1; row < size; row++) {
      if (Math.abs(matrix[row]![column]!) > Math.abs(matrix[pivot]![column]!)) pivot = row;
    }
    [matrix[column], matrix[pivot]] = [matrix[pivot]!, matrix[column]!];
    const top = matrix[column]!;
    if (!(Math.abs(top[column]!) > 1e-13 * scales[column]!)) return undefined;
    for (let row = 0; row < size; row++) {
      const factor = row === column ? 0 : matrix[row]![column]! / top[column]!;
      if (factor !== 0) for (let k = column; k <= size; k++) matrix[row]![k]! -= factor * top[k]!;
    }
  }
  return matrix.map((row, i) => row[size]! / row[i]!);
}

/** y ≈ intercept + slope · x. @throws Error if all x are the same. */
export function fitLine(x: readonly number[], y: readonly number[]): { intercept: number; slope: number } {
  const mean = x.reduce((sum, value) => sum + value, 0) / x.length;
  const found = leastSquares(
    x.map((value) => [1, value - mean]),
    y,
  );
  if (!found) throw new Error("a line needs two places");
  const [atMean = 0, slope = 0] = found;
  return { intercept: atMean - slope * mean, slope };
}

/** The share-quantile of values, by linear interpolation between neighbors; NaN of none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const place = share * (sorted.length - 1);
  const low = sorted[Math.floor(place)] ?? Number.NaN;
  return low + (place % 1) * ((sorted[Math.ceil(place)] ?? low) - low);
}

export function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Standard deviation around `center`, by default the mean; with n − lost in the denominator. */
export function deviationOf(values: readonly number[], center = meanOf(values), lost = 1): number {
  const squares = values.reduce((sum, value) => sum + (value - center) ** 2, 0);
  return Math.sqrt(squares / Math.max(1, values.length - lost));
}

/** The n-th, (n + 1)-th … standard normal number of a stream (Box-Muller). */
export function normalStream(seed: number, ...parts: readonly (number | string)[]): () => number {
  const keys = streamKeys(seed, ...parts);
  let index = 0;
  return () => {
    const [u, v] = [1 - uniform(keys, index), uniform(keys, index + 1)];
    index += 2;
    return Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * v);
  };
}

/** −1 or 1, at random. */
export function signStream(seed: number, ...parts: readonly (number | string)[]): () => 1 | -1 {
  const keys = streamKeys(seed, ...parts);
  let index = 0;
  return () => (uniform(keys, index++) < 0.5 ? -1 : 1);
}

/** Values evenly spaced in logarithm, both ends included. */
export function logSpaced(from: number, to: number, count: number): number[] {
  const step = count > 1 ? Math.log(to / from) / (count - 1) : 0;
  return Array.from({ length: count }, (_, i) => (i === count - 1 && count > 1 ? to : from * Math.exp(i * step)));
}

/** Where `f` is least on [low, high], if it has one valley there (golden section). */
export function goldenMinimum(f: (x: number) => number, low: number, high: number, steps = 60): number {
  const ratio = (Math.sqrt(5) - 1) / 2;
  let [a, b] = [low, high];
  let [c, d] = [b - ratio * (b - a), a + ratio * (b - a)];
  let [fc, fd] = [f(c), f(d)];
  for (let i = 0; i < steps; i++) {
    if (fc < fd) {
      [b, d, fd] = [d, c, fc];
      c = b - ratio * (b - a);
      fc = f(c);
    } else {
      [a, c, fc] = [c, d, fd];
      d = a + ratio * (b - a);
      fd = f(d);
    }
  }
  return (a + b) / 2;
}
