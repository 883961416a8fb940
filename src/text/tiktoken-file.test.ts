import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, describe, it } from "node:test";
import fc from "fast-check";
import { RookeryError } from "../base/errors.ts";
import { BpeTrainer } from "./bpe-trainer.ts";
import { bytesOfSpelling } from "./byte-alphabet.ts";
import { javascriptSplitPattern } from "./pattern.ts";
import { tiktokenToJson } from "./tiktoken-file.ts";
import { Tokenizer } from "./tokenizer.ts";

const root = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-tiktoken-"));
after(() => fs.rmSync(root, { recursive: true, force: true }));

const line = (token: Uint8Array, rank: number): string => `${Buffer.from(token).toString("base64")} ${rank}\n`;

/** A trained vocabulary, and behind it tokens that no merge of two others makes; one of them holds half a character. */
function smallVocabulary(): Uint8Array[] {
  const trainer = new BpeTrainer();
  trainer.add("the rookery on the rock: the penguins, the chicks and the cold sea; 企鹅 企鹅 企鹅 on the rock the the");
  const { tokens } = trainer.train({ vocabularySize: 330 });
  const unmerged = [" cold chicks", "')|('", "qzx", "鹰"].map((text) => new TextEncoder().encode(text));
  return [...tokens.map((token) => bytesOfSpelling(token)!), ...unmerged, Uint8Array.of(0xe9, 0xb9)];
}

const vocabulary = smallVocabulary();
const file = vocabulary.map(line).join("");

/** tiktoken's rule, the slow way: the whole piece if it is a token, else the pair of lowest rank, leftmost first. */
function reference(text: string): number[] {
  const rankOf = new Map(vocabulary.map((token, rank) => [Buffer.from(token).toString("latin1"), rank]));
  return [...text.normalize("NFC").matchAll(javascriptSplitPattern)].flatMap(([piece]) => {
    const bytes = Buffer.from(piece).toString("latin1");
    const whole = rankOf.get(bytes);
    if (whole !== undefined) return [whole];
    const parts = Array.from(bytes);
    for (;;) {
      const ranks = parts.slice(1).map((part, at) => rankOf.get(parts[at]! + part) ?? Number.POSITIVE_INFINITY);
      const lowest = Math.min(...ranks);
      if (!Number.isFinite(lowest)) return parts.map((part) => rankOf.get(part)!);
      const at = ranks.indexOf(lowest);
      parts.splice(at, 2, parts[at]! + parts[at + 1]!);
    }
  });
}

describe("hy.tiktoken", () => {
  it("is loaded from a directory without a tokenizer.json, its specials behind it, and saved as one", async () => {
    const folder = fs.mkdtempSync(path.join(root, "model-"));
    fs.writeFileSync(path.join(folder, "hy.tiktoken"), file);
    const template = "{{ messages }}";
    fs.writeFileSync(
      path.join(folder, "tokenizer_config.json"),
      JSON.stringify({ tokenizer_class: "HYTokenizer", auto_map: {}, model_max_length: 77, chat_template: template }),
    );
    const tokenizer = await Tokenizer.load(folder);
    assert.equal(tokenizer.vocabularySize, vocabulary.length + 209);
    assert.equal(tokenizer.controlId("endOfText"), vocabulary.length);
    assert.equal(tokenizer.controlId("secondStop"), vocabulary.length + 10);
    assert.equal(tokenizer.specialTokens.get("<|extra_203|>"), tokenizer.vocabularySize - 1);
    assert.deepEqual(
      [tokenizer.config.tokenizer_class, tokenizer.config.model_max_length, tokenizer.config.chat_template],
      ["PreTrainedTokenizerFast", 77, template],
    );
    assert.equal(tokenizer.config.auto_map, undefined);
    await tokenizer.save(folder);
    const again = await Tokenizer.load(folder);
    const text = "the cold chicks, ')|(' 企鹅 <|eos|>";
    assert.deepEqual(await again.encodeText(text), await tokenizer.encodeText(text));
  });

  it("encodes as tiktoken does, tokens that only a whole piece reaches included", async () => {
    const tokenizer = Tokenizer.fromJson(tiktokenToJson(file, "hy.tiktoken"));
    const words = [
      "the",
      " the",
      " rock",
      " cold chicks",
      "chicks",
      "')|('",
      "企鹅",
      "鹅",
      "qzx",
      "qz",
      "e\u0301",
      "7",
      "\n",
      " ",
    ];
    const texts = fc.array(fc.oneof(fc.constantFrom(...words), fc.string({ unit: "binary", maxLength: 4 })), {
      maxLength: 12,
    });
    await fc.assert(
      fc.asyncProperty(texts, async (parts) => {
        const text = parts.join("").toWellFormed();
        assert.deepEqual([...(await tokenizer.encodeText(text))], reference(text));
      }),
      { seed: 5, numRuns: 300 },
    );
    assert.deepEqual([...(await tokenizer.encodeText("qzx"))], [vocabulary.length - 3]);
    assert.equal((await tokenizer.encodeText("aqzx")).length, 4, "within a longer piece nothing leads there");
  });

  it("says which line is wrong", () => {
    const lines = file.split("\n");
    const replaced = (at: number, text: string): string => lines.with(at, text).join("\n");
    const wrong: [string, string, RegExp][] = [
      ["no base64", replaced(5, "&&& 5"), /line 6 is no token/],
      ["no rank", replaced(5, lines[5]!.split(" ")[0]!), /line 6 is no token/],
      ["an empty line", replaced(5, ""), /line 6 is no token/],
      ["a token twice", replaced(300, lines[299]!), /line 301 has the token of an earlier line/],
      ["a huge token", replaced(300, line(new Uint8Array(1025), 300).trimEnd()), /line 301 has a token of 1025 bytes/],
      ["a token without end", replaced(300, "A".repeat(1e6)), /line 301 is no token/],
      ["too few", lines.slice(0, 100).join("\n"), /line 101 is missing/],
      ["nothing", "", /line 1 is missing/],
    ];
    for (const [what, text, message] of wrong) {
      assert.throws(
        () => tiktokenToJson(text, "hy.tiktoken"),
        (error: unknown) => {
          assert.ok(error instanceof RookeryError, what);
          assert.equal(error.code, "FILE_DAMAGED");
          assert.match(error.message, message);
          assert.ok(error.message.length < 300);
          return true;
        },
      );
    }
  });
});

// The official file is not part of this repository; whoever has it can give it.
const officialFile = process.env.ROOKERY_HY_TIKTOKEN;

describe("the official hy.tiktoken", { skip: officialFile === undefined && "give it as ROOKERY_HY_TIKTOKEN" }, () => {
  /** Ids that tiktoken 0.14 gives. */
  const golden: [string, number[]][] = [
    ["Hello, world!", [9906, 11, 1917, 0]],
    ["The year is 2024.", [791, 1060, 374, 220, 17, 15, 17, 19, 13]],
    ["腾讯混元大模型", [106425, 101098, 24186, 27384, 105040]],
    ["海水为什么是咸的", [113904, 101683, 21043, 124237, 9554]],
    ["I'm  fine\n\n  ok", [40, 2846, 220, 7060, 271, 220, 5509]],
    ["é", [978]],
    ["e\u0301", [978]],
    ["\r\n\r\nfoo\tbar", [881, 8134, 91809]],
    ["🙂", [9468, 19044]],
    ["①½٣", [49412, 254, 27154, 149, 96]],
    ["▁Abst", [113810]],
    ["x▁Absty", [87, 100256, 5953, 79855]],
  ];

  it("gives the ids of its makers", async () => {
    const folder = fs.mkdtempSync(path.join(root, "official-"));
    fs.copyFileSync(officialFile!, path.join(folder, "hy.tiktoken"));
    const tokenizer = await Tokenizer.load(folder);
    assert.equal(tokenizer.vocabularySize, 128_166);
    assert.equal((tokenizer.json.model.merges as unknown[]).length, 127_698);
    for (const [text, ids] of golden) assert.deepEqual([...(await tokenizer.encodeText(text))], ids, text);
    assert.equal(tokenizer.controlId("startOfText"), 127_958);
    assert.deepEqual([tokenizer.controlId("eos"), tokenizer.controlId("pad")], [127_960, 127_961]);
  });
});
