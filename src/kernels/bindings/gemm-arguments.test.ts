/** What pack.c, gemm.c, weight_gradient.c and peak.c refuse, and that they touch nothing then. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { accepts, badCodes, badCounts, refuses, refusesEach } from "../../../test/twins/refusals.ts";
import { toMemoryI32 } from "../../../test/twins/support.ts";
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
import type { NativeMemory } from "./memory.ts";

const most = Number.MAX_SAFE_INTEGER;
/** Elements and bytes of a matrix of this many rows and columns are more than a size_t counts. */
const huge = 2 ** 40;

const weightSizes = { groups: 1, out: 1, in: 1 };
const matmulSizes = { dtype: 0, cDtype: 0, rows: 1, inner: 1, columns: 1, groups: 1 };
const arrays = (any: NativeMemory) => ({ pool: null, a: any, addend: null, c: any, gated: null, offsets: null });
const optional = ["pool", "addend", "gated", "offsets"] as const;

describe("arguments of the products", () => {
  it("of packing", () => {
    const good = (any: NativeMemory) => ({
      pool: null,
      weight: any,
      packed: any,
      dtype: 0,
      transpose: 0,
      ...weightSizes,
    });
    const bad = { dtype: badCodes, groups: [0, -1, 2 ** 31], out: [0, most], in: [0, most] };
    accepts((any) => pack(good(any)));
    refusesEach(pack, good, { ...bad, in: [0] }, { aligned: ["packed"] });
    refusesEach(pack, (any) => ({ ...good(any), out: huge }), { in: [huge, most] }, { aligned: ["packed"] });
    refuses((any) => pack({ ...good(any), out: 2 ** 37 }), "more panels than tasks have numbers");
  });

  it("of products with packed weights", () => {
    const good = (any: NativeMemory) => ({ ...arrays(any), packed: any, ...matmulSizes });
    const bad = { dtype: badCodes, cDtype: badCodes, rows: badCounts, inner: [0], columns: [0], groups: [0, 2] };
    accepts((any) => matmul(good(any)));
    refusesEach(matmul, good, bad, { optional: [...optional], aligned: ["packed"] });
    const many = (any: NativeMemory) => ({ ...good(any), rows: 2 ** 30 });
    refusesEach(matmul, many, { inner: [huge], columns: [huge] }, { optional: [...optional] });
    refuses((any) => matmul({ ...good(any), inner: huge, columns: huge }), "a weight that overflows");
    refuses((any) => matmul({ ...good(any), rows: 2 ** 20, columns: 2 ** 40 }), "more blocks than tasks have numbers");
  });

  it("of products that gate", () => {
    const good = (any: NativeMemory) => ({ ...arrays(any), packed: any, ...matmulSizes, columns: 2, gated: any });
    accepts((any) => matmul(good(any)));
    refuses((any) => matmul({ ...good(any), columns: 3 }), "halves that are not equal");
    refuses((any) => matmul({ ...good(any), addend: any }), "an addend beside it");
    refuses((any) => matmul({ ...good(any), cDtype: dtypeCodes.bf16 }), "another dtype");
  });

  it("of products that pack their weights", () => {
    const good = (any: NativeMemory) => ({ ...arrays(any), weight: any, transpose: 0, ...matmulSizes, scratch: any });
    const bad = { dtype: badCodes, cDtype: badCodes, rows: badCounts, inner: [0], columns: [0], groups: [0, 2] };
    for (const transpose of [0, 1]) {
      const one = (any: NativeMemory) => ({ ...good(any), transpose });
      accepts((any) => matmulPacking(one(any)));
      refusesEach(matmulPacking, one, bad, { optional: [...optional], aligned: ["scratch"] });
      refuses((any) => matmulPacking({ ...one(any), inner: huge, columns: huge }), "a weight that overflows");
      refuses((any) => matmulPacking({ ...one(any), columns: 2 ** 45 }), "more pieces than tasks have numbers");
    }
  });

  it("of offsets that fall, or leave the rows", () => {
    for (const offsets of [
      [0, 1, 3],
      [0, 2, 1],
      [-1, 1, 2],
    ]) {
      using memory = toMemoryI32(offsets);
      const grouped = { ...matmulSizes, rows: 2, groups: 2, offsets: memory };
      const what = JSON.stringify(offsets);
      refuses((any) => matmul({ ...arrays(any), packed: any, ...grouped }), what);
      refuses((any) => matmulPacking({ ...arrays(any), weight: any, transpose: 0, scratch: any, ...grouped }), what);
      const sizes = { dtype: 0, rows: 2, ...weightSizes, groups: 2, offsets: memory, accumulate: 0 };
      refuses(
        (any) =>
          weightGradient({ pool: null, dy: any, x: any, weightGradient: any, squares: null, scratch: any, ...sizes }),
        what,
      );
    }
  });

  it("of weight gradients", () => {
    for (const dtype of Object.values(dtypeCodes)) {
      const sizes = { dtype, rows: 1, ...weightSizes };
      const good = (any: NativeMemory) => ({
        ...{
          pool: null,
          dy: any,
          x: any,
          weightGradient: any,
          offsets: null,
          accumulate: 0,
          squares: null,
          scratch: any,
        },
        ...sizes,
      });
      const bad = { dtype: badCodes, rows: badCounts, groups: [0, 2], out: [0], in: [0] };
      accepts((any) => weightGradient(good(any)));
      refusesEach(weightGradient, good, bad, {
        optional: ["pool", "offsets", "squares"],
        aligned: ["scratch"],
      });
      refuses((any) => weightGradient({ ...good(any), out: huge, in: huge }), "a gradient that overflows");
      refuses((any) => weightGradient({ ...good(any), out: 2 ** 37 }), "more blocks than tasks have numbers");
    }
  });

  it("of sizes that overflow: no bytes are asked for", () => {
    for (const dtype of Object.values(dtypeCodes)) {
      assert.equal(packBytes({ dtype, groups: 1, out: huge, in: huge, transpose: 0 }), 0);
      assert.equal(packBytes({ dtype, groups: most, out: 1, in: most, transpose: 1 }), 0);
      const product = { dtype, inner: huge, columns: huge, groups: 1, isGated: 0, threads: 1 };
      assert.equal(matmulPackingScratchBytes(product), 0);
      assert.equal(weightGradientScratchBytes({ dtype, rows: 1, out: huge, in: huge, groups: 1 }), 0);
    }
  });
});
