import assert from "node:assert/strict";
import fs from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, describe, it } from "node:test";
import { tinyModel, tinyTokenizer } from "../../test/tiny-model.ts";
import { Execution } from "../tensor/execution.ts";
import { encodeQuestions, encodeWithExamples, readQuestions, takeExam } from "./exam.ts";
import { Sampler } from "./sampler.ts";

const folder = fs.mkdtempSync(path.join(tmpdir(), "rookery-exam-"));
after(() => fs.rmSync(folder, { recursive: true }));

const tokenizer = tinyTokenizer();
const generation = { bosTokenId: null, eosTokenIds: [tokenizer.controlId("eos")], padTokenId: null };

async function questions() {
  const file = path.join(folder, "questions.jsonl");
  const records = ["the cold sea", "penguins", "on the rock", "海鸥 🐧", "chicks"].map((content, i) => ({
    messages: [
      { role: "user", content },
      { role: "assistant", content: `answer ${i}` },
    ],
    ...(i === 4 ? {} : { id: `f-en-test-${i}`, family: i < 2 ? "f" : "g", language: "en" }),
  }));
  fs.writeFileSync(file, records.map((record) => `${JSON.stringify(record)}\n`).join(""));
  return await readQuestions([file], {});
}

describe("an exam", () => {
  it("reads the last turn as the right answer; what has no name gets one", async () => {
    const read = await questions();
    assert.deepEqual(
      read.map(({ answer, family }) => `${family}: ${answer}`),
      ["f: answer 0", "f: answer 1", "g: answer 2", "g: answer 3", "questions: answer 4"],
    );
    assert.ok(read.every(({ messages }) => messages.length === 1 && messages[0]!.role === "user"));
    assert.match(read[4]!.id, /^\d+$/);
  });

  it("shows examples of the question's own family, the same ones each time", async () => {
    const read = await questions();
    const prompts = await encodeWithExamples(tokenizer, read.slice(0, 1), read, 2);
    const text = await tokenizer.decode(prompts[0]!);
    assert.equal(text.split("Question: ").length, 4);
    assert.match(text, /Question: the cold sea\nAnswer:$/);
    assert.doesNotMatch(text, /answer [2-4]/);
    assert.deepEqual(await encodeWithExamples(tokenizer, read.slice(0, 1), read, 2), prompts);
  });
});

describe("a sampler", () => {
  it("answers a prompt alike whatever is asked beside it, and follows weights that change", async () => {
    using model = tinyModel();
    using execution = new Execution({ threads: 2, computeType: "bf16" });
    using sampler = new Sampler({ execution, model, tokenizer }, generation, 128);
    const read = await questions();
    const prompts = await encodeQuestions(tokenizer, read);
    const request = { count: 2, maxTokens: 6, temperature: 1, seedOf: () => 7 };
    const all = sampler.answer(prompts, request);
    assert.equal(all.length, 10);
    assert.deepEqual(
      all.map(({ prompt, index }) => 2 * prompt + index),
      Array.from({ length: 10 }, (_, i) => i),
    );
    const alone = sampler.answer(prompts.slice(3, 4), request);
    assert.deepEqual(
      alone.map(({ tokens }) => tokens),
      all.filter(({ prompt }) => prompt === 3).map(({ tokens }) => tokens),
    );
    const right = takeExam(sampler, read, prompts, { maxAnswerTokens: 4 });
    const first = { ...read[0]!, answer: right[0]!.given };
    const again = takeExam(sampler, [first], prompts.slice(0, 1), { maxAnswerTokens: 4 });
    assert.equal(again[0]!.isRight, right[0]!.given.trim() !== "");
    model.initialize(8);
    assert.notDeepEqual(
      sampler.answer(prompts, request).map(({ tokens }) => tokens),
      all.map(({ tokens }) => tokens),
    );
  });
});
