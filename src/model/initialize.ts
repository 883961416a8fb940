import { type StreamKeys, uniform } from "../base/random.ts";

/** Fills `values` with normal numbers of standard deviation `deviation` (Box and Muller, 1958), two from each pair of uniforms. */
export function fillNormal(values: Float32Array, deviation: number, keys: StreamKeys): void {
  for (let i = 0; i < values.length; i += 2) {
    const radius = deviation * Math.sqrt(-2 * Math.log(1 - uniform(keys, i)));
    const angle = 2 * Math.PI * uniform(keys, i + 1);
    values[i] = radius * Math.cos(angle);
    if (i + 1 < values.length) values[i + 1] = radius * Math.sin(angle);
  }
}
