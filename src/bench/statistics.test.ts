import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { geometricMean, median, ratiosToPeer, spreadOf, spreadOfMeans } from "./statistics.ts";

test("the median has as many values above as below, in any order", () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 3, 2]), 2.5);
  assert.ok(Number.isNaN(median([])));
  fc.assert(
    fc.property(
      fc.array(fc.double({ noNaN: true, min: -1e9, max: 1e9 }), { minLength: 1, maxLength: 40 }),
      (values) => {
        const middle = median(values);
        const above = values.filter((value) => value > middle).length;
        const below = values.filter((value) => value < middle).length;
        assert.ok(above <= values.length / 2 && below <= values.length / 2);
        const { min, max } = spreadOf(values);
        assert.ok(min <= middle && middle <= max);
      },
    ),
    { seed: 1 },
  );
});

test("a ratio to the peer is taken round by round", () => {
  // the machine was three times as slow in the second round, for both
  assert.deepEqual(ratiosToPeer([1, 3], [2, 6]), [2, 2]);
  assert.deepEqual(spreadOf(ratiosToPeer([1, 1, 1], [4, 2, 3])), { median: 3, min: 2, max: 4 });
});

test("several shapes make one figure by their geometric mean", () => {
  assert.ok(Math.abs(geometricMean([2, 8]) - 4) < 1e-12);
  const {
    median: middle,
    min,
    max,
  } = spreadOfMeans([
    [1, 4, 9],
    [1, 1, 1],
  ]);
  assert.deepEqual(
    [min, middle, max].map((value) => Math.round(value * 1e9) / 1e9),
    [1, 2, 3],
  );
});
