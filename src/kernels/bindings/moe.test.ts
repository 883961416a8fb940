/** experts.c and router.c against its f64 twins; the choice of experts is tested in routing.test.ts, gradients in moe-gradients.test.ts,
 * what is refused in moe-arguments.test.ts. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as twin from "../../../test/twins/moe.ts";
import { capacityOf, route, skewedProbabilities } from "../../../test/twins/routing.ts";
import {
  assertClose,
  bytesOf,
  type Dtype,
  dtypes,
  emptyMemory,
  fromMemory,
  normals,
  roundTo,
  scratchMemory,
  toMemory,
  toMemoryI32,
} from "../../../test/twins/support.ts";
import { type Addressed, dtypeCodes } from "./declare.ts";
import type { NativeMemory } from "./memory.ts";
import {
  combineBackward,
  combineForward,
  dispatchBackward,
  dispatchForward,
  routerForward,
  routerForwardScratchBytes,
  routerLosses,
  routerLossesScratchBytes,
  swigluBackward,
  swigluForward,
} from "./moe.ts";
import { ThreadPool } from "./threads.ts";

const guard = 16;

/** An output of `count` elements with NaN in it and after it. */
function output(count: number, dtype: Dtype = "f32"): NativeMemory {
  return emptyMemory(count + guard, dtype);
}

/** An output that is added to: it starts as `values`, with NaN after them. */
function accumulator(values: Float64Array, dtype: Dtype = "f32"): NativeMemory {
  return toMemory([...values, ...new Array<number>(guard).fill(Number.NaN)], dtype);
}

/** What a kernel wrote, after a look that it wrote nothing past the end. */
function written(memory: NativeMemory, count: number, dtype: Dtype = "f32"): Float64Array {
  const all = fromMemory(memory, count + guard, dtype);
  assert.ok(all.subarray(count).every(Number.isNaN), "written past the end");
  return all.subarray(0, count);
}

/** Runs without a pool and on 1 to 3 threads; the bytes that `run` returns must be the same each time. */
function onAnyThreads(run: (pool: Addressed | null) => string): void {
  const alone = run(null);
  for (const threads of [1, 2, 3]) {
    using pool = new ThreadPool(threads);
    assert.equal(run(pool), alone, `${threads} threads`);
  }
}

const add = (a: Float64Array, b: Float64Array) => a.map((value, i) => value + b[i]!);

for (const dtype of dtypes) {
  const code = dtypeCodes[dtype];

  describe(`SwiGLU in ${dtype}`, () => {
    for (const [rows, width] of [
      [1, 1],
      [33, 31],
      [300, 17],
      [33, 64],
      [3, 257],
    ] as const) {
      it(`equals its f64 twin both ways, ${rows} rows of ${width}`, () => {
        const gateUp = normals(rows * 2 * width, 1, dtype, 3);
        const dh = normals(rows * width, 2, dtype);
        using gateUpMemory = toMemory(gateUp, dtype);
        using dhMemory = toMemory(dh, dtype);
        onAnyThreads((pool) => {
          const call = { pool, dtype: code, gateUp: gateUpMemory, rows, width, rowsLimit: null };
          using h = output(rows * width, dtype);
          using dgateUp = output(rows * 2 * width, dtype);
          swigluForward({ ...call, h });
          swigluBackward({ ...call, dh: dhMemory, dgateUp, h: null });
          using again = accumulator(dh, dtype);
          using dgateUpAgain = output(rows * 2 * width, dtype);
          swigluBackward({ ...call, dh: again, dgateUp: dgateUpAgain, h: again });
          assert.equal(bytesOf(again), bytesOf(h), "h, in the place of dh");
          assert.equal(bytesOf(dgateUpAgain), bytesOf(dgateUp));
          assertClose(written(h, rows * width, dtype), twin.swigluForward(gateUp, width), dtype, "h");
          const expected = twin.swigluBackward(dh, gateUp, width);
          assertClose(written(dgateUp, rows * 2 * width, dtype), expected, dtype, "dgateUp");
          return bytesOf(h) + bytesOf(dgateUp);
        });
      });
    }

    it("leaves the rows from the limit on alone", () => {
      const [rows, width] = [40, 5];
      using gateUp = toMemory(normals(rows * 2 * width, 1, dtype), dtype);
      using dh = toMemory(normals(rows * width, 2, dtype), dtype);
      for (const limit of [0, 1, 33, 40]) {
        using rowsLimit = toMemoryI32([limit]);
        using h = output(rows * width, dtype);
        using dgateUp = output(rows * 2 * width, dtype);
        swigluForward({ pool: null, dtype: code, gateUp, h, rows, width, rowsLimit });
        swigluBackward({ pool: null, dtype: code, gateUp, dh, dgateUp, h: null, rows, width, rowsLimit });
        assert.equal(written(h, rows * width, dtype).findIndex(Number.isNaN), limit < rows ? limit * width : -1);
        const gradient = written(dgateUp, rows * 2 * width, dtype);
        assert.equal(gradient.findIndex(Number.isNaN), limit < rows ? limit * 2 * width : -1);
      }
    });

    it("stays finite far from zero and passes NaN on to its own element", () => {
      const huge = roundTo(dtype, 1e30);
      const nan = Number.NaN;
      using gateUp = toMemory([-huge, -100, 0, 100, huge, nan, 1, 1, 1, 1, 1, 1], dtype);
      using dh = toMemory([1, 1, 1, 1, 1, 1], dtype);
      using h = output(6, dtype);
      using dgateUp = output(12, dtype);
      const call = { pool: null, dtype: code, gateUp, rows: 1, width: 6, rowsLimit: null };
      swigluForward({ ...call, h });
      swigluBackward({ ...call, dh, dgateUp, h: null });
      // Adding 0 makes +0 of -0; silu(-100) is 0 since the sigmoid's smallest numbers are flushed.
      const values = (memory: NativeMemory, count: number) => [...written(memory, count, dtype)].map((x) => x + 0);
      assert.deepEqual(values(h, 6), [0, 0, 0, 100, huge, nan]);
      assert.deepEqual(values(dgateUp, 12), [0, 0, 0.5, 1, 1, nan, 0, 0, 0, 100, huge, nan]);
    });
  });

  describe(`router in ${dtype}`, () => {
    for (const [tokens, hidden, experts] of [
      [1, 1, 1],
      [33, 1, 3],
      [1, 31, 8],
      [33, 31, 17],
      [300, 64, 8],
      [33, 257, 17],
      [300, 257, 3],
      [300, 64, 1],
    ] as const) {
      it(`equals its f64 twin, ${tokens} tokens of ${hidden}, ${experts} experts`, () => {
        const shape = { tokens, hidden, experts };
        const x = normals(tokens * hidden, 1, dtype);
        const weight = normals(experts * hidden, 2, "f32", 2 * hidden ** -0.5);
        const expected = twin.routerForward(x, weight, shape);
        using xMemory = toMemory(x, dtype);
        using weightMemory = toMemory(weight);
        onAnyThreads((pool) => {
          using probabilities = output(tokens * experts);
          using logSumExp = output(tokens);
          using scratch = scratchMemory(routerForwardScratchBytes({ hidden, experts }));
          const arrays = { x: xMemory, weight: weightMemory, probabilities, logSumExp, scratch };
          routerForward({ pool, dtype: code, ...arrays, ...shape });
          assertClose(written(probabilities, tokens * experts), expected.probabilities, "f32", "probabilities");
          assertClose(written(logSumExp, tokens), expected.logSumExp, "f32", "log-sum-exp");
          return bytesOf(probabilities) + bytesOf(logSumExp);
        });
      });
    }

    it("survives logits of any size and keeps NaN to its own token", () => {
      const x = [1, 0, 1e30, 0, Number.NaN, 0, 0, 1, Number.POSITIVE_INFINITY, 0].map((value) => roundTo(dtype, value));
      using xMemory = toMemory(x, dtype);
      using weight = toMemory([1, 0, -1, 1, 0.5, -1]);
      using probabilities = output(15);
      using logSumExp = output(5);
      const shape = { tokens: 5, hidden: 2, experts: 3 };
      using scratch = scratchMemory(routerForwardScratchBytes(shape));
      routerForward({ pool: null, dtype: code, x: xMemory, weight, probabilities, logSumExp, ...shape, scratch });
      const p = written(probabilities, 15);
      assert.deepEqual([...p.subarray(3, 6)], [1, 0, 0]);
      assert.equal(written(logSumExp, 5)[1], roundTo(dtype, 1e30));
      assert.deepEqual(
        Array.from({ length: 5 }, (_, t) => p.subarray(3 * t, 3 * t + 3).every(Number.isFinite)),
        [true, true, false, true, false],
      );
      assert.deepEqual([...p.subarray(6, 9)], [Number.NaN, Number.NaN, Number.NaN]);
    });
  });

  describe(`dispatch and combine in ${dtype}`, () => {
    for (const [tokens, columns, experts, k, factor] of [
      [1, 1, 1, 1, 1],
      [1, 31, 3, 3, 1],
      [33, 31, 8, 2, 0.5],
      [33, 257, 17, 4, 1],
      [300, 64, 3, 1, 0.6],
      [300, 17, 8, 3, 0.4],
    ] as const) {
      it(`equal their f64 twins, ${tokens} tokens of ${columns}, ${k} of ${experts} experts, factor ${factor}`, () => {
        const shape = { tokens, experts, k };
        const request = { ...shape, mode: "recycle" as const, capacity: capacityOf(factor, shape), keys: [1, 2] };
        const routing = route(skewedProbabilities(tokens, experts, 3, 1), { ...request, keys: [1, 2] });
        const { rowOf, slotAt, gates } = routing;
        const rows = slotAt.length;
        assert.ok(factor === 1 || routing.counts.dropped > 0, "a shape without dropped slots shows less");
        const x = normals(tokens * columns, 4, dtype);
        const expertRows = normals(rows * columns, 5, dtype);
        const dout = normals(tokens * columns, 6, dtype);
        using stack = new DisposableStack();
        const xMemory = stack.use(toMemory(x, dtype));
        const rowsMemory = stack.use(toMemory(expertRows, dtype));
        const doutMemory = stack.use(toMemory(dout, dtype));
        const rowOfMemory = stack.use(toMemoryI32(rowOf));
        const slotAtMemory = stack.use(toMemoryI32(slotAt));
        const gatesMemory = stack.use(toMemory(gates));
        const rowCount = stack.use(toMemoryI32([rows]));
        const backward = twin.combineBackward(dout, expertRows, rowOf, gates, columns, k);
        const gathered = twin.dispatchForward(x, slotAt, columns, k);
        const scattered = twin.dispatchBackward(expertRows, rowOf, columns, k);
        onAnyThreads((pool) => {
          using local = new DisposableStack();
          const call = { pool, dtype: code, tokens, columns, k };
          const sorted = local.use(output(rows * columns, dtype));
          dispatchForward({ ...call, x: xMemory, slotAt: slotAtMemory, rowCount, rows: sorted });
          assert.deepEqual(written(sorted, rows * columns, dtype), gathered);

          const dx = local.use(output(tokens * columns, dtype));
          const added = local.use(accumulator(x, dtype));
          dispatchBackward({ ...call, drows: rowsMemory, rowOf: rowOfMemory, dx, accumulate: 0 });
          dispatchBackward({ ...call, drows: rowsMemory, rowOf: rowOfMemory, dx: added, accumulate: 1 });
          assertClose(written(dx, tokens * columns, dtype), scattered, dtype, "dx");
          assertClose(written(added, tokens * columns, dtype), add(x, scattered), dtype, "dx added to");

          const out = local.use(output(tokens * columns, dtype));
          const inPlace = local.use(accumulator(x, dtype));
          const mixed = { ...call, rows: rowsMemory, rowOf: rowOfMemory, gates: gatesMemory };
          combineForward({ ...mixed, base: xMemory, out });
          combineForward({ ...mixed, base: inPlace, out: inPlace });
          const expected = twin.combineForward(x, expertRows, rowOf, gates, columns, k);
          assertClose(written(out, tokens * columns, dtype), expected, dtype, "out");
          assert.equal(bytesOf(inPlace), bytesOf(out));

          const drows = local.use(output(rows * columns, dtype));
          const dgates = local.use(output(tokens * k));
          combineBackward({ ...mixed, dout: doutMemory, drows, dgates });
          assertClose(written(drows, rows * columns, dtype), backward.drows, dtype, "drows");
          const actual = written(dgates, tokens * k);
          assertClose(actual, backward.dgates, "f32", "dgates");
          assert.ok(rowOf.every((row, slot) => row >= 0 || actual[slot] === 0));
          return [sorted, dx, added, out, drows, dgates].map(bytesOf).join();
        });
      });
    }

    it("keep NaN and infinity to the tokens they come from", () => {
      const rowOf = [1, 0, -1];
      using rows = toMemory([Number.NaN, 1, Number.POSITIVE_INFINITY, 1], dtype);
      using rowOfMemory = toMemoryI32(rowOf);
      using slotAt = toMemoryI32([1, 0]);
      using rowCount = toMemoryI32([2]);
      using gates = toMemory([0.5, 0.5, 0]);
      using base = toMemory([1, 1, 1, 1, 1, 1], dtype);
      using out = output(6, dtype);
      const call = { pool: null, dtype: code, tokens: 3, columns: 2, k: 1 };
      combineForward({ ...call, base, rows, rowOf: rowOfMemory, gates, out });
      assert.deepEqual([...written(out, 6, dtype)], [Number.POSITIVE_INFINITY, 1.5, Number.NaN, 1.5, 1, 1]);
      using dgates = output(3);
      using drows = output(4, dtype);
      combineBackward({ ...call, dout: base, rows, rowOf: rowOfMemory, gates, drows, dgates });
      assert.deepEqual([...written(dgates, 3)], [Number.POSITIVE_INFINITY, Number.NaN, 0]);
      using back = output(4, dtype);
      dispatchForward({ ...call, x: out, slotAt, rowCount, rows: back });
      assert.deepEqual([...written(back, 4, dtype)], [Number.NaN, 1.5, Number.POSITIVE_INFINITY, 1.5]);
    });
  });
}

describe("the router's losses", () => {
  for (const [tokens, experts, k] of [
    [1, 1, 1],
    [33, 3, 1],
    [300, 17, 4],
    [1025, 8, 2],
  ] as const) {
    it(`equal their f64 twin, ${tokens} tokens, ${k} of ${experts} experts`, () => {
      const probabilities = skewedProbabilities(tokens, experts, 1, 0.5);
      const logSumExp = normals(tokens, 2, "f32", 3);
      const request = { tokens, experts, k, mode: "dropless" as const, capacity: 0 };
      const { load } = route(probabilities, { ...request, keys: [0, 0] });
      const expected = twin.routerLosses(probabilities, logSumExp, load);
      using probabilitiesMemory = toMemory(probabilities);
      using logSumExpMemory = toMemory(logSumExp);
      using loadMemory = toMemoryI32(load);
      onAnyThreads((pool) => {
        using losses = output(2);
        using scratch = scratchMemory(routerLossesScratchBytes({ tokens, experts }));
        const arrays = { probabilities: probabilitiesMemory, logSumExp: logSumExpMemory, load: loadMemory };
        routerLosses({ pool, ...arrays, losses, tokens, experts, scratch });
        const [balance, z] = written(losses, 2) as unknown as [number, number];
        assertClose([balance], [expected.balance], "f32", "balance");
        assertClose([z], [expected.z], "f32", "z");
        return bytesOf(losses);
      });
    });
  }

  it("are 1 and (ln experts)² for a router that prefers nobody", () => {
    using probabilities = toMemory(new Float64Array(32).fill(1 / 8));
    using logSumExp = toMemory(new Float64Array(4).fill(Math.log(8)));
    using load = toMemoryI32([4, 0, 0, 0, 0, 0, 0, 0]);
    using losses = output(2);
    using scratch = scratchMemory(routerLossesScratchBytes({ tokens: 4, experts: 8 }));
    routerLosses({ pool: null, probabilities, logSumExp, load, losses, tokens: 4, experts: 8, scratch });
    assertClose(written(losses, 2), [1, Math.log(8) ** 2], "f32", "losses");
  });
});
