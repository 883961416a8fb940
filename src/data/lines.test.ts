import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodeUtf8, LineSplitter } from "./lines.ts";

const text = fc
  .array(fc.constantFrom("a", "bc", "\n", "\r\n", "é", "鹅", "🐧", " "), { maxLength: 60 })
  .map((parts) => parts.join(""));

/** Splits bytes into chunks, to be fed in any portions. */
export function chunksOf(bytes: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length]!;
    chunks.push(bytes.slice(at, at + size));
    at += size;
  }
  return chunks;
}

const sizes = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 5 });

test("lines do not depend on the chunks they come in", () => {
  fc.assert(
    fc.property(text, sizes, (input, chunkSizes) => {
      const splitter = new LineSplitter(1 << 20);
      const chunks = chunksOf(new TextEncoder().encode(input), chunkSizes);
      const lines = [...chunks.flatMap((chunk) => splitter.push(chunk)), ...splitter.end()];
      const expected = input.split("\n");
      if (expected.at(-1) === "") expected.pop();
      assert.deepEqual(
        lines.map(({ bytes }) => decodeUtf8(bytes)),
        expected,
      );
      assert.deepEqual(
        lines.map(({ line }) => line),
        expected.map((_, i) => i + 1),
      );
    }),
    { seed: 1 },
  );
});

test("a line over the limit comes in pieces that are valid UTF-8 and keep its number", () => {
  fc.assert(
    fc.property(text, sizes, fc.integer({ min: 4, max: 12 }), (input, chunkSizes, limit) => {
      const splitter = new LineSplitter(limit);
      const chunks = chunksOf(new TextEncoder().encode(input), chunkSizes);
      const pieces = [...chunks.flatMap((chunk) => splitter.push(chunk)), ...splitter.end()];
      const joined = new Map<number, string>();
      for (const { bytes, line } of pieces) {
        assert.ok(bytes.length <= limit);
        const piece = decodeUtf8(bytes);
        assert.notEqual(piece, null);
        joined.set(line, (joined.get(line) ?? "") + piece);
      }
      const lines = input.split("\n");
      if (lines.at(-1) === "") lines.pop();
      assert.deepEqual([...joined.values()], lines);
    }),
    { seed: 2 },
  );
});

test("rubbish over the limit still moves on", () => {
  const splitter = new LineSplitter(4);
  const pieces = [...splitter.push(new Uint8Array(10).fill(0x80)), ...splitter.push(new Uint8Array(7).fill(0xff))];
  const rest = splitter.end();
  const total = [...pieces, ...rest].reduce((sum, { bytes }) => sum + bytes.length, 0);
  assert.equal(total, 17);
});

test("decodeUtf8 refuses what is not UTF-8 and keeps a byte order mark", () => {
  assert.equal(decodeUtf8(Uint8Array.of(0xc3, 0x28)), null);
  assert.equal(decodeUtf8(Uint8Array.of(0xed, 0xa0, 0x80)), null);
  assert.equal(decodeUtf8(Uint8Array.of(0xef, 0xbb, 0xbf, 0x61)), "\ufeffa");
});
