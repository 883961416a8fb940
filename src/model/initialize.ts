import { type StreamKeys, uniform } from "../base/random.ts";
import type { ParameterDescription } from "./parameters.ts";

/** How fresh weights are drawn; `initialDeviation` says what the names mean. */
export const initializations = ["official", "scaled"] as const;
export type Initialization = (typeof initializations)[number];

/**
 * Standard deviation of a fresh parameter. "official": the configured one for all, as in the released code. "scaled": 1 / √in for
 * what is multiplied with, and 0 for what is added to the residual stream, so that every layer starts as the identity and a
 * small model learns from the first steps; embedding and head keep the configured one.
 */
export function initialDeviation(
  { role, shape, isResidualOutput }: ParameterDescription,
  initializerRange: number,
  scheme: Initialization,
): number {
  if (scheme === "official" || role === "embedding" || role === "head") return initializerRange;
  return isResidualOutput ? 0 : 1 / Math.sqrt(shape.at(-1) ?? 1);
}

/** Fills `values` with normal numbers of standard deviation `deviation` (Box and Muller, 1958), two from each pair of uniforms. */
export function fillNormal(values: Float32Array, deviation: number, keys: StreamKeys): void {
  for (let i = 0; i < values.length; i += 2) {
    const radius = deviation * Math.sqrt(-2 * Math.log(1 - uniform(keys, i)));
    const angle = 2 * Math.PI * uniform(keys, i + 1);
    values[i] = radius * Math.cos(angle);
    if (i + 1 < values.length) values[i + 1] = radius * Math.sin(angle);
  }
}
