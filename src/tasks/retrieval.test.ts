import assert from "node:assert/strict";
import { test } from "node:test";
import { splitOfQuestion } from "./generate.ts";
import { retrievalDocuments, retrievalKinds, retrievalTask, sentencesOf } from "./retrieval.ts";

const sentences = sentencesOf(
  "It rained the whole day. Nobody came to the market on Monday! “Was it the wind?” He did not know it himself.",
);

test("sentences are cut where they end", () => {
  assert.deepEqual(sentences, [
    "It rained the whole day.",
    "Nobody came to the market on Monday!",
    "He did not know it himself.",
  ]);
  assert.equal(
    sentencesOf(
      "那天早晨港口很安静，船都停着不动，谁也没有出海去。午后一阵冷风从山上吹来，村里没有人知道那座桥有多老。",
    ).length,
    2,
  );
});

const settings = { split: "train", sentences, facts: 3 } as const;
const sizes = { minCharacters: 50, maxCharacters: 300, questions: 4, count: 200, seed: 5 };

test("every answer of a document stands in its text, and each document can be made again", () => {
  const all = [...retrievalDocuments({ ...settings, ...sizes, kinds: retrievalKinds })];
  assert.deepEqual([...retrievalDocuments({ ...settings, ...sizes, kinds: retrievalKinds })], all);
  const [list] = [...retrievalDocuments({ ...settings, ...sizes, kinds: ["words"], count: 1 })];
  const [first, second, third] = list!.trim().split("\n");
  assert.deepEqual([second, third], [first, first]);
  assert.ok(first!.split(" ").every((word) => sentences.join(" ").includes(word)));
  for (const text of retrievalDocuments({ ...settings, ...sizes, kinds: ["key-value", "passkey", "lines"] })) {
    const answers = [...text.matchAll(/\?.* (\d{4,7})\.$/gm)].map(([, digits]) => digits!);
    for (const answer of answers) assert.ok(text.split(answer).length > 2, `${answer} in ${text}`);
  }
});

test("a test asks for keys that no training document has", () => {
  const keyOf = (prompt: string) =>
    /(?:of|for|has|line) ([a-z]+-[a-z]+|[a-z]+)(?: mentioned|\?| hold)/.exec(prompt)?.[1];
  const seen = new Set<string>();
  for (let index = 0; index < 200; index++) {
    const kind = "key-value";
    const { prompt, answer } = retrievalTask({ ...settings, split: "test", kind, characters: 200 }, { seed: 1, index });
    assert.ok(prompt.includes(answer));
    const key = keyOf(prompt.split("\n").at(-1)!);
    assert.ok(key !== undefined && splitOfQuestion(key) === "test", `${key}`);
    seen.add(key);
  }
  assert.ok(seen.size > 150);
});
