/** Slow f64 twins of optim.c. */

export type AdamwSettings = {
  learningRate: number;
  beta1: number;
  beta2: number;
  eps: number;
  decay: number;
  gradientScale: number;
};

/** One step of AdamW as Loshchilov and Hutter write it (algorithm 2), with the rate folded into the decay. */
export function adamw(
  state: { weight: Float64Array; m: Float64Array; v: Float64Array },
  gradient: Float64Array,
  step: number,
  settings: AdamwSettings,
): { weight: Float64Array; m: Float64Array; v: Float64Array } {
  const { learningRate, beta1, beta2, eps, decay, gradientScale } = settings;
  const g = gradient.map((x) => x * gradientScale);
  const m = state.m.map((x, i) => beta1 * x + (1 - beta1) * g[i]!);
  const v = state.v.map((x, i) => beta2 * x + (1 - beta2) * g[i]! ** 2);
  const weight = state.weight.map((x, i) => {
    const mHat = m[i]! / (1 - beta1 ** step);
    const vHat = v[i]! / (1 - beta2 ** step);
    return x - learningRate * (mHat / (Math.sqrt(vHat) + eps) + decay * x);
  });
  return { weight, m, v };
}

export function sumOfSquares(values: Float64Array): number {
  return values.reduce((total, x) => total + x * x, 0);
}

/** destination (+)= source · scale. */
export function axpy(
  source: Float64Array,
  destination: Float64Array,
  scale: number,
  accumulate: boolean,
): Float64Array {
  return source.map((x, i) => x * scale + (accumulate ? destination[i]! : 0));
}
