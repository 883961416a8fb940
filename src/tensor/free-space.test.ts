import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { FreeSpace } from "./free-space.ts";

test("a piece takes the smallest gap that holds it, and neighbouring gaps join", () => {
  const space = new FreeSpace();
  const [a, b, c, d, e] = [10, 20, 5, 30, 1].map((bytes) => space.take(bytes));
  assert.deepEqual([a, b, c, d, e], [0, 10, 30, 35, 65]);
  space.give(a!, 10);
  space.give(c!, 5);
  assert.equal(space.take(4), 30, "5 is enough");
  assert.equal(space.take(7), 0);
  space.give(b!, 20);
  assert.equal(space.take(23), 7, "3 left before, 20, and none of the 1 behind");
  assert.equal(space.peak, 66);
});

test("room at the end is given back, and the peak stays", () => {
  const space = new FreeSpace();
  space.take(8);
  const last = space.take(100);
  space.give(last, 100);
  assert.equal(space.take(50), 8);
  assert.equal(space.peak, 108);
});

test("pieces never overlap, and when all are given back the next starts at 0", () => {
  const request = fc.record({ take: fc.boolean(), bytes: fc.integer({ min: 1, max: 50 }), which: fc.nat() });
  fc.assert(
    fc.property(fc.array(request, { maxLength: 80 }), (requests) => {
      const space = new FreeSpace();
      const pieces: { offset: number; bytes: number }[] = [];
      for (const { take, bytes, which } of requests) {
        if (take) pieces.push({ offset: space.take(bytes), bytes });
        else if (pieces.length > 0) {
          const [piece] = pieces.splice(which % pieces.length, 1);
          space.give(piece!.offset, piece!.bytes);
        }
        const sorted = pieces.toSorted((x, y) => x.offset - y.offset);
        for (const [i, { offset, bytes: size }] of sorted.entries()) {
          assert.ok(offset + size <= (sorted[i + 1]?.offset ?? space.peak));
        }
      }
      for (const { offset, bytes } of pieces) space.give(offset, bytes);
      assert.equal(space.take(1), 0);
    }),
    { seed: 3, numRuns: 200 },
  );
});
