/** Slow f64 twins of experts.c and router.c, written from the formulas; routing is frozen in them, as it is for gradients. */

export type RouterShape = { tokens: number; hidden: number; experts: number };
/** What the choice of experts settled for a batch; slot = token * k + j. */
export type FrozenRouting = { k: number; selected: number[]; assigned: number[]; load: number[] };
/** How much each of a router's three outputs weighs in the loss: d gates [tokens, k], and the two losses' coefficients. */
export type RouterCotangents = { dgates: Float64Array; balanceWeight: number; zWeight: number };

const f32Epsilon = 2 ** -23;
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

function dot(a: Float64Array, aFrom: number, b: Float64Array, bFrom: number, count: number): number {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += a[aFrom + i]! * b[bFrom + i]!;
  return sum;
}

/** h [rows, width] of gateUp [rows, 2 width]. */
export function swigluForward(gateUp: Float64Array, width: number): Float64Array {
  return Float64Array.from({ length: gateUp.length / 2 }, (_, i) => {
    const at = Math.floor(i / width) * 2 * width + (i % width);
    return gateUp[at]! * sigmoid(gateUp[at]!) * gateUp[at + width]!;
  });
}

export function swigluBackward(dh: Float64Array, gateUp: Float64Array, width: number): Float64Array {
  const result = new Float64Array(gateUp.length);
  for (let i = 0; i < dh.length; i++) {
    const at = Math.floor(i / width) * 2 * width + (i % width);
    const [gate, up] = [gateUp[at]!, gateUp[at + width]!];
    const s = sigmoid(gate);
    result[at] = dh[i]! * up * (s + gate * s * (1 - s));
    result[at + width] = dh[i]! * gate * s;
  }
  return result;
}

export function routerForward(
  x: Float64Array,
  weight: Float64Array,
  { tokens, hidden, experts }: RouterShape,
): { probabilities: Float64Array; logSumExp: Float64Array } {
  const probabilities = new Float64Array(tokens * experts);
  const logSumExp = new Float64Array(tokens);
  for (let t = 0; t < tokens; t++) {
    const logits = Array.from({ length: experts }, (_, e) => dot(x, t * hidden, weight, e * hidden, hidden));
    const highest = Math.max(...logits);
    const sum = logits.reduce((total, logit) => total + Math.exp(logit - highest), 0);
    logSumExp[t] = highest + Math.log(sum);
    for (let e = 0; e < experts; e++) probabilities[t * experts + e] = Math.exp(logits[e]! - highest) / sum;
  }
  return { probabilities, logSumExp };
}

/** The k most probable experts of each token, best first; of equals the lowest number. */
export function topExperts(probabilities: ArrayLike<number>, experts: number, k: number): number[] {
  return Array.from({ length: probabilities.length / experts }, (_, t) => {
    const p = Array.from({ length: experts }, (_, e) => probabilities[t * experts + e]!);
    return p
      .map((_, e) => e)
      .sort((a, b) => p[b]! - p[a]! || a - b)
      .slice(0, k);
  }).flat();
}

/** What a token's gates are divided by: nothing for k = 1, else the sum over the router's own choice. */
function gateDivisor(probabilities: ArrayLike<number>, experts: number, routing: FrozenRouting, token: number): number {
  const { k, selected } = routing;
  if (k === 1) return 1;
  let sum = 0;
  for (let j = 0; j < k; j++) sum += probabilities[token * experts + selected[token * k + j]!]!;
  return Math.max(sum, f32Epsilon);
}

/** gates [tokens, k]: the assigned expert's probability over that divisor, 0 where dropped. */
export function gatesOf(probabilities: ArrayLike<number>, experts: number, routing: FrozenRouting): Float64Array {
  return Float64Array.from(routing.assigned, (expert, slot) => {
    const token = Math.floor(slot / routing.k);
    if (expert < 0) return 0;
    return probabilities[token * experts + expert]! / gateDivisor(probabilities, experts, routing, token);
  });
}

/** {balance loss in the form of GShard, mean of the squared log-sum-exp}. */
export function routerLosses(
  probabilities: Float64Array,
  logSumExp: Float64Array,
  load: number[],
): { balance: number; z: number } {
  const tokens = logSumExp.length;
  const experts = load.length;
  let balance = 0;
  for (let i = 0; i < probabilities.length; i++) {
    balance += (experts * (load[i % experts]! / tokens) * probabilities[i]!) / tokens;
  }
  return { balance, z: logSumExp.reduce((total, l) => total + l * l, 0) / tokens };
}

/** The number whose gradient rookery_router_backward gives. */
export function routerObjective(
  x: Float64Array,
  weight: Float64Array,
  shape: RouterShape,
  routing: FrozenRouting,
  cotangents: RouterCotangents,
): number {
  const { probabilities, logSumExp } = routerForward(x, weight, shape);
  const gates = gatesOf(probabilities, shape.experts, routing);
  const losses = routerLosses(probabilities, logSumExp, routing.load);
  const { dgates, balanceWeight, zWeight } = cotangents;
  return dot(gates, 0, dgates, 0, gates.length) + balanceWeight * losses.balance + zWeight * losses.z;
}

export function routerBackward(
  x: Float64Array,
  weight: Float64Array,
  shape: RouterShape,
  routing: FrozenRouting,
  cotangents: RouterCotangents,
): { dx: Float64Array; weightGradient: Float64Array } {
  const { tokens, hidden, experts } = shape;
  const { k, selected, assigned, load } = routing;
  const { probabilities, logSumExp } = routerForward(x, weight, shape);
  const gates = gatesOf(probabilities, experts, routing);
  const dx = new Float64Array(x.length);
  const weightGradient = new Float64Array(weight.length);
  for (let t = 0; t < tokens; t++) {
    const p = probabilities.subarray(t * experts, (t + 1) * experts);
    const dp = Float64Array.from(load, (count) => (cotangents.balanceWeight * experts * count) / tokens ** 2);
    const divisor = gateDivisor(probabilities, experts, routing, t);
    for (let slot = t * k; slot < (t + 1) * k; slot++) {
      if (assigned[slot]! < 0) continue;
      dp[assigned[slot]!]! += cotangents.dgates[slot]! / divisor;
      if (k === 1) continue;
      for (let j = 0; j < k; j++) dp[selected[t * k + j]!]! -= (cotangents.dgates[slot]! * gates[slot]!) / divisor;
    }
    const mean = dot(p, 0, dp, 0, experts);
    for (let e = 0; e < experts; e++) {
      const dlogit = p[e]! * (dp[e]! - mean + (2 * cotangents.zWeight * logSumExp[t]!) / tokens);
      for (let i = 0; i < hidden; i++) {
        dx[t * hidden + i]! += dlogit * weight[e * hidden + i]!;
        weightGradient[e * hidden + i]! += dlogit * x[t * hidden + i]!;
      }
    }
  }
  return { dx, weightGradient };
}

/** rows[r] = x[token of the slot at r]; `slotAt` holds the rows that exist and no more. */
export function dispatchForward(x: Float64Array, slotAt: number[], columns: number, k: number): Float64Array {
  return Float64Array.from({ length: slotAt.length * columns }, (_, i) => {
    return x[Math.floor(slotAt[Math.floor(i / columns)]! / k) * columns + (i % columns)]!;
  });
}

export function dispatchBackward(drows: Float64Array, rowOf: number[], columns: number, k: number): Float64Array {
  const ones = new Float64Array(rowOf.length).fill(1);
  return combineForward(new Float64Array((rowOf.length / k) * columns), drows, rowOf, ones, columns, k);
}

/** out[t] = base[t] + the rows of its slots times their gates. */
export function combineForward(
  base: Float64Array,
  rows: Float64Array,
  rowOf: number[],
  gates: Float64Array,
  columns: number,
  k: number,
): Float64Array {
  const out = base.slice();
  rowOf.forEach((row, slot) => {
    if (row < 0) return;
    for (let i = 0; i < columns; i++) {
      out[Math.floor(slot / k) * columns + i]! += gates[slot]! * rows[row * columns + i]!;
    }
  });
  return out;
}

export function combineBackward(
  dout: Float64Array,
  rows: Float64Array,
  rowOf: number[],
  gates: Float64Array,
  columns: number,
  k: number,
): { drows: Float64Array; dgates: Float64Array } {
  const drows = new Float64Array(rows.length);
  const dgates = new Float64Array(rowOf.length);
  rowOf.forEach((row, slot) => {
    if (row < 0) return;
    const from = Math.floor(slot / k) * columns;
    dgates[slot] = dot(dout, from, rows, row * columns, columns);
    for (let i = 0; i < columns; i++) drows[row * columns + i] = gates[slot]! * dout[from + i]!;
  });
  return { drows, dgates };
}

/** The gradient of `objective` at `at` by central differences; `at` is moved and put back. */
export function centralDifferences(objective: () => number, at: Float64Array): Float64Array {
  const step = 1e-5;
  return Float64Array.from({ length: at.length }, (_, i) => {
    const value = at[i]!;
    at[i] = value + step;
    const above = objective();
    at[i] = value - step;
    const below = objective();
    at[i] = value;
    return (above - below) / (2 * step);
  });
}
