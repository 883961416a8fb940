import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { DigestSet, documentDigest, splitPoint } from "./digests.ts";

test("white space around a text and its Unicode form do not make another document", () => {
  assert.deepEqual(documentDigest(" caf\u00e9\n"), documentDigest("cafe\u0301"));
  assert.notDeepEqual(documentDigest("a b"), documentDigest("a  b"));
  // A fixed value: another hash would move documents between the splits.
  assert.equal(splitPoint(documentDigest("hello")).toFixed(6), "0.175572");
});

test("a set of digests agrees with a set of strings, through its growth", () => {
  const word = fc.constantFrom(0, 1, 2, 0xffffffff);
  const digests = fc.array(fc.tuple(word, word, word, word), { maxLength: 300 });
  fc.assert(
    fc.property(digests, (list) => {
      const set = new DigestSet();
      const names = new Set<string>();
      for (const digest of list) {
        // The empty slot's own image shares a place with its neighbour.
        const name = digest.every((w) => w === 0) ? "0,0,0,1" : digest.join();
        assert.equal(set.add(Uint32Array.from(digest)), !names.has(name));
        names.add(name);
      }
      assert.equal(set.size, names.size);
    }),
    { seed: 1, numRuns: 50 },
  );
  const set = new DigestSet();
  for (let i = 0; i < 5000; i++) assert.ok(set.add(documentDigest(`document ${i}`)));
  for (let i = 0; i < 5000; i++) assert.ok(!set.add(documentDigest(`document ${i}`)));
  assert.equal(set.size, 5000);
});
