import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  type RopeNorm,
  rmsnormBackwardTwin,
  rmsnormTwin,
  ropeNormBackwardTwin,
  ropeNormTwin,
} from "../../../test/twins/norm.ts";
import {
  assertClose,
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
import { dtypeCodes } from "./declare.ts";
import {
  rmsnormBackward,
  rmsnormBackwardScratchBytes,
  rmsnormForward,
  ropeNormBackward,
  ropeNormBackwardScratchBytes,
  ropeNormForward,
} from "./norm.ts";
import { ThreadPool } from "./threads.ts";

const eps = 1e-5;
const add = (a: Float64Array, b: Float64Array) => a.map((value, i) => value + b[i]!);
const at = (values: Float64Array, indices: number[]) => indices.map((i) => values[i]!);

/** The derivative of Σ output · direction by each input, by central differences. */
function differences(f: (x: Float64Array) => Float64Array, x: Float64Array, direction: Float64Array): Float64Array {
  const step = 1e-5;
  const value = (i: number, by: number) => {
    const moved = Float64Array.from(x);
    moved[i]! += by;
    return f(moved).reduce((sum, output, j) => sum + output * direction[j]!, 0);
  };
  return x.map((_, i) => (value(i, step) - value(i, -step)) / (2 * step));
}

function runRmsnorm(x: Float64Array, weight: Float64Array, dtype: Dtype, pool: ThreadPool | null = null) {
  const rows = x.length / weight.length;
  using xMemory = toMemory(x, dtype);
  using weightMemory = toMemory(weight);
  const y = emptyMemory(x.length, dtype);
  const inverseRms = emptyMemory(rows);
  const shape = { pool, dtype: dtypeCodes[dtype], rows, columns: weight.length, eps };
  rmsnormForward({ ...shape, x: xMemory, weight: weightMemory, y, inverseRms });
  return { y, inverseRms };
}

function runRmsnormBackward(
  dy: Float64Array,
  x: Float64Array,
  weight: Float64Array,
  dtype: Dtype,
  into: { dx: Float64Array; weightGradient: Float64Array; accumulate: number },
  pool: ThreadPool | null = null,
) {
  const rows = x.length / weight.length;
  const shape = { rows, columns: weight.length };
  using dyMemory = toMemory(dy, dtype);
  using xMemory = toMemory(x, dtype);
  using weightMemory = toMemory(weight);
  using inverseRms = runRmsnorm(x, weight, dtype).inverseRms;
  using scratch = scratchMemory(rmsnormBackwardScratchBytes(shape));
  const dx = toMemory(into.dx, dtype);
  const weightGradient = toMemory(into.weightGradient);
  rmsnormBackward({
    ...shape,
    pool,
    dtype: dtypeCodes[dtype],
    dy: dyMemory,
    x: xMemory,
    weight: weightMemory,
    inverseRms,
    dx,
    weightGradient,
    accumulate: into.accumulate,
    scratch,
  });
  return { dx, weightGradient };
}

type Weights = "both" | "a" | "b" | "none";

function rope(headDim: number, heads: number, rows: number, weights: Weights, normalize: boolean): RopeNorm {
  const half = headDim / 2;
  const table = 2 * rows + 3;
  const angle = (i: number) => Math.floor(i / half) * 10000 ** (-(i % half) / half);
  const weight = (seed: number) => normals(headDim, seed);
  return {
    heads,
    headDim,
    positions: Array.from({ length: rows }, (_, row) => (row * 5 + 2) % table),
    cosine: Float64Array.from({ length: table * half }, (_, i) => Math.fround(Math.cos(angle(i)))),
    sine: Float64Array.from({ length: table * half }, (_, i) => Math.fround(Math.sin(angle(i)))),
    weightA: weights === "both" || weights === "a" ? weight(11) : undefined,
    weightB: weights === "both" || weights === "b" ? weight(12) : undefined,
    normalize,
    eps,
  };
}

function ropeMemory(r: RopeNorm) {
  return {
    positions: toMemoryI32(r.positions),
    cosine: toMemory(r.cosine),
    sine: toMemory(r.sine),
    tableRows: r.cosine.length / (r.headDim / 2),
    weightA: r.weightA ? toMemory(r.weightA) : null,
    weightB: r.weightB ? toMemory(r.weightB) : null,
    heads: r.heads,
    headDim: r.headDim,
    normalize: r.normalize ? 1 : 0,
  };
}

function runRope(x: Float64Array, r: RopeNorm, dtype: Dtype, pool: ThreadPool | null = null) {
  const rows = r.positions.length;
  using xMemory = toMemory(x, dtype);
  const y = emptyMemory(x.length, dtype);
  const inverseRms = r.normalize ? emptyMemory(rows * r.heads) : null;
  ropeNormForward({ ...ropeMemory(r), pool, dtype: dtypeCodes[dtype], x: xMemory, y, inverseRms, rows, eps });
  return { y, inverseRms };
}

function runRopeBackward(
  dy: Float64Array,
  x: Float64Array,
  r: RopeNorm,
  dtype: Dtype,
  into: { dx: Float64Array; weightA: Float64Array; weightB: Float64Array; accumulate: number },
  pool: ThreadPool | null = null,
) {
  const rows = r.positions.length;
  using dyMemory = toMemory(dy, dtype);
  using xMemory = toMemory(x, dtype);
  using scratch = scratchMemory(ropeNormBackwardScratchBytes({ rows, headDim: r.headDim }));
  const dx = toMemory(into.dx, dtype);
  const weightAGradient = r.weightA ? toMemory(into.weightA) : null;
  const weightBGradient = r.weightB ? toMemory(into.weightB) : null;
  ropeNormBackward({
    ...ropeMemory(r),
    pool,
    dtype: dtypeCodes[dtype],
    dy: dyMemory,
    x: xMemory,
    inverseRms: runRope(x, r, dtype).inverseRms,
    dx,
    weightAGradient,
    weightBGradient,
    rows,
    accumulate: into.accumulate,
    scratch,
  });
  return { dx, weightAGradient, weightBGradient };
}

describe("the f64 twins of the norms", () => {
  it("have the gradients that central differences give", () => {
    const x = normals(3 * 6, 1);
    const weight = normals(6, 2);
    const dy = normals(x.length, 3);
    const { dx, weightGradient } = rmsnormBackwardTwin(dy, x, weight, eps);
    assert.ok(
      relativeError(
        dx,
        differences((moved) => rmsnormTwin(moved, weight, eps).y, x, dy),
      ) < 1e-7,
    );
    assert.ok(
      relativeError(
        weightGradient,
        differences((moved) => rmsnormTwin(x, moved, eps).y, weight, dy),
      ) < 1e-7,
    );
    for (const normalize of [true, false]) {
      const r = rope(6, 2, 3, "both", normalize);
      const heads = normals(3 * 2 * 6, 4);
      const dheads = normals(heads.length, 5);
      const gradient = ropeNormBackwardTwin(dheads, heads, r);
      const byX = differences((moved) => ropeNormTwin(moved, r).y, heads, dheads);
      const byA = differences((moved) => ropeNormTwin(heads, { ...r, weightA: moved }).y, r.weightA!, dheads);
      const byB = differences((moved) => ropeNormTwin(heads, { ...r, weightB: moved }).y, r.weightB!, dheads);
      assert.ok(relativeError(gradient.dx, byX) < 1e-7);
      assert.ok(relativeError(gradient.weightAGradient, byA) < 1e-7);
      assert.ok(relativeError(gradient.weightBGradient, byB) < 1e-7);
    }
  });
});

for (const dtype of dtypes) {
  describe(`rmsnorm in ${dtype}`, () => {
    for (const [rows, columns] of [
      [1, 1],
      [3, 17],
      [33, 64],
      [70, 130],
      [129, 512],
    ] as const) {
      it(`equals its f64 twin both ways, ${rows} x ${columns}`, () => {
        const x = normals(rows * columns, 1, dtype, 3);
        const weight = normals(columns, 2);
        const dy = normals(rows * columns, 3, dtype);
        const twin = rmsnormTwin(x, weight, eps);
        const forward = runRmsnorm(x, weight, dtype);
        assertClose(fromMemory(forward.y, x.length, dtype), twin.y, dtype, "y");
        assertClose(fromMemory(forward.inverseRms, rows), twin.inverseRms, "f32", "1 / rms");
        const gradient = rmsnormBackwardTwin(dy, x, weight, eps);
        const before = { dx: normals(x.length, 4, dtype), weightGradient: normals(columns, 5), accumulate: 1 };
        const backward = runRmsnormBackward(dy, x, weight, dtype, before);
        assertClose(fromMemory(backward.dx, x.length, dtype), add(before.dx, gradient.dx), dtype, "dx +=");
        const expected = add(before.weightGradient, gradient.weightGradient);
        assertClose(fromMemory(backward.weightGradient, columns), expected, "f32", "dweight +=");
        const nan = { ...before, dx: x.map(() => Number.NaN), accumulate: 0 };
        const fresh = runRmsnormBackward(dy, x, weight, dtype, nan);
        if (columns > 1) assertClose(fromMemory(fresh.dx, x.length, dtype), gradient.dx, dtype, "dx =");
      });
    }

    it("keeps NaN and infinity in their row", () => {
      const x = normals(5 * 40, 1, dtype);
      x[1 * 40 + 39] = Number.NaN;
      x[3 * 40] = Number.POSITIVE_INFINITY;
      const y = fromMemory(runRmsnorm(x, normals(40, 2), dtype).y, x.length, dtype);
      assert.ok(y.subarray(40, 80).every(Number.isNaN));
      assert.ok(Number.isNaN(y[3 * 40]!));
      for (const row of [0, 2, 4]) assert.ok(y.subarray(row * 40, row * 40 + 40).every(Number.isFinite));
    });

    it("gives a row the same bits alone and among others, and on any number of threads", () => {
      const [rows, columns] = [100, 83];
      const x = normals(rows * columns, 1, dtype);
      const weight = normals(columns, 2);
      const dy = normals(rows * columns, 3, dtype);
      const zeros = { dx: new Float64Array(x.length), weightGradient: new Float64Array(columns), accumulate: 0 };
      const run = (pool: ThreadPool | null) => {
        const backward = runRmsnormBackward(dy, x, weight, dtype, zeros, pool);
        return [runRmsnorm(x, weight, dtype, pool).y, backward.dx, backward.weightGradient].map(bytesOf);
      };
      const alone = run(null);
      for (const threads of [1, 2, 3]) {
        using pool = new ThreadPool(threads);
        assert.deepEqual(run(pool), alone);
      }
      const row = x.subarray(57 * columns, 58 * columns);
      const width = (alone[0]!.length / rows) | 0;
      assert.equal(bytesOf(runRmsnorm(row, weight, dtype).y), alone[0]!.slice(57 * width, 58 * width));
    });
  });

  describe(`rope and norm of heads in ${dtype}`, () => {
    const cases: [headDim: number, heads: number, rows: number, Weights, normalize: boolean][] = [
      [2, 1, 1, "none", true],
      [16, 4, 3, "none", true],
      [24, 5, 33, "both", true],
      [64, 2, 65, "a", true],
      [80, 3, 40, "b", true],
      [128, 2, 9, "both", false],
      [20, 2, 9, "none", false],
    ];
    for (const [headDim, heads, rows, weights, normalize] of cases) {
      it(`equals its f64 twin both ways, ${rows} x ${heads} x ${headDim}, weights ${weights}, normalize ${normalize}`, () => {
        const r = rope(headDim, heads, rows, weights, normalize);
        const count = rows * heads * headDim;
        const x = normals(count, 1, dtype, 2);
        const dy = normals(count, 2, dtype);
        const twin = ropeNormTwin(x, r);
        const forward = runRope(x, r, dtype);
        assertClose(fromMemory(forward.y, count, dtype), twin.y, dtype, "y");
        if (twin.inverseRms)
          assertClose(fromMemory(forward.inverseRms!, rows * heads), twin.inverseRms, "f32", "1 / rms");
        const gradient = ropeNormBackwardTwin(dy, x, r);
        const before = {
          dx: normals(count, 4, dtype),
          weightA: normals(headDim, 5),
          weightB: normals(headDim, 6),
          accumulate: 1,
        };
        const backward = runRopeBackward(dy, x, r, dtype, before);
        assertClose(fromMemory(backward.dx, count, dtype), add(before.dx, gradient.dx), dtype, "dx +=");
        if (backward.weightAGradient) {
          const expected = add(before.weightA, gradient.weightAGradient);
          assertClose(fromMemory(backward.weightAGradient, headDim), expected, "f32", "dweightA +=");
        }
        if (backward.weightBGradient) {
          const expected = add(before.weightB, gradient.weightBGradient);
          assertClose(fromMemory(backward.weightBGradient, headDim), expected, "f32", "dweightB +=");
        }
        const nan = { ...before, dx: x.map(() => Number.NaN), accumulate: 0 };
        const fresh = fromMemory(runRopeBackward(dy, x, r, dtype, nan).dx, count, dtype);
        if (headDim > 2) assertClose(fresh, gradient.dx, dtype, "dx =");
      });
    }

    it("keeps NaN in its head", () => {
      const r = rope(40, 3, 4, "both", true);
      const x = normals(4 * 3 * 40, 1, dtype);
      x[5 * 40 + 7] = Number.NaN;
      const y = fromMemory(runRope(x, r, dtype).y, x.length, dtype);
      const nans = Array.from(y.keys()).filter((i) => Number.isNaN(y[i]!));
      assert.deepEqual(
        nans,
        Array.from({ length: 40 }, (_, i) => 5 * 40 + i),
      );
      assert.ok(at(y, [0, 100, 300]).every(Number.isFinite));
    });

    it("gives a row the same bits alone and among others, and on any number of threads", () => {
      const [rows, heads, headDim] = [70, 3, 24];
      const r = rope(headDim, heads, rows, "both", true);
      const x = normals(rows * heads * headDim, 1, dtype);
      const dy = normals(x.length, 2, dtype);
      const zeros = {
        dx: new Float64Array(x.length),
        weightA: new Float64Array(headDim),
        weightB: new Float64Array(headDim),
        accumulate: 0,
      };
      const run = (pool: ThreadPool | null) => {
        const b = runRopeBackward(dy, x, r, dtype, zeros, pool);
        return [runRope(x, r, dtype, pool).y, b.dx, b.weightAGradient!, b.weightBGradient!].map(bytesOf);
      };
      const alone = run(null);
      for (const threads of [1, 2, 3]) {
        using pool = new ThreadPool(threads);
        assert.deepEqual(run(pool), alone);
      }
      const width = alone[0]!.length / rows;
      const row = x.subarray(41 * heads * headDim, 42 * heads * headDim);
      const single = runRope(row, { ...r, positions: [r.positions[41]!] }, dtype).y;
      assert.equal(bytesOf(single), alone[0]!.slice(41 * width, 42 * width));
    });
  });
}

describe("the norms refuse", () => {
  it("no columns, an odd head, a negative position, a gradient of no weight", () => {
    using memory = toMemory(new Float64Array(64));
    const norm = { pool: null, dtype: 0, x: memory, weight: memory, y: memory, inverseRms: null, rows: 1, eps };
    assert.throws(() => rmsnormForward({ ...norm, columns: 0 }), /refused a bad argument/);
    assert.throws(() => rmsnormForward({ ...norm, columns: 4, dtype: 2 }), /refused a bad argument/);
    using positions = toMemoryI32([-1]);
    using zero = toMemoryI32([0]);
    const table = { cosine: memory, sine: memory, tableRows: 3 };
    const turn = { pool: null, dtype: 0, x: memory, ...table, weightA: null, weightB: null };
    const shape = { inverseRms: null, rows: 1, heads: 1, normalize: 0 };
    const forward = { ...turn, ...shape, y: memory, eps };
    assert.throws(() => ropeNormForward({ ...forward, positions: zero, headDim: 3 }), /refused a bad argument/);
    assert.throws(() => ropeNormForward({ ...forward, positions, headDim: 4 }), /refused a position that its table/);
    using past = toMemoryI32([3]);
    assert.throws(
      () => ropeNormForward({ ...forward, positions: past, headDim: 4 }),
      /refused a position that its table/,
    );
    using lastRow = toMemoryI32([2]);
    ropeNormForward({ ...forward, positions: lastRow, headDim: 4 });
    const backward = { ...turn, ...shape, positions: zero, dy: memory, dx: memory, headDim: 4, accumulate: 0 };
    assert.throws(
      () => ropeNormBackward({ ...backward, weightAGradient: memory, weightBGradient: null, scratch: memory }),
      /refused a bad argument/,
    );
  });
});
