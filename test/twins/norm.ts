/** Slow f64 twins of norm.c. */

/** y = x / rms(x) · weight by rows, and 1 / rms. */
export function rmsnormTwin(x: Float64Array, weight: Float64Array, eps: number) {
  const columns = weight.length;
  const inverseRms = new Float64Array(x.length / columns);
  const y = new Float64Array(x.length);
  for (let row = 0; row < inverseRms.length; row++) {
    let sum = 0;
    for (let i = 0; i < columns; i++) sum += x[row * columns + i]! ** 2;
    inverseRms[row] = 1 / Math.sqrt(sum / columns + eps);
    for (let i = 0; i < columns; i++) y[row * columns + i] = x[row * columns + i]! * inverseRms[row]! * weight[i]!;
  }
  return { y, inverseRms };
}

/** Gradients of rmsnormTwin from dy. */
export function rmsnormBackwardTwin(dy: Float64Array, x: Float64Array, weight: Float64Array, eps: number) {
  const columns = weight.length;
  const { inverseRms } = rmsnormTwin(x, weight, eps);
  const dx = new Float64Array(x.length);
  const weightGradient = new Float64Array(columns);
  for (let row = 0; row < inverseRms.length; row++) {
    const inverse = inverseRms[row]!;
    let dot = 0;
    for (let i = 0; i < columns; i++) {
      const at = row * columns + i;
      dot += dy[at]! * weight[i]! * x[at]! * inverse;
      weightGradient[i]! += dy[at]! * x[at]! * inverse;
    }
    for (let i = 0; i < columns; i++) {
      const at = row * columns + i;
      dx[at] = inverse * (dy[at]! * weight[i]! - (x[at]! * inverse * dot) / columns);
    }
  }
  return { dx, weightGradient };
}

export type RopeNorm = {
  heads: number;
  headDim: number;
  /** One position a row. */
  positions: number[];
  /** [positions, headDim / 2] */
  cosine: Float64Array;
  sine: Float64Array;
  weightA: Float64Array | undefined;
  weightB: Float64Array | undefined;
  normalize: boolean;
  eps: number;
};

/** Turns every head by its row's angles; `direction` −1 turns back. */
function rotate(x: Float64Array, rope: RopeNorm, direction: 1 | -1): Float64Array {
  const { heads, headDim, positions, cosine, sine } = rope;
  const half = headDim / 2;
  const turned = new Float64Array(x.length);
  for (let at = 0; at < x.length; at += headDim) {
    const angles = positions[Math.floor(at / headDim / heads)]! * half;
    for (let i = 0; i < half; i++) {
      const c = cosine[angles + i]!;
      const s = sine[angles + i]! * direction;
      turned[at + i] = x[at + i]! * c - x[at + half + i]! * s;
      turned[at + half + i] = x[at + half + i]! * c + x[at + i]! * s;
    }
  }
  return turned;
}

function product(rope: RopeNorm): Float64Array {
  return Float64Array.from({ length: rope.headDim }, (_, i) => (rope.weightA?.[i] ?? 1) * (rope.weightB?.[i] ?? 1));
}

/** RoPE, then the norm of each head, then both weights. x [rows, heads, headDim]. */
export function ropeNormTwin(x: Float64Array, rope: RopeNorm) {
  const turned = rotate(x, rope, 1);
  const weight = product(rope);
  if (rope.normalize) return rmsnormTwin(turned, weight, rope.eps);
  return { y: turned.map((value, i) => value * weight[i % rope.headDim]!), inverseRms: undefined };
}

/** Gradients of ropeNormTwin from dy. */
export function ropeNormBackwardTwin(dy: Float64Array, x: Float64Array, rope: RopeNorm) {
  const turned = rotate(x, rope, 1);
  const weight = product(rope);
  let dturned: Float64Array;
  let weightGradient = new Float64Array(rope.headDim);
  if (rope.normalize) {
    ({ dx: dturned, weightGradient } = rmsnormBackwardTwin(dy, turned, weight, rope.eps));
  } else {
    dturned = dy.map((value, i) => value * weight[i % rope.headDim]!);
    for (let i = 0; i < dy.length; i++) weightGradient[i % rope.headDim]! += dy[i]! * turned[i]!;
  }
  return {
    dx: rotate(dturned, rope, -1),
    weightAGradient: weightGradient.map((value, i) => value * (rope.weightB?.[i] ?? 1)),
    weightBGradient: weightGradient.map((value, i) => value * (rope.weightA?.[i] ?? 1)),
  };
}
