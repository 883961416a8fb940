/**
 * Mutated headers and JSON files of models: each is read or refused in one line, and nothing is allocated or read that the file does
 * not have. `npm run test:long` tries 200,000 of them.
 */
import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, describe, it } from "node:test";
import fc from "fast-check";
import { RookeryError } from "../../src/base/errors.ts";
import { SafetensorsFile } from "../../src/formats/safetensors.ts";
import { openShardedSafetensors, writeShardedSafetensors } from "../../src/formats/safetensors-shards.ts";
import { readModelDirectory } from "../../src/interop/model-directory.ts";
import { tiktokenToJson } from "../../src/text/tiktoken-file.ts";
import { Tokenizer } from "../../src/text/tokenizer.ts";
import { tinyTokenizer, writeTinyModel } from "../tiny-model.ts";

const share = process.env.ROOKERY_LONG_TESTS !== undefined ? 1 : 1 / 100;
const root = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-hostile-"));
after(() => fs.rmSync(root, { recursive: true, force: true }));

const model = await writeTinyModel(root, { numHiddenLayers: 2, claShareFactor: 1, topK: 2 });
const weights = path.join(model, "model.safetensors");

const shards = path.join(root, "shards");
fs.mkdirSync(shards);
{
  using file = SafetensorsFile.open(weights);
  const tensors = [...file.tensors.values()].map(({ name, dtype, shape }) => ({
    ...{ name, dtype, shape },
    bytes: file.read(name),
  }));
  writeShardedSafetensors(shards, "model", tensors, { maxShardBytes: 200_000 });
}

/** Bytes put in the place of others: random ones, and those that mean something in JSON. */
const splice = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  remove: fc.integer({ min: 0, max: 12 }),
  insert: fc.oneof(
    fc.uint8Array({ maxLength: 6 }),
    fc
      .constantFrom('"', "{", "}", "[", "]", ",", ":", "-", "9".repeat(17), "1e999", "\\u0000", '"a":', "null", "0")
      .map((text) => Buffer.from(text)),
  ),
});
type Splice = { at: number; remove: number; insert: Uint8Array };

function spliced(bytes: Uint8Array, splices: readonly Splice[]): Buffer {
  return splices.reduce((from, { at, remove, insert }) => {
    const place = Math.floor(at * from.length);
    return Buffer.concat([from.subarray(0, place), insert, from.subarray(place + remove)]);
  }, Buffer.from(bytes));
}

/** What stands where a value stood. */
const hostileValues: readonly unknown[] = [
  ...[null, true, "", "../../etc/passwd", "x".repeat(3000), -1, 0, 1.5, 1024, 2 ** 31, 2 ** 53, 1e300],
  ...[[], {}, [[[[]]]], Array.from({ length: 500 }, () => 8), { __proto__: null, toString: 1 }],
];
const replacement = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  value: fc.constantFrom(...hostileValues),
  key: fc.option(fc.constantFrom("__proto__", "constructor", "x", ""), { nil: undefined, freq: 3 }),
});
type Replacement = { at: number; value: unknown; key: string | undefined };

/** JSON with one of its values, at any depth, replaced, or one more beside it. */
function replaced(text: string, { at, value, key }: Replacement): string {
  const parsed: unknown = JSON.parse(text);
  const places: [Record<string, unknown>, string][] = [];
  const visit = (node: unknown): void => {
    if (typeof node !== "object" || node === null) return;
    for (const [name, child] of Object.entries(node)) {
      places.push([node as Record<string, unknown>, name]);
      visit(child);
    }
  };
  visit(parsed);
  const [node, name] = places[Math.floor(at * (places.length - 1))]!;
  Object.defineProperty(node, key ?? name, { value, enumerable: true, configurable: true, writable: true });
  return JSON.stringify(parsed);
}

const outcomes = { read: 0, refused: 0 };

/** Runs the reader; whatever it throws must be an error for people. */
async function attempt(read: () => unknown): Promise<void> {
  try {
    await read();
    outcomes.read += 1;
  } catch (error) {
    if (!(error instanceof RookeryError)) throw error;
    outcomes.refused += 1;
    assert.match(error.message, /^[^\n\r]{5,1500}$/);
    assert.notEqual(error.code, "OUT_OF_MEMORY");
  }
}

/** Mutations of a text, half of bytes and half of values, given to `read` as `runs` files. */
async function tryMutations(text: string, runs: number, read: (mutated: Uint8Array) => unknown): Promise<void> {
  const change = fc.oneof(fc.array(splice, { minLength: 1, maxLength: 3 }), replacement);
  const before = process.memoryUsage();
  let most = 0;
  await fc.assert(
    fc.asyncProperty(change, async (made) => {
      const bytes = Array.isArray(made) ? spliced(Buffer.from(text), made) : Buffer.from(replaced(text, made));
      await attempt(() => read(bytes));
      const { arrayBuffers, external } = process.memoryUsage();
      most = Math.max(most, arrayBuffers - before.arrayBuffers, external - before.external);
    }),
    { seed: 11, numRuns: Math.round(runs * share) },
  );
  assert.ok(most < 300e6, `${most} bytes were allocated at once`);
}

describe("mutated files of a model", () => {
  it("safetensors", async () => {
    const good = fs.readFileSync(weights);
    const headerLength = Number(good.readBigUInt64LE(0));
    const header = good.subarray(8, 8 + headerLength).toString();
    const dataBytes = good.length - 8 - headerLength;
    const file = path.join(root, "mutated.safetensors");
    const lengths = [0n, 1n, 7n, 100_000_001n, BigInt(good.length), 1n << 40n, (1n << 64n) - 1n];
    let run = 0;
    await tryMutations(header, 100_000, (mutated) => {
      const prefix = Buffer.alloc(8);
      // Every tenth file lies about the length of its header, or ends early.
      run += 1;
      prefix.writeBigUInt64LE(run % 20 === 0 ? lengths[run % lengths.length]! : BigInt(mutated.length));
      fs.writeFileSync(file, Buffer.concat([prefix, mutated]));
      const length = 8 + mutated.length + dataBytes;
      fs.truncateSync(file, run % 20 === 10 ? (run * 7919) % length : length);
      using opened = SafetensorsFile.open(file);
      const end = [...opened.tensors.values()].reduce(
        (most, { begin, byteLength }) => Math.max(most, begin + byteLength),
        0,
      );
      assert.ok(end <= opened.byteLength);
      for (const name of [...opened.tensors.keys()].slice(0, 2)) opened.read(name);
    });
  });

  it("the index of several files", async () => {
    const index = path.join(shards, "model.safetensors.index.json");
    const good = fs.readFileSync(index, "utf8");
    await tryMutations(good, 30_000, (mutated) => {
      fs.writeFileSync(index, mutated);
      openShardedSafetensors(index).close();
    });
  });

  it("config.json, with the weights that it then expects", async () => {
    const file = path.join(model, "config.json");
    const good = fs.readFileSync(file, "utf8");
    await tryMutations(good, 40_000, (mutated) => {
      fs.writeFileSync(file, mutated);
      readModelDirectory(model).openTensors().close();
    });
    fs.writeFileSync(file, good);
  });

  it("generation_config.json", async () => {
    const file = path.join(model, "generation_config.json");
    const good = fs.readFileSync(file, "utf8");
    await tryMutations(good, 10_000, (mutated) => {
      fs.writeFileSync(file, mutated);
      readModelDirectory(model);
    });
    fs.writeFileSync(file, good);
  });

  it("tokenizer.json and hy.tiktoken", async () => {
    const folder = path.join(root, "hostile-tokenizer");
    await tinyTokenizer().save(folder);
    const file = path.join(folder, "tokenizer.json");
    const good = fs.readFileSync(file, "utf8");
    await tryMutations(good, 10_000, async (mutated) => {
      fs.writeFileSync(file, mutated);
      await Tokenizer.load(folder);
    });
    const lines = Array.from({ length: 300 }, (_, rank) => {
      const bytes = rank < 256 ? [rank] : [(rank * 31) % 256, (rank * 17) % 256];
      return `${Buffer.from(bytes).toString("base64")} ${rank}\n`;
    });
    const tiktoken = Buffer.from(lines.join(""));
    await fc.assert(
      fc.asyncProperty(fc.array(splice, { minLength: 1, maxLength: 3 }), async (splices) => {
        await attempt(() => tiktokenToJson(spliced(tiktoken, splices).toString("utf8"), "hy.tiktoken"));
      }),
      { seed: 11, numRuns: Math.round(10_000 * share) },
    );
  });

  it("were read and refused, both", () => {
    assert.ok(outcomes.read > 3000 * share && outcomes.refused > 100_000 * share, JSON.stringify(outcomes));
  });
});
