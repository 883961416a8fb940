import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import fc from "fast-check";
import { RookeryError } from "../base/errors.ts";
import { Shard, ShardWriter } from "./shard.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-shard-"));
after(() => fs.rmSync(folder, { recursive: true }));
let files = 0;

function write(documents: readonly ArrayLike<number>[], vocabularySize: number): string {
  const file = path.join(folder, `${files++}.shard`);
  const writer = new ShardWriter(file, vocabularySize);
  for (const document of documents) writer.add(document);
  writer.close();
  return file;
}

const withCode = (code: string) => (error: unknown) => error instanceof RookeryError && error.code === code;

test("what is written is read back, in 2 or 4 bytes a token, and verifies", () => {
  for (const vocabularySize of [300, 0x10000, 0x10001, 200_000]) {
    const document = fc.array(fc.integer({ min: 0, max: vocabularySize - 1 }), { maxLength: 40 });
    fc.assert(
      fc.property(fc.array(document, { maxLength: 12 }), (documents) => {
        using shard = Shard.open(write(documents, vocabularySize));
        shard.verify();
        assert.equal(shard.header.bytesPerToken, vocabularySize <= 0x10000 ? 2 : 4);
        assert.equal(shard.documents, documents.length);
        documents.forEach((tokens, i) => {
          assert.deepEqual([...shard.document(i)], tokens);
        });
      }),
      { seed: 3, numRuns: 20 },
    );
  }
});

test("more documents than the writer keeps offsets of in memory", () => {
  for (const count of [4095, 4096, 4097, 8192, 10_000]) {
    using shard = Shard.open(
      write(
        Array.from({ length: count }, (_, i) => [i % 7, i % 300]),
        300,
      ),
    );
    shard.verify();
    assert.deepEqual([...shard.document(count - 1)], [(count - 1) % 7, (count - 1) % 300]);
    assert.deepEqual(shard.bounds(4090), { start: 8180, end: 8182 });
  }
});

test("a flipped byte anywhere, a byte more or less, never passes", () => {
  const documents = [[1, 2, 3], [], [299, 0], [5]];
  const good = fs.readFileSync(write(documents, 300));
  const broken = path.join(folder, "broken.shard");
  const verifies = (bytes: Uint8Array): boolean => {
    fs.writeFileSync(broken, bytes);
    try {
      using shard = Shard.open(broken);
      shard.verify();
      return true;
    } catch (error) {
      assert.ok(error instanceof RookeryError, String(error));
      return false;
    }
  };
  assert.equal(verifies(good), true);
  const headerText = good.subarray(0, 4096).toString().trimEnd().length;
  // Every byte of the body; in the header those of its text (the spaces after it carry nothing).
  for (let at = 0; at < good.length; at++) {
    if (at >= headerText && at < 4096) continue;
    const bytes = Uint8Array.from(good);
    bytes[at]! ^= 0x01;
    assert.equal(verifies(bytes), false, `byte ${at}`);
  }
  for (const length of [0, 10, 4095, 4096, good.length - 8, good.length - 1]) {
    assert.equal(verifies(good.subarray(0, length)), false, `cut to ${length}`);
  }
  assert.equal(verifies(Buffer.concat([good, Buffer.alloc(8)])), false);
});

test("a hostile header is refused before anything is believed", () => {
  const file = path.join(folder, "hostile.shard");
  const sha256 = "0".repeat(64);
  const header = { format: "rookery-shard/1", bytesPerToken: 2, vocabularySize: 300, documents: 0, tokens: 0, sha256 };
  const open = (change: object, body = 8): Shard => {
    const text = JSON.stringify({ ...header, ...change }).padEnd(4096);
    fs.writeFileSync(file, Buffer.concat([Buffer.from(text), Buffer.alloc(body)]));
    return Shard.open(file);
  };
  open({}).dispose();
  assert.throws(() => open({ format: "rookery-shard/2" }), withCode("UNKNOWN_FORMAT"));
  assert.throws(() => open({ tokens: -1 }), withCode("FILE_DAMAGED"));
  assert.throws(() => open({ tokens: 1.5 }), withCode("FILE_DAMAGED"));
  assert.throws(() => open({ tokens: 2 ** 52 }), withCode("FILE_DAMAGED"));
  assert.throws(() => open({ documents: 2 ** 40 }), withCode("FILE_DAMAGED"));
  assert.throws(() => open({ bytesPerToken: 3 }), withCode("FILE_DAMAGED"));
  assert.throws(() => open({ vocabularySize: 70_000 }), withCode("FILE_DAMAGED"));
  assert.throws(() => open({ extra: true }), withCode("FILE_DAMAGED"));
  assert.throws(() => open({ documents: 1 }), withCode("FILE_DAMAGED"));
  fs.writeFileSync(file, Buffer.alloc(5000));
  assert.throws(() => Shard.open(file), withCode("FILE_DAMAGED"));
  assert.throws(() => Shard.open(path.join(folder, "absent.shard")), withCode("FILE_UNREADABLE"));

  // Bounds and tokens are checked at each read, even when nobody has verified the file.
  const body = Buffer.alloc(24);
  body.writeUInt16LE(300, 0);
  body.writeBigUInt64LE(2n ** 60n, 16);
  const text = JSON.stringify({ ...header, documents: 1, tokens: 1 }).padEnd(4096);
  fs.writeFileSync(file, Buffer.concat([Buffer.from(text), body]));
  using shard = Shard.open(file);
  assert.throws(() => shard.bounds(0), withCode("FILE_DAMAGED"));
  assert.throws(() => shard.readTokens(0, 1, new Int32Array(1), 0), withCode("FILE_DAMAGED"));
  assert.throws(() => shard.readTokens(0, 2, new Int32Array(2), 0), RangeError);
  assert.throws(() => shard.bounds(1), RangeError);
});

test("a writer leaves nothing half-done, and refuses tokens outside of the vocabulary", () => {
  const file = path.join(folder, "aborted.shard");
  const writer = new ShardWriter(file, 300);
  writer.add([1, 2]);
  assert.throws(() => writer.add([300]), RangeError);
  assert.throws(() => writer.add([-1]), RangeError);
  assert.throws(() => writer.add([Number.NaN]), RangeError);
  assert.ok(!fs.existsSync(file));
  writer.abort();
  assert.deepEqual(
    fs.readdirSync(folder).filter((name) => name.startsWith("aborted")),
    [],
  );
});

test("a closed shard says so", () => {
  const shard = Shard.open(write([[1]], 300));
  shard.dispose();
  shard.dispose();
  assert.throws(() => shard.document(0), withCode("DISPOSED"));
});
