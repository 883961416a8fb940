import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { below, fmix32, hash32, shuffled, streamKeys, uniform } from "./random.ts";

/** The same arithmetic on BigInt, as C's uint32_t would do it. */
function twin(keys: readonly [number, number], index: number): number {
  const mask = 0xffffffffn;
  const mix = (start: bigint): bigint => {
    let h = start;
    h ^= h >> 16n;
    h = (h * 0x85ebca6bn) & mask;
    h ^= h >> 13n;
    h = (h * 0xc2b2ae35n) & mask;
    return h ^ (h >> 16n);
  };
  const h = mix((BigInt(index) * 0x9e3779b1n + BigInt(keys[0])) & mask);
  return Number(mix(h ^ BigInt(keys[1])));
}

const uint32 = () => fc.integer({ min: 0, max: 0xffffffff });

test("fmix32 gives the known values of MurmurHash3's finaliser", () => {
  assert.equal(fmix32(0), 0);
  assert.equal(fmix32(1), 0x514e28b7);
  assert.equal(fmix32(0xffffffff), 0x81f16f39);
});

test("hash32 equals the uint32 arithmetic that C does", () => {
  fc.assert(
    fc.property(uint32(), uint32(), uint32(), (key0, key1, index) => {
      assert.equal(hash32([key0, key1], index), twin([key0, key1], index));
    }),
    { seed: 1 },
  );
});

test("fixed values: a change of the hash would change every run ever recorded", () => {
  const keys = streamKeys(1234, "dropout", 3);
  assert.deepEqual([...keys], [3221776276, 1851723097]);
  assert.deepEqual(
    [0, 1, 2].map((index) => hash32(keys, index)),
    [741401690, 158925513, 1432125843],
  );
});

test("streams differ by seed, by kind, by place and by number of parts", () => {
  const names: (readonly (number | string)[])[] = [
    [],
    [0],
    [0, 0],
    [1],
    ["1"],
    ["a", "b"],
    ["ab"],
    ["b", "a"],
    [-1],
    [2 ** 40],
  ];
  const keys = [0, 1, 2 ** 33].flatMap((seed) => names.map((parts) => streamKeys(seed, ...parts).join()));
  assert.equal(new Set(keys).size, keys.length);
  assert.throws(() => streamKeys(0.5), RangeError);
  assert.throws(() => streamKeys(1, Number.NaN), RangeError);
});

test("uniform lies in [0, 1), is exact in f32, and is uniform", () => {
  const keys = streamKeys(7, "uniform");
  const buckets = new Float64Array(64);
  const n = 64_000;
  for (let i = 0; i < n; i++) {
    const u = uniform(keys, i);
    assert.ok(u >= 0 && u < 1 && Math.fround(u) === u);
    buckets[Math.floor(u * 64)]! += 1;
  }
  // Chi-squared with 63 degrees of freedom: its 99.99 % point is 113.
  const chiSquared = buckets.reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0);
  assert.ok(chiSquared < 113, `chi-squared is ${chiSquared}`);
});

test("shuffled is a permutation, the same for the same keys, and spreads evenly", () => {
  fc.assert(
    fc.property(fc.nat(300), fc.nat(), (n, seed) => {
      const keys = streamKeys(seed, "shuffle");
      const order = shuffled(n, keys);
      assert.deepEqual(
        [...order].sort((a, b) => a - b),
        Array.from({ length: n }, (_, i) => i),
      );
      assert.deepEqual(order, shuffled(n, keys));
      for (let i = 0; i < n; i++) assert.ok(below(n, keys, i) < n);
    }),
    { seed: 2, numRuns: 50 },
  );
  const places = new Float64Array(8);
  for (let seed = 0; seed < 8000; seed++) places[shuffled(8, streamKeys(seed)).indexOf(0)]! += 1;
  // Chi-squared with 7 degrees of freedom: its 99.99 % point is 29.9.
  const chiSquared = places.reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0);
  assert.ok(chiSquared < 29.9, `chi-squared is ${chiSquared}`);
});
