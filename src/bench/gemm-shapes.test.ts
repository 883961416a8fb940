import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { defaultGemmShapes, gemmWork, isCliff, unevenOffsets } from "./gemm-shapes.ts";

test("a shape is written MxKxN, with experts after a slash, and gradient: before it", () => {
  assert.deepEqual(gemmWork("5x6x7", "f32"), {
    kind: "gemm",
    operation: "product",
    computeType: "f32",
    ...{ m: 5, k: 6, n: 7 },
    offsets: [0, 5],
  });
  const grouped = gemmWork("gradient:100x6x7/3", "bf16");
  assert.deepEqual([grouped.operation, grouped.offsets.length, grouped.offsets.at(-1)], ["gradient", 4, 100]);
  for (const wrong of ["5x6", "0x6x7", "5x6x7/0", "5 x 6 x 7", "backward:5x6x7", "-1x2x3"]) {
    assert.throws(() => gemmWork(wrong, "f32"), { code: "INVALID_OPTION" }, wrong);
  }
  for (const shape of defaultGemmShapes) gemmWork(shape, "bf16");
});

test("uneven loads cover every row once, in order", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 10_000 }), fc.integer({ min: 1, max: 128 }), (rows, groups) => {
      const offsets = unevenOffsets(rows, groups);
      assert.equal(offsets.length, groups + 1);
      assert.deepEqual([offsets[0], offsets.at(-1)], [0, rows]);
      assert.ok(offsets.every((offset, i) => i === 0 || offset >= offsets[i - 1]!));
    }),
    { seed: 3 },
  );
  const loads = unevenOffsets(2048, 8).map((offset, i, all) => offset - (all[i - 1] ?? 0));
  assert.ok(Math.max(...loads.slice(1)) > 5 * Math.min(...loads.slice(1)), loads.join());
});

test("a cliff is a rate under a third of that of a shape one doubling away", () => {
  const rated = (shape: string, rate: number, type: "bf16" | "f32" = "bf16") => ({ work: gemmWork(shape, type), rate });
  const slow = rated("1000x1000x1000", 10);
  assert.equal(isCliff(slow, [slow, rated("1024x1024x1024", 31)]), true);
  assert.equal(isCliff(slow, [slow, rated("1024x1024x1024", 29)]), false);
  // one row is half the work of two, on the same weights
  assert.equal(isCliff(rated("1x1024x4096", 10), [rated("2x1024x4096", 20), rated("4x1024x4096", 40)]), false);
  // another type, another operation, or far away
  const others = [
    rated("1000x1000x1000", 99, "f32"),
    rated("gradient:1000x1000x1000", 99),
    rated("4000x1000x1000", 99),
  ];
  assert.equal(isCliff(slow, others), false);
});
