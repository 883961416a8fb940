import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { matmulTwin, weightGradientTwin } from "../../../test/twins/gemm.ts";
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
import { dtypeCodes } from "./declare.ts";
import {
  matmul,
  matmulPacking,
  matmulPackingScratchBytes,
  pack,
  packBytes,
  weightGradient,
  weightGradientScratchBytes,
} from "./gemm.ts";
import { NativeMemory } from "./memory.ts";
import { swigluForward } from "./moe.ts";
import { ThreadPool } from "./threads.ts";

function packed(weight: Float64Array, groups: number, out: number, input: number, dtype: Dtype, transpose: boolean) {
  const shape = { dtype: dtypeCodes[dtype], groups, out, in: input, transpose: transpose ? 1 : 0 };
  const memory = new NativeMemory(packBytes(shape));
  memory.bytes().fill(0xff);
  using source = toMemory(weight);
  pack({ pool: null, weight: source, packed: memory, ...shape });
  return memory;
}

const rounded = (values: Float64Array, dtype: Dtype) => values.map((value) => roundTo(dtype, value));
const shapes = [
  { out: 1, in: 1, offsets: [0, 1] },
  { out: 48, in: 64, offsets: [0, 33] },
  { out: 33, in: 31, offsets: [0, 17] },
  { out: 40, in: 72, offsets: [0, 5, 5, 38, 300] },
  { out: 130, in: 257, offsets: [0, 3, 35] },
  { out: 96, in: 128, offsets: [0, 0, 0, 64] },
];

for (const dtype of dtypes) {
  const code = dtypeCodes[dtype];
  describe(`matmul in ${dtype}`, () => {
    for (const transpose of [false, true]) {
      for (const shape of shapes) {
        it(`equals its f64 twin, transpose ${transpose}, ${JSON.stringify(shape)}`, () => {
          const groups = shape.offsets.length - 1;
          const rows = shape.offsets[groups]!;
          const inner = transpose ? shape.out : shape.in;
          const columns = transpose ? shape.in : shape.out;
          const a = normals(rows * inner, 1, dtype);
          const weight = normals(groups * shape.out * shape.in, 2, "f32", inner ** -0.5);
          const addend = normals(rows * columns, 3, dtype);
          using b = packed(weight, groups, shape.out, shape.in, dtype, transpose);
          using aMemory = toMemory(a, dtype);
          using c = toMemory(addend, dtype);
          using offsets = toMemoryI32(shape.offsets);
          using pool = new ThreadPool(2);
          const call = {
            pool,
            dtype: code,
            a: aMemory,
            packed: b,
            c,
            cDtype: code,
            rows,
            inner,
            columns,
            groups,
            offsets,
          };
          matmul({ ...call, gated: null, addend: c });
          const expected = matmulTwin(a, rounded(weight, dtype), addend, shape, transpose);
          assertClose(fromMemory(c, rows * columns, dtype), expected, dtype, "c = c + a b");
          using plain = emptyMemory(rows * columns, "f32");
          matmul({ ...call, addend: null, gated: null, c: plain, cDtype: dtypeCodes.f32 });
          const product = matmulTwin(a, rounded(weight, dtype), undefined, shape, transpose);
          assertClose(fromMemory(plain, rows * columns), product, dtype === "bf16" ? "f32" : dtype, "c = a b in f32");
          for (const threads of [1, 2]) {
            using onTheWay = emptyMemory(rows * columns, "f32");
            using source = toMemory(weight);
            using own = new ThreadPool(threads);
            using scratch = scratchMemory(
              matmulPackingScratchBytes({ dtype: code, inner, columns, groups, isGated: 0, threads }),
            );
            const { packed: _, ...rest } = {
              ...call,
              pool: own,
              addend: null,
              gated: null,
              c: onTheWay,
              cDtype: dtypeCodes.f32,
            };
            matmulPacking({ ...rest, weight: source, transpose: transpose ? 1 : 0, scratch });
            assert.equal(bytesOf(onTheWay), bytesOf(plain), `packed on the way by ${threads} threads: the same bits`);
          }
        });
      }
    }

    for (const width of [5, 32, 96]) {
      it(`makes the gated product of ${width} columns as it would be made of c, on the way or after`, () => {
        const [offsets, inner] = [[2, 35, 35, 90], 40];
        const [groups, rows, columns] = [3, 95, 2 * width];
        using source = toMemory(normals(groups * columns * inner, 2, "f32", 0.3));
        const weight = fromMemory(source, groups * columns * inner);
        using b = packed(Float64Array.from(weight), groups, columns, inner, dtype, false);
        using a = toMemory(normals(rows * inner, 1, dtype), dtype);
        using offsetsMemory = toMemoryI32(offsets);
        const size = { dtype: code, inner, columns, groups, rows, offsets: offsetsMemory, addend: null, cDtype: code };
        for (const threads of [1, 2]) {
          using pool = new ThreadPool(threads);
          using c = emptyMemory(rows * columns, dtype);
          using wanted = emptyMemory(rows * width, dtype);
          using gated = emptyMemory(rows * width, dtype);
          matmul({ ...size, pool, a, packed: b, c, gated });
          swigluForward({ pool, dtype: code, gateUp: c, h: wanted, rows, width, rowsLimit: null });
          const used = (memory: NativeMemory) =>
            fromMemory(memory, rows * width, dtype).subarray(2 * width, 90 * width);
          const difference = (memory: NativeMemory) => used(memory).findIndex((value, i) => value !== used(wanted)[i]);
          assert.equal(difference(gated), -1);
          using again = emptyMemory(rows * width, dtype);
          const scratchSize = { dtype: code, inner, columns, groups, isGated: 1, threads };
          using scratch = scratchMemory(matmulPackingScratchBytes(scratchSize));
          matmulPacking({ ...size, pool, a, weight: source, transpose: 0, c, gated: again, scratch });
          assert.equal(difference(again), -1, "packed on the way");
        }
      });
    }

    it("gives a row the same bits alone as among 1 to 64 others", () => {
      const [inner, columns, rows] = [96, 64, 64];
      using b = packed(normals(columns * inner, 4), 1, columns, inner, dtype, false);
      using a = toMemory(normals(rows * inner, 5, dtype), dtype);
      const product = (count: number, from: number) => {
        using part = toMemory(fromMemory(a, rows * inner, dtype).subarray(from * inner, (from + count) * inner), dtype);
        using c = emptyMemory(count * columns);
        const shape = { rows: count, inner, columns, groups: 1, offsets: null };
        matmul({ pool: null, dtype: code, a: part, packed: b, addend: null, gated: null, c, cDtype: 0, ...shape });
        return fromMemory(c, count * columns);
      };
      const alone = Array.from({ length: rows }, (_, row) => product(1, row));
      for (let count = 1; count <= rows; count++) {
        const together = product(count, 0);
        for (let row = 0; row < count; row++) {
          assert.deepEqual(together.subarray(row * columns, (row + 1) * columns), alone[row], `row ${row} of ${count}`);
        }
      }
    });

    it("lets NaN and infinity through where they belong", () => {
      const a = normals(3 * 40, 6, dtype);
      a[40] = Number.NaN;
      a[80] = Number.POSITIVE_INFINITY;
      using b = packed(normals(8 * 40, 7), 1, 8, 40, dtype, false);
      using aMemory = toMemory(a, dtype);
      using c = emptyMemory(24);
      const shape = { rows: 3, inner: 40, columns: 8, groups: 1, offsets: null };
      matmul({ pool: null, dtype: code, a: aMemory, packed: b, addend: null, gated: null, c, cDtype: 0, ...shape });
      const result = fromMemory(c, 24);
      assert.ok(result.subarray(0, 8).every(Number.isFinite));
      assert.ok(result.subarray(8, 16).every(Number.isNaN));
      assert.ok(result.subarray(16, 24).every((value) => Math.abs(value) === Number.POSITIVE_INFINITY));
    });
  });

  describe(`weight gradient in ${dtype}`, () => {
    for (const shape of shapes) {
      it(`equals its f64 twin and does not depend on threads, ${JSON.stringify(shape)}`, () => {
        const groups = shape.offsets.length - 1;
        const rows = shape.offsets[groups]!;
        const dy = normals(rows * shape.out, 8, dtype);
        const x = normals(rows * shape.in, 9, dtype);
        using dyMemory = toMemory(dy, dtype);
        using xMemory = toMemory(x, dtype);
        using offsets = toMemoryI32(shape.offsets);
        const size = { dtype: code, rows, out: shape.out, in: shape.in, groups };
        const results = [1, 2, 3].map((threads) => {
          using pool = new ThreadPool(threads);
          using scratch = scratchMemory(weightGradientScratchBytes(size));
          using gradient = emptyMemory(groups * shape.out * shape.in);
          const call = { pool, dy: dyMemory, x: xMemory, weightGradient: gradient, offsets, scratch, ...size };
          using squares = emptyMemory(1);
          using none = emptyMemory(groups * shape.out * shape.in);
          weightGradient({ ...call, weightGradient: none, accumulate: 0, squares: null });
          for (const accumulate of [0, 1]) {
            weightGradient({ ...call, accumulate, squares });
            const values = fromMemory(gradient, groups * shape.out * shape.in);
            const sum = values.reduce((sum, value) => sum + value ** 2, 0);
            assert.ok(Math.abs(fromMemory(squares, 1)[0]! / sum - 1) < 1e-5, `squares, accumulate ${accumulate}`);
            if (!accumulate) assert.equal(bytesOf(none), bytesOf(gradient), "with and without squares");
          }
          const values = fromMemory(gradient, groups * shape.out * shape.in);
          return { bits: bytesOf(gradient) + bytesOf(squares), values };
        });
        const expected = weightGradientTwin(dy, x, shape).map((value) => 2 * value);
        assertClose(results[0]!.values, expected, "f32", "gradient");
        assert.equal(results[1]!.bits, results[0]!.bits);
        assert.equal(results[2]!.bits, results[0]!.bits);
      });
    }
  });
}

describe("matmul's arguments", () => {
  it("refuses offsets that fall or leave the rows", () => {
    using b = packed(normals(64, 1), 2, 4, 8, "f32", false);
    using a = toMemory(normals(32, 1));
    using c = emptyMemory(16);
    for (const bad of [
      [0, 3, 2],
      [0, 2, 5],
      [-1, 2, 4],
    ]) {
      using offsets = toMemoryI32(bad);
      const shape = { rows: 4, inner: 8, columns: 4, groups: 2, offsets };
      assert.throws(
        () => matmul({ pool: null, dtype: 0, a, packed: b, addend: null, gated: null, c, cDtype: 0, ...shape }),
        {
          code: "KERNEL_FAILED",
        },
      );
    }
  });
});
