/** Slow f64 twins of gemm.c and weight_gradient.c. */

/** c = addend + a Bᵍ by groups of rows; weight [groups, out, in]; transpose false: B = Wᵀ, true: B = W. */
export function matmulTwin(
  a: Float64Array,
  weight: Float64Array,
  addend: Float64Array | undefined,
  shape: { out: number; in: number; offsets: number[] },
  transpose: boolean,
): Float64Array {
  const { out, in: input, offsets } = shape;
  const inner = transpose ? out : input;
  const columns = transpose ? input : out;
  const c = addend ? Float64Array.from(addend) : new Float64Array((a.length / inner) * columns);
  for (let group = 0; group + 1 < offsets.length; group++) {
    for (let row = offsets[group]!; row < offsets[group + 1]!; row++) {
      for (let column = 0; column < columns; column++) {
        let sum = 0;
        for (let k = 0; k < inner; k++) {
          const w = weight[group * out * input + (transpose ? k * input + column : column * input + k)]!;
          sum += a[row * inner + k]! * w;
        }
        c[row * columns + column]! += sum;
      }
    }
  }
  return c;
}

/** Σ over a group's rows of dyᵀ x, [groups, out, in]. */
export function weightGradientTwin(
  dy: Float64Array,
  x: Float64Array,
  shape: { out: number; in: number; offsets: number[] },
): Float64Array {
  const { out, in: input, offsets } = shape;
  const gradient = new Float64Array((offsets.length - 1) * out * input);
  for (let group = 0; group + 1 < offsets.length; group++) {
    for (let row = offsets[group]!; row < offsets[group + 1]!; row++) {
      for (let o = 0; o < out; o++) {
        for (let i = 0; i < input; i++)
          gradient[(group * out + o) * input + i]! += dy[row * out + o]! * x[row * input + i]!;
      }
    }
  }
  return gradient;
}
