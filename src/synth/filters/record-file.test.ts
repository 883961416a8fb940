import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Draws } from "../../tasks/random.ts";
import { FirstTexts } from "./first-texts.ts";
import { NearDuplicates } from "./near-duplicates.ts";
import { RecordFile } from "./record-file.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-record-file-"));
after(() => fs.rmSync(folder, { recursive: true }));

test("records come back by their index, from a file that nobody sees", () => {
  using file = new RecordFile(folder, 4);
  for (let index = 0; index < 1000; index++) assert.equal(file.append(new Uint8Array(4).fill(index)), index);
  const record = new Uint8Array(4);
  for (const index of [999, 0, 500, 999]) {
    file.read(index, record);
    assert.deepEqual(record, new Uint8Array(4).fill(index));
  }
  assert.equal(file.count, 1000);
  assert.throws(() => file.append(new Uint8Array(5)), RangeError);
  assert.deepEqual(fs.readdirSync(folder), []);
});

test("a folder that cannot be written is told of in one line", () => {
  assert.throws(() => new RecordFile(path.join(folder, "none"), 4), {
    code: "FILE_UNWRITABLE",
    message: /none.records: its folder does not exist/,
  });
});

test("a text is known by its hash, also among those that share a slot with it", () => {
  using texts = new FirstTexts(folder);
  const hashes = [0, 2 ** 18, 2 ** 52 - 1, 5, 3 * 2 ** 18];
  for (const [number, hash] of hashes.entries()) {
    assert.equal(texts.find(hash), undefined);
    assert.equal(texts.add(hash, `id-${number}`), number);
  }
  for (const [number, hash] of hashes.entries()) {
    assert.equal(texts.find(hash), `id-${number}`);
    assert.equal(texts.idOf(number), `id-${number}`);
  }
  assert.equal(texts.find(2 * 2 ** 18), undefined);
  assert.throws(() => texts.add(7, "x".repeat(52)), /more than 51 bytes/);
});

test("what is known of records takes no memory", () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const words = new Draws(3, "words");
  const text = (length: number) => Array.from({ length }, () => words.between(0, 1e6).toString(36)).join(" ");
  using duplicates = new NearDuplicates(0.6, folder);
  const take = (from: number, to: number) => {
    for (let number = from; number < to; number++) {
      const record = { id: `r${number}`, instruction: text(10), answerKind: "text" as const };
      assert.equal(duplicates.take({ ...record, answers: [{ text: text(70) }] }), undefined);
    }
    collect();
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  const first = take(0, 1000);
  const grown = take(1000, 5000) - first;
  assert.ok(grown < 4000 * 50, `${grown} bytes for 4,000 records`);
});
