import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { matmulTwin } from "../../../test/twins/gemm.ts";
import { codeValues, randomCodes, roundRow } from "../../../test/twins/quant.ts";
import {
  assertClose,
  bytesOf,
  dtypes,
  emptyMemory,
  fromMemory,
  normals,
  scratchMemory,
  toMemory,
  toMemoryI32,
} from "../../../test/twins/support.ts";
import { dtypeCodes } from "./declare.ts";
import { NativeMemory } from "./memory.ts";
import { swigluForward } from "./moe.ts";
import {
  gptqFactor,
  gptqRound,
  type QuantFormat,
  quantBytes,
  quantCodes,
  quantMatmul,
  quantMatmulScratchBytes,
  quantPack,
} from "./quant.ts";
import { ThreadPool } from "./threads.ts";

type Shape = { format: QuantFormat; groups: number; out: number; in: number; segment: number };

/** A weight packed from two pieces a matrix, as gate and up are, and the numbers it stands for. */
function randomWeight(shape: Shape): { packed: NativeMemory; values: Float64Array } {
  const { format, groups, out, in: inner, segment } = shape;
  const segments = inner / segment;
  const packed = new NativeMemory(quantBytes({ ...shape, format: quantCodes[format] }));
  const values = new Float64Array(groups * out * inner);
  const rowBytes = format === "int4" ? inner / 2 : inner;
  for (let group = 0; group < groups; group++) {
    const codes = randomCodes(format, out, inner, 17 + group);
    const scales = normals(out * segments, 5 + group, "f32", 0.01).map((x) => Math.fround(Math.abs(x) + 1e-4));
    const cut = Math.ceil(out / 2);
    for (const [first, end] of [
      [0, cut],
      [cut, out],
    ] as const) {
      if (first === end) continue;
      const piece = new NativeMemory((end - first) * rowBytes);
      piece.bytes().set(codes.subarray(first * rowBytes, end * rowBytes));
      using _ = piece;
      using pieceScales = toMemory(scales.slice(first * segments, end * segments));
      const rows = { group, firstRow: first, rows: end - first };
      quantPack({
        ...shape,
        pool: null,
        format: quantCodes[format],
        codes: piece,
        scales: pieceScales,
        packed,
        ...rows,
      });
    }
    for (let row = 0; row < out; row++) {
      const numbers = codeValues(format, codes.subarray(row * rowBytes), inner);
      for (let k = 0; k < inner; k++) {
        values[(group * out + row) * inner + k] = numbers[k]! * scales[row * segments + Math.floor(k / segment)]!;
      }
    }
  }
  return { packed, values };
}

type Product = {
  dtype: "f32" | "bf16";
  rounds?: boolean;
  activationScales?: number[];
  threads?: number;
  addend?: Float64Array;
};

/** c f32 [rows, out] = addend + a Wᵀ. */
function multiply(shape: Shape, packed: NativeMemory, a: Float64Array, offsets: number[], product: Product) {
  const { dtype, rounds = false, activationScales, threads = 2, addend } = product;
  const rows = a.length / shape.in;
  const size = { dtype: dtypeCodes[dtype], rows, inner: shape.in, columns: shape.out, groups: shape.groups };
  const how = { ...size, format: quantCodes[shape.format], segment: shape.segment, rounds: rounds ? 1 : 0 };
  using aMemory = toMemory(a, dtype);
  using offsetsMemory = toMemoryI32(offsets);
  using scales = toMemory(activationScales ?? [0]);
  using pool = new ThreadPool(threads);
  using scratch = scratchMemory(quantMatmulScratchBytes({ ...how, threads }));
  const c = addend ? toMemory(addend) : emptyMemory(rows * shape.out);
  quantMatmul({
    ...how,
    pool,
    a: aMemory,
    packed,
    addend: addend ? c : null,
    c,
    cDtype: dtypeCodes.f32,
    gated: null,
    activationScales: activationScales ? scales : null,
    offsets: offsetsMemory,
    scratch,
  });
  return c;
}

const shapes: { shape: Shape; offsets: number[] }[] = [
  { shape: { format: "fp8", groups: 1, out: 1, in: 1, segment: 1 }, offsets: [0, 1] },
  { shape: { format: "fp8", groups: 2, out: 70, in: 104, segment: 104 }, offsets: [0, 17, 90] },
  { shape: { format: "int8", groups: 1, out: 33, in: 31, segment: 31 }, offsets: [0, 20] },
  { shape: { format: "int8", groups: 4, out: 130, in: 320, segment: 320 }, offsets: [0, 5, 5, 38, 140] },
  { shape: { format: "int4", groups: 1, out: 17, in: 8, segment: 8 }, offsets: [0, 3] },
  { shape: { format: "int4", groups: 3, out: 66, in: 256, segment: 64 }, offsets: [0, 1, 33, 110] },
  { shape: { format: "int4", groups: 1, out: 96, in: 384, segment: 128 }, offsets: [0, 40] },
  { shape: { format: "int4", groups: 2, out: 32, in: 72, segment: 72 }, offsets: [0, 2, 66] },
];

for (const { shape, offsets } of shapes) {
  describe(`products with weights ${JSON.stringify(shape)}`, () => {
    const rows = offsets.at(-1)!;
    const where = { out: shape.out, in: shape.in, offsets };
    for (const dtype of dtypes) {
      const a = normals(rows * shape.in, 1, dtype);

      it(`equal their f64 twin in ${dtype}`, () => {
        const { packed, values } = randomWeight(shape);
        using _ = packed;
        const addend = normals(rows * shape.out, 3);
        using c = multiply(shape, packed, a, offsets, { dtype, addend });
        const expected = matmulTwin(a, values, addend, where, false);
        assertClose(fromMemory(c, rows * shape.out), expected, "f32", "c = c + a W");
      });

      it(`give each row its own bits in ${dtype}, whatever rows are beside it and whatever the threads`, () => {
        const { packed } = randomWeight(shape);
        using _ = packed;
        const rounds = shape.format === "fp8";
        using whole = multiply(shape, packed, a, offsets, { dtype, rounds });
        using single = multiply(shape, packed, a, offsets, { dtype, rounds, threads: 1 });
        assert.equal(bytesOf(whole), bytesOf(single), "1 thread");
        const all = fromMemory(whole, rows * shape.out);
        for (const row of [0, Math.floor(rows / 2), rows - 1]) {
          const group = offsets.findLastIndex((first) => first <= row);
          const alone = offsets.map((_, g) => (g <= group ? 0 : 1));
          const x = a.slice(row * shape.in, (row + 1) * shape.in);
          using c = multiply(shape, packed, x, alone, { dtype, rounds });
          const found = fromMemory(c, shape.out);
          assert.equal(
            found.findIndex((v, i) => v !== all[row * shape.out + i]!),
            -1,
            `row ${row}`,
          );
        }
      });

      for (const isStatic of [false, true]) {
        it(`round activations to FP8 in ${dtype}, by scales of ${isStatic ? "groups" : "rows"}`, () => {
          const { packed, values } = randomWeight(shape);
          using _ = packed;
          const activationScales = isStatic
            ? offsets.slice(1).map((_, g) => Math.fround(0.004 + 0.001 * g))
            : undefined;
          const product = { dtype, rounds: true, ...(activationScales && { activationScales }) };
          using c = multiply(shape, packed, a, offsets, product);
          const rounded = a.slice();
          for (let row = 0; row < rows; row++) {
            const group = offsets.findLastIndex((first) => first <= row);
            const x = a.slice(row * shape.in, (row + 1) * shape.in);
            rounded.set(roundRow(x, activationScales?.[group]), row * shape.in);
          }
          const expected = matmulTwin(rounded, values, undefined, where, false);
          assertClose(fromMemory(c, rows * shape.out), expected, "f32", "c = fp8(a) W");
        });
      }
    }
  });
}

describe("the gated product with a small weight", () => {
  for (const [format, dtype] of (["fp8", "int8", "int4"] as const).flatMap((one) =>
    dtypes.map((other) => [one, other] as const),
  )) {
    it(`is made of c in ${format} and ${dtype}, in groups of few rows and of many`, () => {
      const shape: Shape = { format, groups: 6, out: 128, in: 64, segment: 64 };
      const offsets = [2, 20, 60, 61, 61, 75, 140];
      const [rows, code] = [140, dtypeCodes[dtype]];
      const { packed } = randomWeight(shape);
      using _ = packed;
      using a = toMemory(normals(rows * 64, 1, dtype), dtype);
      using c = emptyMemory(rows * 128, dtype);
      using gated = emptyMemory(rows * 64, dtype);
      using expected = emptyMemory(rows * 64, dtype);
      using offsetsMemory = toMemoryI32(offsets);
      const size = {
        format: quantCodes[format],
        dtype: code,
        rows,
        inner: 64,
        columns: 128,
        groups: 6,
        segment: 64,
        rounds: format === "fp8" ? 1 : 0,
      };
      using scratch = scratchMemory(quantMatmulScratchBytes({ ...size, threads: 1 }));
      const rest = { pool: null, a, packed, addend: null, c, cDtype: code, gated, activationScales: null };
      quantMatmul({ ...size, ...rest, offsets: offsetsMemory, scratch });
      swigluForward({ pool: null, dtype: code, gateUp: c, h: expected, rows, width: 64, rowsLimit: null });
      const [found, made] = [fromMemory(gated, rows * 64, dtype), fromMemory(expected, rows * 64, dtype)];
      assert.ok(Number.isNaN(found[0]!), "rows before the first offset stay unwritten");
      assert.equal(
        found.findIndex((v, i) => i >= 128 && v !== made[i]!),
        -1,
      );
    });
  }
});

describe("the kernels of small weights refuse", () => {
  const good = { format: quantCodes.int4, groups: 1, out: 32, in: 128, segment: 64 };
  it("sizes that no layout has", () => {
    assert.ok(quantBytes(good) > 0);
    for (const change of [
      { segment: 48 },
      { segment: 96 },
      { segment: 0 },
      { in: 12, segment: 12 },
      { format: 3 },
      { format: -1 },
      { out: 0 },
    ]) {
      assert.equal(quantBytes({ ...good, ...change }), 0, JSON.stringify(change));
    }
    assert.equal(quantBytes({ ...good, format: quantCodes.int8 }), 0, "scales of segments are for 4 bits");
    assert.equal(quantBytes({ ...good, out: 2 ** 40, in: 2 ** 40, segment: 2 ** 40 }), 0);
  });

  it("rows that lie outside the weight", () => {
    using packed = new NativeMemory(quantBytes(good));
    using codes = new NativeMemory(64);
    using scales = toMemory([1, 1]);
    const call = { ...good, pool: null, codes, scales, packed, group: 0, firstRow: 0, rows: 1 };
    quantPack(call);
    for (const change of [{ group: 1 }, { firstRow: 32 }, { firstRow: 31, rows: 2 }, { rows: 0 }, { rows: 2 ** 52 }]) {
      assert.throws(() => quantPack({ ...call, ...change }), { code: "KERNEL_FAILED" }, JSON.stringify(change));
    }
  });

  it("offsets that fall or end outside the rows", () => {
    const shape: Shape = { format: "int8", groups: 2, out: 4, in: 8, segment: 8 };
    const { packed } = randomWeight(shape);
    using _ = packed;
    const a = normals(3 * 8, 1);
    for (const offsets of [
      [0, 2, 4],
      [0, 3, 2],
      [-1, 1, 3],
    ]) {
      assert.throws(() => multiply(shape, packed, a, offsets, { dtype: "f32" }), { code: "KERNEL_FAILED" });
    }
  });
});

describe("rounding that makes up for errors (GPTQ)", () => {
  /** XᵀX of inputs whose columns go together, as those of a model do. */
  function correlated(n: number): Float64Array {
    const [common, own] = [normals(3 * n, 1), normals(200 * n, 2)];
    const mix = normals(200 * 3, 3);
    const x = own.map((value, at) => {
      const [row, column] = [Math.floor(at / n), at % n];
      let sum = 0.3 * value;
      for (let i = 0; i < 3; i++) sum += mix[row * 3 + i]! * common[i * n + column]!;
      return sum;
    });
    const hessian = new Float64Array(n * n);
    for (let row = 0; row < 200; row++) {
      for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) hessian[i * n + j]! += x[row * n + i]! * x[row * n + j]!;
    }
    return hessian;
  }

  function factorOf(hessian: Float64Array, n: number, threads = 2): NativeMemory {
    using memory = toMemory(hessian);
    using pool = new ThreadPool(threads);
    const factor = emptyMemory(n * n);
    gptqFactor({ pool, hessian: memory, factor, n, damping: 0.01 });
    return factor;
  }

  for (const n of [1, 40, 64, 150]) {
    it(`factors the inverse of ${n} × ${n}: U H Uᵀ = 1, whatever the threads`, () => {
      const hessian = correlated(n);
      let trace = 0;
      for (let i = 0; i < n; i++) trace += hessian[i * n + i]!;
      using memory = factorOf(hessian, n);
      using single = factorOf(hessian, n, 1);
      assert.equal(bytesOf(memory), bytesOf(single));
      const u = fromMemory(memory, n * n);
      for (let i = 0; i < n; i++) hessian[i * n + i]! += (0.01 * trace) / n;
      let farthest = 0;
      for (let a = 0; a < n; a++) {
        for (let b = 0; b < n; b++) {
          if (b < a) assert.equal(u[a * n + b], 0);
          let sum = 0;
          for (let i = 0; i < n; i++)
            for (let j = b; j < n; j++) sum += u[a * n + i]! * hessian[i * n + j]! * u[b * n + j]!;
          farthest = Math.max(farthest, Math.abs(sum - (a === b ? 1 : 0)));
        }
      }
      assert.ok(farthest < 1e-3, `${farthest}`);
    });
  }

  it("loses less of the outputs than rounding to the nearest, which it is where columns are independent", () => {
    const [n, rows, segment] = [128, 24, 64];
    const hessian = correlated(n);
    const weight = normals(rows * n, 9);
    const identity = new Float64Array(n * n);
    for (let i = 0; i < n; i++) identity[i * n + i] = 1;
    const lossOf = (factor: NativeMemory): { loss: number; codes: Uint8Array } => {
      using memory = toMemory(weight);
      using codes = new NativeMemory((rows * n) / 2);
      using scales = emptyMemory((rows * n) / segment);
      using pool = new ThreadPool(2);
      gptqRound({ pool, weight: memory, factor, codes, scales, rows, n, segment });
      const found = fromMemory(scales, (rows * n) / segment);
      let loss = 0;
      for (let row = 0; row < rows; row++) {
        const values = codeValues("int4", codes.bytes().subarray((row * n) / 2), n);
        const off = values.map((code, k) => weight[row * n + k]! - code * found[Math.floor((row * n + k) / segment)]!);
        for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) loss += off[i]! * hessian[i * n + j]! * off[j]!;
      }
      return { loss, codes: codes.bytes().slice() };
    };
    using independent = toMemory(identity);
    using factor = factorOf(hessian, n);
    const [nearest, gptq] = [lossOf(independent), lossOf(factor)];
    assert.ok(gptq.loss < 0.5 * nearest.loss, `${gptq.loss} against ${nearest.loss}`);
  });

  it("takes inputs that are all zero, and refuses what is no matrix", () => {
    using factor = factorOf(new Float64Array(9), 3);
    assert.deepEqual([...fromMemory(factor, 9)], [1, 0, 0, 0, 1, 0, 0, 0, 1]);
    using memory = toMemory(new Float64Array(64));
    const call = {
      pool: null,
      weight: memory,
      factor: memory,
      codes: memory,
      scales: memory,
      rows: 1,
      n: 8,
      segment: 8,
    };
    for (const change of [{ rows: 0 }, { n: 7, segment: 7 }, { segment: 3 }, { segment: 0 }])
      assert.throws(() => gptqRound({ ...call, ...change }), { code: "KERNEL_FAILED" });
    assert.throws(() => gptqFactor({ pool: null, hessian: memory, factor: memory, n: 8, damping: 0 }), {
      code: "KERNEL_FAILED",
    });
  });
});
