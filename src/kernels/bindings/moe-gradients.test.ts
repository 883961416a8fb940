/** The backward kernels of experts.c and router.c against central differences of their f64 twins, with the routing frozen. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as twin from "../../../test/twins/moe.ts";
import { capacityOf, type Routing, route } from "../../../test/twins/routing.ts";
import {
  bytesOf,
  type Dtype,
  dtypes,
  emptyMemory,
  fromMemory,
  normals,
  relativeError,
  scratchMemory,
  toMemory,
  toMemoryI32,
} from "../../../test/twins/support.ts";
import { type Addressed, dtypeCodes } from "./declare.ts";
import {
  combineBackward,
  dispatchBackward,
  type RoutingMode,
  routerBackward,
  routerBackwardScratchBytes,
  routerForward,
  routerForwardScratchBytes,
  swigluBackward,
} from "./moe.ts";
import { ThreadPool } from "./threads.ts";

function assertGradient(actual: Float64Array, expected: Float64Array, dtype: Dtype, what: string): void {
  const error = relativeError(actual, expected);
  assert.ok(error <= (dtype === "bf16" ? 1e-2 : 1e-4), `${what} (${dtype}): relative error ${error}`);
}

function inner(a: Float64Array, b: Float64Array): number {
  return a.reduce((sum, value, i) => sum + value * b[i]!, 0);
}

type RouterCase = twin.RouterShape & { k: number; mode: RoutingMode; factor: number };
type RouterProblem = {
  dtype: Dtype;
  x: Float64Array;
  weight: Float64Array;
  shape: RouterCase;
  routing: twin.FrozenRouting;
};

/** The forward kernels on random tokens, whose router prefers experts of low number so that some are over capacity. */
function routerProblem(shape: RouterCase, dtype: Dtype): RouterProblem & { chosen: Routing } {
  const { tokens, hidden, experts, k, mode, factor } = shape;
  const x = normals(tokens * hidden, 1, dtype).map((value, i) => (i % hidden === 0 ? 1 : value));
  const weight = normals(experts * hidden, 2, "f32", hidden ** -0.5).map((value, i) =>
    i % hidden === 0 ? Math.fround(-0.3 * (i / hidden)) : value,
  );
  const { probabilities } = runForward({ dtype, x, weight, shape });
  const chosen = route(probabilities, { ...shape, mode, capacity: capacityOf(factor, shape), keys: [3, 4] });
  return { dtype, x, weight, shape, chosen, routing: { ...chosen, k } };
}

function runForward({ dtype, x, weight, shape }: Omit<RouterProblem, "routing">) {
  const { tokens, hidden, experts } = shape;
  using xMemory = toMemory(x, dtype);
  using weightMemory = toMemory(weight);
  using probabilities = emptyMemory(tokens * experts);
  using logSumExp = emptyMemory(tokens);
  const call = { pool: null, dtype: dtypeCodes[dtype], x: xMemory, weight: weightMemory };
  using scratch = scratchMemory(routerForwardScratchBytes({ hidden, experts }));
  routerForward({ ...call, probabilities, logSumExp, tokens, hidden, experts, scratch });
  return { probabilities: fromMemory(probabilities, tokens * experts), logSumExp: fromMemory(logSumExp, tokens) };
}

/** The backward kernel, adding to `dx` and `weightGradient` (zeros unless given). */
function runBackward(
  problem: RouterProblem,
  cotangents: twin.RouterCotangents,
  start?: { dx: Float64Array; weightGradient: Float64Array },
  pool: Addressed | null = null,
) {
  const { dtype, shape, routing } = problem;
  const { tokens, hidden, experts, k } = shape;
  const forward = runForward(problem);
  using stack = new DisposableStack();
  const numbers = (values: ArrayLike<number>) => stack.use(toMemory(values));
  const integers = (values: number[]) => stack.use(toMemoryI32(values));
  const size = { tokens, hidden, experts };
  const dx = stack.use(toMemory(start?.dx ?? new Float64Array(tokens * hidden), dtype));
  const weightGradient = numbers(start?.weightGradient ?? new Float64Array(experts * hidden));
  routerBackward({
    pool,
    dtype: dtypeCodes[dtype],
    dgates: numbers(cotangents.dgates),
    x: stack.use(toMemory(problem.x, dtype)),
    weight: numbers(problem.weight),
    probabilities: numbers(forward.probabilities),
    logSumExp: numbers(forward.logSumExp),
    selected: integers(routing.selected),
    assigned: integers(routing.assigned),
    load: integers(routing.load),
    dx,
    weightGradient,
    ...size,
    k,
    balanceWeight: cotangents.balanceWeight,
    zWeight: cotangents.zWeight,
    scratch: stack.use(scratchMemory(routerBackwardScratchBytes(size))),
  });
  return {
    dx: fromMemory(dx, tokens * hidden, dtype),
    weightGradient: fromMemory(weightGradient, experts * hidden),
    bits: bytesOf(dx) + bytesOf(weightGradient),
  };
}

/** Each of the router's outputs alone, so that none hides behind another, and all together. */
function cotangentsOf({ tokens, k }: RouterCase): Record<string, twin.RouterCotangents> {
  const dgates = normals(tokens * k, 5);
  const none = new Float64Array(tokens * k);
  return {
    "the gates": { dgates, balanceWeight: 0, zWeight: 0 },
    "the balance loss": { dgates: none, balanceWeight: 0.75, zWeight: 0 },
    "the z-loss": { dgates: none, balanceWeight: 0, zWeight: 0.25 },
    everything: { dgates, balanceWeight: tokens, zWeight: tokens / 4 },
  };
}

const recycled = ({ selected, assigned }: Routing, slot: number) =>
  assigned[slot]! >= 0 && assigned[slot] !== selected[slot];

for (const dtype of dtypes) {
  const code = dtypeCodes[dtype];

  describe(`gradients of the router in ${dtype}`, () => {
    const differenced: RouterCase[] = [
      { tokens: 33, hidden: 31, experts: 8, k: 1, mode: "recycle", factor: 1 },
      { tokens: 33, hidden: 31, experts: 8, k: 1, mode: "recycle", factor: 0.5 },
      { tokens: 33, hidden: 17, experts: 17, k: 4, mode: "recycle", factor: 0.8 },
      { tokens: 20, hidden: 33, experts: 3, k: 2, mode: "recycle", factor: 1 },
      { tokens: 33, hidden: 16, experts: 8, k: 3, mode: "drop", factor: 0.6 },
      { tokens: 33, hidden: 1, experts: 3, k: 2, mode: "dropless", factor: 1 },
    ];
    for (const shape of differenced) {
      it(`equal central differences, ${JSON.stringify(shape)}`, () => {
        const problem = routerProblem(shape, dtype);
        const { x, weight, routing, chosen } = problem;
        assert.equal(chosen.counts.recycled > 0, shape.mode === "recycle");
        if (shape.mode === "drop" || shape.factor < 1) assert.ok(chosen.counts.dropped > 0);
        for (const [name, cotangents] of Object.entries(cotangentsOf(shape))) {
          const objective = () => twin.routerObjective(x, weight, shape, routing, cotangents);
          const expected = {
            dx: twin.centralDifferences(objective, x),
            weightGradient: twin.centralDifferences(objective, weight),
          };
          const analytic = twin.routerBackward(x, weight, shape, routing, cotangents);
          assert.ok(relativeError(analytic.dx, expected.dx) < 1e-7, "the twin's own gradient");
          assert.ok(relativeError(analytic.weightGradient, expected.weightGradient) < 1e-7, "the twin's own gradient");
          const actual = runBackward(problem, cotangents);
          assertGradient(actual.dx, expected.dx, dtype, `dx from ${name}`);
          assertGradient(actual.weightGradient, expected.weightGradient, "f32", `weight gradient from ${name}`);
        }
      });
    }

    const wide: RouterCase[] = [
      { tokens: 1, hidden: 64, experts: 3, k: 2, mode: "drop", factor: 1 },
      { tokens: 300, hidden: 257, experts: 17, k: 4, mode: "recycle", factor: 0.7 },
      { tokens: 300, hidden: 64, experts: 8, k: 1, mode: "recycle", factor: 1 },
      { tokens: 33, hidden: 257, experts: 1, k: 1, mode: "dropless", factor: 1 },
      { tokens: 300, hidden: 1, experts: 17, k: 3, mode: "drop", factor: 1 },
    ];
    for (const shape of wide) {
      it(`are added to what was there, the same on any threads, ${JSON.stringify(shape)}`, () => {
        const problem = routerProblem(shape, dtype);
        const cotangents = cotangentsOf(shape).everything!;
        const { tokens, hidden, experts } = shape;
        const start = { dx: normals(tokens * hidden, 6, dtype), weightGradient: normals(experts * hidden, 7) };
        const expected = twin.routerBackward(problem.x, problem.weight, shape, problem.routing, cotangents);
        const actual = runBackward(problem, cotangents, start);
        const sumOf = (a: Float64Array, b: Float64Array) => a.map((value, i) => value + b[i]!);
        assertGradient(actual.dx, sumOf(start.dx, expected.dx), dtype, "dx");
        const weightGradient = sumOf(start.weightGradient, expected.weightGradient);
        assertGradient(actual.weightGradient, weightGradient, "f32", "weight gradient");
        for (const threads of [1, 2, 3]) {
          using pool = new ThreadPool(threads);
          assert.equal(runBackward(problem, cotangents, start, pool).bits, actual.bits, `${threads} threads`);
        }
      });
    }

    it("flow through a recycled token's gate to the expert that took it, and not through a dropped one", () => {
      // With the identity as weight a token is its own logits, and dx its gradient by logits.
      const [tokens, experts] = [40, 8];
      const shape: RouterCase = { tokens, hidden: experts, experts, k: 1, mode: "recycle", factor: 0.8 };
      const x = normals(tokens * experts, 8, dtype).map((value, i) => (i % experts === 0 ? 2 : value));
      const weight = Float64Array.from({ length: experts ** 2 }, (_, i) => (i % (experts + 1) === 0 ? 1 : 0));
      const { probabilities } = runForward({ dtype, x, weight, shape });
      const chosen = route(probabilities, { ...shape, capacity: capacityOf(0.8, shape), keys: [5, 6] });
      const dgates = new Float64Array(tokens).fill(1);
      const problem = { dtype, x, weight, shape, routing: { ...chosen, k: 1 } };
      const { dx } = runBackward(problem, { dgates, balanceWeight: 0, zWeight: 0 });
      assert.ok(chosen.counts.recycled > 5 && chosen.counts.dropped > 5);
      for (let t = 0; t < tokens; t++) {
        const actual = dx.subarray(t * experts, (t + 1) * experts);
        const p = probabilities.subarray(t * experts, (t + 1) * experts);
        const taker = chosen.assigned[t]!;
        const expected = p.map((value, e) => (taker < 0 ? 0 : p[taker]! * ((e === taker ? 1 : 0) - value)));
        if (taker < 0) assert.deepEqual(actual, expected);
        else assertGradient(actual, expected, dtype, `logits of token ${t}`);
        if (!recycled(chosen, t)) continue;
        assert.ok(actual[taker]! > 0, "a better output of the new expert raises its logit");
        assert.ok(actual[chosen.selected[t]!]! < 0, "and lowers that of the full one");
      }
    });
  });

  describe(`gradients of what moves rows in ${dtype}`, () => {
    const shape = { tokens: 33, experts: 5, k: 2, columns: 19 };
    const { tokens, experts, k, columns } = shape;
    const size: RouterCase = { tokens, hidden: 31, experts, k, mode: "recycle", factor: 0.7 };

    it("equal central differences through combine", () => {
      const { rowOf, slotAt, gates } = routerProblem(size, dtype).chosen;
      const base = normals(tokens * columns, 1, dtype);
      const rows = normals(slotAt.length * columns, 2, dtype);
      const dout = normals(tokens * columns, 3, dtype);
      const objective = () => inner(dout, twin.combineForward(base, rows, rowOf, gates, columns, k));
      using stack = new DisposableStack();
      const drows = stack.use(emptyMemory(rows.length, dtype));
      const dgates = stack.use(emptyMemory(rowOf.length));
      combineBackward({
        ...{ pool: null, dtype: code, tokens, columns, k, drows, dgates },
        dout: stack.use(toMemory(dout, dtype)),
        rows: stack.use(toMemory(rows, dtype)),
        rowOf: stack.use(toMemoryI32(rowOf)),
        gates: stack.use(toMemory(gates)),
      });
      assert.ok(rowOf.includes(-1));
      assertGradient(fromMemory(drows, rows.length, dtype), twin.centralDifferences(objective, rows), dtype, "drows");
      const dgatesExpected = twin.centralDifferences(objective, gates);
      assertGradient(fromMemory(dgates, rowOf.length), dgatesExpected, "f32", "dgates");
    });

    it("equal central differences through dispatch", () => {
      const { rowOf, slotAt } = routerProblem(size, dtype).chosen;
      const x = normals(tokens * columns, 1, dtype);
      const drows = normals(slotAt.length * columns, 2, dtype);
      const objective = () => inner(drows, twin.dispatchForward(x, slotAt, columns, k));
      using drowsMemory = toMemory(drows, dtype);
      using rowOfMemory = toMemoryI32(rowOf);
      using dx = emptyMemory(x.length, dtype);
      const call = { pool: null, dtype: code, tokens, columns, k, accumulate: 0 };
      dispatchBackward({ ...call, drows: drowsMemory, rowOf: rowOfMemory, dx });
      assertGradient(fromMemory(dx, x.length, dtype), twin.centralDifferences(objective, x), dtype, "dx");
    });

    it("equal central differences through SwiGLU", () => {
      const [rows, width] = [13, 19];
      const gateUp = normals(rows * 2 * width, 1, dtype, 2);
      const dh = normals(rows * width, 2, dtype);
      const objective = () => inner(dh, twin.swigluForward(gateUp, width));
      using gateUpMemory = toMemory(gateUp, dtype);
      using dhMemory = toMemory(dh, dtype);
      using dgateUp = emptyMemory(gateUp.length, dtype);
      const call = { pool: null, dtype: code, rows, width, rowsLimit: null };
      swigluBackward({ ...call, dh: dhMemory, gateUp: gateUpMemory, dgateUp, h: null });
      const expected = twin.centralDifferences(objective, gateUp);
      assertGradient(fromMemory(dgateUp, gateUp.length, dtype), expected, dtype, "dgateUp");
    });
  });
}
