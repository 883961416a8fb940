import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import fc from "fast-check";
import { BpeTrainer } from "./bpe-trainer.ts";
import { specialTokens } from "./pattern.ts";
import { Tokenizer } from "./tokenizer.ts";
import type { TokenizerJson } from "./tokenizer-file.ts";

const fixtures = path.join(import.meta.dirname, "../../test/oracle/fixtures");
const readFixture = (name: string): string => fs.readFileSync(path.join(fixtures, name), "utf8");
const reference = JSON.parse(readFixture("tokenizer-transformers.json"));
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-tokenizer-"));
after(() => fs.rmSync(folder, { recursive: true }));

const tokenizer = await Tokenizer.load(path.join(fixtures, "tokenizer"));
const anyText = fc.oneof(
  fc.string({ unit: "binary", maxLength: 60 }),
  fc.string({ unit: "grapheme", maxLength: 60 }),
  fc.string({
    unit: fc.constantFrom("\ud800", "\udc00", "a", "é", "e\u0301", "海", "<|eos|>", "\n", " ", "\ufeff", "\0"),
  }),
);
const anyBytes = fc.oneof(
  fc.uint8Array({ maxLength: 60 }),
  anyText.map((text) => Buffer.from(text)),
  fc
    .tuple(anyText, fc.uint8Array({ maxLength: 3 }), anyText)
    .map(([a, b, c]) => Buffer.concat([Buffer.from(a), b, Buffer.from(c)])),
);
const normal = (text: string): string => text.toWellFormed().normalize("NFC");

test("training and saving give the committed directory, byte for byte", async () => {
  const [{ texts, vocabularySize }] = JSON.parse(readFixture("tokenizer-bpe.json")).cases;
  const trainer = new BpeTrainer();
  for (const text of texts) trainer.add(text);
  const written = path.join(folder, "written");
  await Tokenizer.fromTraining(trainer.train({ vocabularySize })).save(written);
  assert.deepEqual(fs.readdirSync(written).sort(), ["tokenizer.json", "tokenizer_config.json"]);
  for (const file of fs.readdirSync(written)) {
    assert.equal(fs.readFileSync(path.join(written, file), "utf8"), readFixture(`tokenizer/${file}`), file);
  }
});

test("ids and texts equal those of transformers", async () => {
  assert.equal(tokenizer.vocabularySize, reference.length);
  assert.equal(tokenizer.controlId("startOfText"), reference.special.bos);
  assert.equal(tokenizer.controlId("eos"), reference.special.eos);
  assert.equal(tokenizer.controlId("pad"), reference.special.pad);
  for (const { text, withSpecials, asText, decoded, decodedWithoutSpecials } of reference.texts) {
    assert.deepEqual([...(await tokenizer.encodeWithSpecials(text))], withSpecials, text);
    assert.deepEqual([...(await tokenizer.encodeText(text))], asText, text);
    assert.equal(tokenizer.decode(withSpecials), decoded);
    assert.equal(tokenizer.decode(withSpecials, { skipSpecialTokens: true }), decodedWithoutSpecials);
  }
  assert.match(reference.partial.decoded, /\ufffd/);
  assert.equal(tokenizer.decode(reference.partial.ids), reference.partial.decoded);
});

test("the special tokens follow the vocabulary in the official order", () => {
  const first = tokenizer.vocabularySize - specialTokens.length;
  assert.deepEqual(
    [...tokenizer.specialTokens],
    specialTokens.map((text, index) => [text, first + index]),
  );
  assert.equal(tokenizer.controlId("endOfSystem"), tokenizer.controlId("endOfUser") + 4);
  assert.ok(tokenizer.isSpecial(first) && !tokenizer.isSpecial(first - 1));
});

test("text comes back normalised and otherwise whole, whatever it is", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(anyText, { maxLength: 4 }), async (texts) => {
      const batch = await tokenizer.encodeBatch(texts);
      for (const [index, text] of texts.entries()) {
        const ids = batch[index]!;
        assert.deepEqual(ids, await tokenizer.encodeText(text));
        assert.ok(ids.every((id) => !tokenizer.isSpecial(id)));
        assert.equal(tokenizer.decode(ids), normal(text));
      }
    }),
    { seed: 5, numRuns: 150 },
  );
});

test("bytes come back unchanged, whatever they are", async () => {
  await fc.assert(
    fc.asyncProperty(anyBytes, async (bytes) => {
      const ids = await tokenizer.encodeBytes(bytes);
      assert.deepEqual(Buffer.from(tokenizer.decodeBytes(ids)), Buffer.from(bytes));
    }),
    { seed: 6, numRuns: 300 },
  );
});

test("text that is long enough to be cut has the ids of the whole", async () => {
  const line = "It's the keeper's lamp, 365 nights; 海水为什么是咸的？cafe\u0301 <|eos|>\n";
  const text = line.repeat(9_000);
  const ids = await tokenizer.encodeText(text);
  assert.ok(text.length > 2 * (1 << 18));
  const [whole] = await tokenizer.encodeBatch([line.repeat(3)]);
  assert.deepEqual(ids.slice(0, whole!.length), whole);
  assert.equal(ids.length, whole!.length * 3_000);
  assert.equal(tokenizer.decode(ids), normal(text));
});

test("streamed ids give whole characters, and together the decoded text", () => {
  const id = fc.integer({ min: 0, max: tokenizer.vocabularySize - 1 });
  fc.assert(
    fc.property(fc.array(id, { maxLength: 40 }), fc.boolean(), (ids, skipSpecialTokens) => {
      const decoder = tokenizer.streamDecoder({ skipSpecialTokens });
      const parts = [...ids.map((one) => decoder.push(one)), decoder.flush()];
      for (const part of parts) assert.ok(part.isWellFormed());
      assert.equal(parts.join(""), tokenizer.decode(ids, { skipSpecialTokens }));
    }),
    { seed: 7, numRuns: 500 },
  );
});

test("a streamed character is held until its last byte", async () => {
  const ids = await tokenizer.encodeBytes(Buffer.from("𝐀龘"));
  const decoder = tokenizer.streamDecoder();
  assert.deepEqual(
    Array.from(ids, (id) => decoder.push(id)),
    ["", "", "", "𝐀", "", "", "龘"],
  );
  assert.equal(decoder.push(ids[0]!), "");
  assert.equal(decoder.flush(), "\ufffd");
});

test("bytes of tokens, and their lengths for bits per byte", async () => {
  const ids = await tokenizer.encodeWithSpecials("sea 海 🙂<|eos|>");
  const lengths = Array.from(ids, (id) => tokenizer.textByteLengths[id]!);
  assert.equal(
    lengths.reduce((sum, length) => sum + length, 0),
    Buffer.byteLength("sea 海 🙂"),
  );
  assert.equal(tokenizer.textByteLengths.length, tokenizer.vocabularySize);
  assert.equal(Buffer.concat(Array.from(ids, (id) => tokenizer.tokenBytes(id))).toString(), "sea 海 🙂<|eos|>");
});

test("ids outside the vocabulary are refused", () => {
  for (const id of [-1, tokenizer.vocabularySize, 1.5, Number.NaN]) {
    const outside = { code: "INVALID_OPTION", message: new RegExp(`^token id ${id} is not in the vocabulary`) };
    assert.throws(() => tokenizer.decode([0, id]), outside);
    assert.throws(() => tokenizer.tokenBytes(id), outside);
    assert.throws(() => tokenizer.streamDecoder().push(id), outside);
  }
});

/** A file like the committed one, changed. */
function changed(change: (json: TokenizerJson & { [key: string]: unknown }) => void): string {
  const json = JSON.parse(readFixture("tokenizer/tokenizer.json"));
  change(json);
  return JSON.stringify(json);
}

const hostile: [string, string, string | undefined][] = [
  ["no file", "FILE_UNREADABLE", undefined],
  ["an empty file", "FILE_DAMAGED", ""],
  ["no JSON", "FILE_DAMAGED", "{"],
  ["no object", "FILE_DAMAGED", "[1, 2]"],
  ["no model", "FILE_DAMAGED", "{}"],
  ["another model", "UNKNOWN_FORMAT", changed((json) => (json.model.type = "Unigram"))],
  ["another decoder", "UNKNOWN_FORMAT", changed((json) => (json.decoder = { type: "Metaspace" }))],
  ["no vocabulary", "FILE_DAMAGED", changed((json) => delete (json.model as Record<string, unknown>).vocab)],
  ["no merges", "FILE_DAMAGED", changed((json) => (json.model.merges = "ab"))],
  ["a huge id", "FILE_DAMAGED", changed((json) => (json.model.vocab.zzz = 2 ** 31 - 1))],
  ["a negative id", "FILE_DAMAGED", changed((json) => (json.model.vocab.zzz = -1))],
  ["an id that is no number", "FILE_DAMAGED", changed((json) => Object.assign(json.model.vocab, { zzz: "1" }))],
  ["an id twice", "FILE_DAMAGED", changed((json) => (json.model.vocab.zzz = 5))],
  ["a merge of three", "FILE_DAMAGED", changed((json) => (json.model.merges = [["a", "b", "c"]]))],
  ["a merge of unknown tokens", "FILE_DAMAGED", changed((json) => (json.model.merges = [["zz", "zz"]]))],
  ["a token that is no bytes", "FILE_DAMAGED", changed((json) => (json.model.vocab.海 = 470))],
  [
    "a special token without an id",
    "FILE_DAMAGED",
    changed((json) => Object.assign(json.added_tokens[0]!, { id: null })),
  ],
  ["a special token at a text token's id", "FILE_DAMAGED", changed((json) => (json.added_tokens[0]!.id = 5))],
  ["an unknown pre-tokenizer", "FILE_DAMAGED", changed((json) => (json.pre_tokenizer = { type: "Mystery" }))],
  [
    "a pattern that does not compile",
    "FILE_DAMAGED",
    changed((json) => {
      json.pre_tokenizer = { type: "Split", pattern: { Regex: "(" }, behavior: "Isolated", invert: false };
    }),
  ],
];

for (const [index, [name, code, contents]] of hostile.entries()) {
  test(`a tokenizer.json with ${name} is refused in one line that names it`, async () => {
    const directory = path.join(folder, `hostile-${index}`);
    fs.mkdirSync(directory);
    if (contents !== undefined) fs.writeFileSync(path.join(directory, "tokenizer.json"), contents);
    await assert.rejects(
      async () => (await Tokenizer.load(directory)).encodeText("text"),
      (error: Error & { code?: string }) => {
        assert.equal(error.code, code, error.message);
        assert.ok(error.message.includes("tokenizer.json") && !error.message.includes("\n"), error.message);
        return true;
      },
    );
  });
}

test("a tokenizer.json that is far too large is refused unread", async () => {
  const directory = path.join(folder, "huge");
  fs.mkdirSync(directory);
  fs.writeFileSync(path.join(directory, "tokenizer.json"), "");
  fs.truncateSync(path.join(directory, "tokenizer.json"), 200 * 1024 * 1024);
  await assert.rejects(Tokenizer.load(directory), { code: "FILE_DAMAGED" });
});

test("a directory without tokenizer_config.json loads, one with a damaged one does not", async () => {
  const directory = path.join(folder, "bare");
  fs.mkdirSync(directory);
  fs.writeFileSync(path.join(directory, "tokenizer.json"), readFixture("tokenizer/tokenizer.json"));
  const bare = await Tokenizer.load(directory);
  assert.deepEqual(await bare.encodeText("sea"), await tokenizer.encodeText("sea"));
  for (const contents of ["{", "[]", "null"]) {
    fs.writeFileSync(path.join(directory, "tokenizer_config.json"), contents);
    await assert.rejects(Tokenizer.load(directory), { code: "FILE_DAMAGED" });
  }
});

test("a tokenizer without the control tokens encodes text and says what it lacks", async () => {
  const without = Tokenizer.fromJson(JSON.parse(changed((json) => (json.added_tokens = []))));
  assert.deepEqual(await without.encodeText("sea"), await tokenizer.encodeText("sea"));
  assert.throws(() => without.controlId("eos"), { code: "UNSUPPORTED_MODEL", message: /<\|eos\|>/ });
});

test("merges written in the older form, as text, are read", async () => {
  const older = Tokenizer.fromJson(
    JSON.parse(
      changed((json) => (json.model.merges = (json.model.merges as string[][]).map((merge) => merge.join(" ")))),
    ),
  );
  assert.deepEqual(await older.encodeText("the sea's"), await tokenizer.encodeText("the sea's"));
});
