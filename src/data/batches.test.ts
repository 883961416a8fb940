import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import fc from "fast-check";
import { RookeryError } from "../base/errors.ts";
import { BatchStream, type DataPosition } from "./batches.ts";
import { heldOutBatches } from "./held-out.ts";
import type { PackedBatch, TokenSource } from "./packing.ts";
import { Shard, ShardWriter } from "./shard.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-batches-"));
const opened: Shard[] = [];
after(() => {
  for (const shard of opened) shard.dispose();
  fs.rmSync(folder, { recursive: true });
});

function source(name: string, documents: readonly (readonly number[])[]): TokenSource {
  const file = path.join(folder, `${opened.length}.shard`);
  const writer = new ShardWriter(file, 100_000);
  for (const document of documents) writer.add(document);
  writer.close();
  const shard = Shard.open(file);
  opened.push(shard);
  return { name, shard };
}

/** Documents of unique tokens, so that each token tells where it comes from: 1,000 · document + place. */
function unique(lengths: readonly number[], from = 0): number[][] {
  return lengths.map((length, d) => Array.from({ length }, (_, i) => (from + d) * 1000 + i));
}

const lengths = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 8 });
const shape = { rows: fc.integer({ min: 1, max: 4 }), sequenceLength: fc.integer({ min: 1, max: 12 }) };

/** What must hold of any batch whose tokens are made by `unique`. */
function checkBatch(batch: PackedBatch): void {
  const total = batch.rows * batch.sequenceLength;
  let at = 0;
  for (let s = 0; s < batch.sequences.length; s += 2) {
    const start = batch.sequences[s]!;
    const length = batch.sequences[s + 1]!;
    assert.equal(start, at, "sequences cover the batch without gaps");
    assert.ok(length >= 1);
    const row = Math.floor(start / batch.sequenceLength);
    assert.equal(Math.floor((start + length - 1) / batch.sequenceLength), row, "no sequence crosses a row");
    for (let i = 0; i < length; i++) {
      assert.equal(batch.positions[start + i], i);
      assert.equal(batch.tokens[start + i], batch.tokens[start]! + i, "a sequence is a stretch of one document");
      const target = batch.targets[start + i]!;
      if (i < length - 1 || target !== -1) assert.equal(target, batch.tokens[start + i]! + 1);
    }
    at += length;
  }
  assert.equal(at, total);
}

test("in each epoch every token of every document comes exactly once, in order; targets stay in their document", () => {
  fc.assert(
    fc.property(lengths, shape.rows, shape.sequenceLength, fc.nat(), (documentLengths, rows, sequenceLength, seed) => {
      const documents = unique(documentLengths);
      const stream = new BatchStream({ sources: [source("a", documents)], rows, sequenceLength, seed });
      const tokens = documentLengths.reduce((sum, length) => sum + length, 0);
      // A row reads its documents one after the other, from batch to batch.
      const seen: number[][] = Array.from({ length: rows }, () => []);
      const targets: number[][] = Array.from({ length: rows }, () => []);
      for (let read = 0; read < 3 * tokens + rows * sequenceLength; read += rows * sequenceLength) {
        const batch = stream.next();
        checkBatch(batch);
        for (let row = 0; row < rows; row++) {
          seen[row]!.push(...batch.tokens.subarray(row * sequenceLength, (row + 1) * sequenceLength));
          targets[row]!.push(...batch.targets.subarray(row * sequenceLength, (row + 1) * sequenceLength));
        }
      }
      const counts = new Map<number, number>();
      for (let row = 0; row < rows; row++) {
        assert.equal(seen[row]![0]! % 1000, 0, "a row begins with the start of a document");
        seen[row]!.forEach((token, i) => {
          counts.set(token, (counts.get(token) ?? 0) + 1);
          const isLast = (token % 1000) + 1 === documents[Math.floor(token / 1000)]!.length;
          // A target for each token but a document's last: also where a row or a batch ends.
          assert.equal(targets[row]![i], isLast ? -1 : token + 1);
          const next = seen[row]![i + 1];
          if (next !== undefined) assert.equal(isLast ? next % 1000 : next, isLast ? 0 : token + 1);
        });
      }
      // Each document is handed out once an epoch: no token can be ahead of another by more than the documents under way.
      for (const document of documents) {
        const starts = counts.get(document[0]!) ?? 0;
        const others = documents.map((other) => counts.get(other[0]!) ?? 0);
        assert.ok(Math.max(...others) - starts <= 1, `${others}`);
        for (const token of document) assert.ok(starts - (counts.get(token) ?? 0) <= rows);
      }
    }),
    { seed: 4, numRuns: 60 },
  );
});

test("the rows of a batch read different documents", () => {
  const stream = new BatchStream({
    sources: [source("a", unique(Array(8).fill(30)))],
    rows: 4,
    sequenceLength: 5,
    seed: 1,
  });
  for (let batch = 0; batch < 6; batch++) {
    const { tokens } = stream.next();
    const documents = [0, 5, 10, 15].map((at) => Math.floor(tokens[at]! / 1000));
    assert.equal(new Set(documents).size, 4, `batch ${batch}: ${documents}`);
  }
});

test("a stream resumed at any batch goes on exactly as the uninterrupted one, through a change of the mixture", () => {
  fc.assert(
    fc.property(
      fc.array(lengths, { minLength: 1, maxLength: 3 }),
      shape.rows,
      shape.sequenceLength,
      fc.nat(),
      fc.nat(11),
      fc.nat(11),
      (sourceLengths, rows, sequenceLength, seed, stopAt, switchAt) => {
        const sources = sourceLengths.map((l, i) => source(`s${i}`, unique(l, i * 10)));
        const options = { sources, rows, sequenceLength, seed };
        const mixture = { s0: 3, s1: 0.5 };
        const annealed = Object.fromEntries(Object.entries(mixture).slice(0, sources.length));
        const whole = new BatchStream(options);
        let other = new BatchStream(options);
        for (let i = 0; i < 12; i++) {
          if (i === stopAt) {
            const position = JSON.parse(JSON.stringify(other.position())) as DataPosition;
            other = new BatchStream({ ...options, position });
            assert.deepEqual(other.position(), position);
          }
          // As a trainer does: the resumed one sets the phase's mixture again, which must change nothing.
          if (i >= switchAt) other.setMixture(annealed);
          if (i === switchAt) whole.setMixture(annealed);
          assert.deepEqual(other.next(), whole.next());
        }
        assert.deepEqual(other.position(), whole.position());
      },
    ),
    { seed: 5, numRuns: 80 },
  );
});

test("the order changes with the epoch and with the seed, and not with anything else", () => {
  const documents = unique(Array.from({ length: 50 }, () => 1));
  const sources = [source("a", documents)];
  const epochs = (seed: number): string[] => {
    const stream = new BatchStream({ sources, rows: 1, sequenceLength: 50, seed });
    return [0, 1].map(() => stream.next().tokens.join());
  };
  assert.equal(new Set([...epochs(1), ...epochs(2)]).size, 4);
  assert.deepEqual(epochs(1), epochs(1));
});

test("shares of a mixture hold over any stretch, by tokens", () => {
  const sources = [
    source("small", unique([10, 20, 10])),
    source("large", unique([30, 7, 50, 30], 10)),
    source("unused", unique([5], 20)),
  ];
  const stream = new BatchStream({ sources, rows: 1, sequenceLength: 100, seed: 1, mixture: { small: 3, large: 1 } });
  const counts = [0, 0, 0];
  for (let i = 1; i <= 40; i++) {
    for (const token of stream.next().tokens) counts[Math.floor(token / 10_000)]! += 1;
    // A document is handed out whole, so a source can be ahead by one document at most.
    assert.ok(Math.abs(counts[0]! - 75 * i) <= 50, `${counts}`);
    assert.equal(counts[2], 0);
  }
  // Without a mixture, the share of a source is its size: all epochs end together.
  const natural = new BatchStream({ sources, rows: 1, sequenceLength: 162, seed: 1 });
  const first = natural.next().tokens;
  assert.equal(new Set(first).size, 162);
});

test("mixtures and positions that cannot be used are refused", () => {
  const sources = [source("a", unique([5, 5])), source("b", [])];
  const options = { sources, rows: 1, sequenceLength: 4, seed: 1 };
  const stream = new BatchStream(options);
  const code = (expected: string) => (error: unknown) => error instanceof RookeryError && error.code === expected;
  assert.throws(() => stream.setMixture({ c: 1 }), code("INVALID_OPTION"));
  assert.throws(() => stream.setMixture({ a: -1 }), code("INVALID_OPTION"));
  assert.throws(() => stream.setMixture({ a: Number.NaN }), code("INVALID_OPTION"));
  assert.throws(() => stream.setMixture({ a: 0, b: 1 }), code("INVALID_OPTION"));
  assert.throws(() => new BatchStream({ ...options, sources: [sources[1]!] }), code("BAD_DATA"));
  assert.throws(() => new BatchStream({ ...options, rows: 0 }), code("INVALID_OPTION"));
  assert.throws(() => new BatchStream({ ...options, sequenceLength: 1.5 }), code("INVALID_OPTION"));

  stream.next();
  const position = stream.position();
  assert.throws(() => new BatchStream({ ...options, seed: 2, position }), code("INVALID_OPTION"));
  const a = position.sources[0]!;
  const b = position.sources[1]!;
  const changes: object[] = [
    { format: "rookery-data-position/2" },
    { sources: [a] },
    { sources: [{ ...a, next: 9 }, b] },
    { sources: [{ ...a, epoch: -1 }, b] },
    { weights: [0, 1] },
    { weights: [1] },
    { current: [{ source: 2, document: 0, offset: 0 }] },
    { current: [{ source: 0, document: 2, offset: 0 }] },
    { current: [{ source: 0, document: 0, offset: 5 }] },
  ];
  for (const change of changes) {
    const damaged = { ...position, ...change } as DataPosition;
    assert.throws(
      () => new BatchStream({ ...options, position: damaged }),
      code("INVALID_OPTION"),
      JSON.stringify(change),
    );
  }
});

test("held-out batches: each document once, bytes of each target, padding without targets", () => {
  fc.assert(
    fc.property(lengths, shape.rows, shape.sequenceLength, (documentLengths, rows, sequenceLength) => {
      const documents = unique(documentLengths);
      const tokenBytes = Int32Array.from({ length: 100_000 }, (_, token) => (token % 1000 === 1 ? 0 : token % 5));
      const padToken = 99_999;
      const options = { sources: [source("a", documents)], rows, sequenceLength, tokenBytes, padToken };
      const heldOut = heldOutBatches(options);
      const tokens = heldOut.batches.flatMap((batch) => [...batch.tokens]);
      const all = documents.flat();
      assert.equal(heldOut.tokens, all.length);
      assert.equal(heldOut.documents, documents.length);
      assert.deepEqual(
        tokens.slice(0, all.length).toSorted((a, b) => a - b),
        all.toSorted((a, b) => a - b),
      );
      assert.ok(tokens.slice(all.length).every((token) => token === padToken));
      let bytes = 0;
      for (const document of documents) for (const token of document.slice(1)) bytes += tokenBytes[token]!;
      assert.equal(heldOut.bytes, bytes);
      for (const batch of heldOut.batches) {
        assert.equal(
          batch.bytes,
          batch.targetBytes.reduce((a, b) => a + b, 0),
        );
        batch.targets.forEach((target, i) => {
          assert.equal(batch.targetBytes[i], target < 0 ? 0 : tokenBytes[target]);
          if (batch.tokens[i] === padToken) assert.equal(target, -1);
        });
        const covered = batch.sequences.filter((_, i) => i % 2 === 1).reduce((a, b) => a + b, 0);
        assert.equal(covered, rows * sequenceLength);
      }
      assert.deepEqual(heldOutBatches(options), heldOut);
      const capped = heldOutBatches({ ...options, maxTokens: 1 });
      assert.equal(capped.documents, 1);
    }),
    { seed: 6, numRuns: 40 },
  );
});
