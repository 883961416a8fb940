import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import fc from "fast-check";
import { BatchStream, type DataPosition } from "./batches.ts";
import type { TokenSource } from "./packing.ts";
import { Shard, ShardWriter } from "./shard.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-long-"));
const opened: Shard[] = [];
after(() => {
  for (const shard of opened) shard.dispose();
  fs.rmSync(folder, { recursive: true });
});

/** Documents of unique tokens, so that each token tells where it comes from: 1,000 · document + place. */
function source(lengths: readonly number[]): TokenSource {
  const file = path.join(folder, `${opened.length}.shard`);
  const writer = new ShardWriter(file, 1_000_000);
  for (const [d, length] of lengths.entries()) writer.add(Array.from({ length }, (_, i) => d * 1000 + i));
  writer.close();
  const shard = Shard.open(file);
  opened.push(shard);
  return { name: "a", shard };
}

const normal = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 12 });
const long = fc.array(fc.integer({ min: 10, max: 30 }), { minLength: 1, maxLength: 6 });

test("a long document that fits in a row is never cut, and long ones have their share of the tokens", () => {
  fc.assert(
    fc.property(normal, long, fc.integer({ min: 1, max: 3 }), fc.constantFrom(0.1, 0.25, 0.3), (n, l, rows, share) => {
      const sources = [source([...n, ...l])];
      const settings = { sources, rows, sequenceLength: 30, seed: 1, long: { share, tokens: 10 } };
      const stream = new BatchStream(settings);
      let fromLong = 0;
      const batches = 200;
      for (let b = 0; b < batches; b++) {
        const { tokens, sequences } = stream.next();
        for (let s = 0; s < sequences.length; s += 2) {
          const document = Math.floor(tokens[sequences[s]!]! / 1000);
          if (document < n.length) continue;
          assert.equal(sequences[s + 1], l[document - n.length], "whole");
          fromLong += sequences[s + 1]!;
        }
      }
      const found = fromLong / (batches * rows * 30);
      assert.ok(Math.abs(found - share) < 0.02, `${found} instead of ${share}`);
    }),
    { seed: 6, numRuns: 25 },
  );
});

test("a stream of long documents resumed at any batch goes on exactly as the uninterrupted one", () => {
  fc.assert(
    fc.property(normal, long, fc.integer({ min: 1, max: 3 }), fc.nat(11), (n, l, rows, stopAt) => {
      // rows shorter than some documents: those go on from row to row
      const options = { sources: [source([...n, ...l])], rows, sequenceLength: 14, seed: 2 };
      const settings = { ...options, long: { share: 0.4, tokens: 10 } };
      const whole = new BatchStream(settings);
      let other = new BatchStream(settings);
      for (let i = 0; i < 12; i++) {
        if (i === stopAt) {
          const position = JSON.parse(JSON.stringify(other.position())) as DataPosition;
          other = new BatchStream({ ...settings, position });
          assert.deepEqual(other.position(), position);
        }
        assert.deepEqual(other.next(), whole.next());
      }
      assert.throws(() => new BatchStream({ ...options, position: whole.position() }), /other data or to another seed/);
    }),
    { seed: 7, numRuns: 40 },
  );
});

test("in an epoch every long document comes once, and every normal one", () => {
  const stream = new BatchStream({
    ...{ sources: [source([5, 5, 20, 20])], rows: 1, sequenceLength: 50, seed: 3, long: { share: 0.8, tokens: 10 } },
  });
  assert.equal(new Set(stream.next().tokens).size, 50);
});
