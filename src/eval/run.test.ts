import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, describe, it } from "node:test";
import { EndpointFailure } from "../endpoint/failure.ts";
import type { EvalModel, GeneratedText, GenerationRequest, Likelihood } from "./model.ts";
import { type EvalRunOptions, evalRunOptionsSchema } from "./options.ts";
import { readItems, readSummary } from "./results.ts";
import { evaluate } from "./run.ts";

const root = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-eval-run-"));
after(() => fs.rmSync(root, { recursive: true }));

/** Finds longer continuations likelier, and answers every question with its last number. */
class Scripted implements EvalModel {
  readonly name = "scripted";
  readonly maxLength = 4096;
  readonly concurrency = 4;
  asked: string[] = [];
  /** Fails at this question, and at all that follow. */
  failsAt = Number.POSITIVE_INFINITY;
  failure: () => Error = () => new EndpointFailure("passing", "http://x/v1 does not answer: ECONNREFUSED", "try again");

  async encode(texts: readonly string[]): Promise<Int32Array[]> {
    return texts.map((text) => Int32Array.from(Buffer.from(text)));
  }
  async likelihood(context: string, continuation: string): Promise<Likelihood> {
    this.#note(context + continuation);
    return { logprob: continuation.length - 100, isGreedy: false, tokens: 1, cutTokens: 0 };
  }
  async rolling(text: string) {
    this.#note(text);
    return [...Buffer.from(text)].map((_, at) => ({
      logprob: -Math.LN2,
      isLikeliest: false,
      position: at + 1,
      bytes: 1,
    }));
  }
  async generate({ prompt }: GenerationRequest): Promise<GeneratedText> {
    const text = typeof prompt === "string" ? prompt : prompt.at(-1)!.content;
    this.#note(text);
    const numbers = text.match(/\d+/g) ?? ["0"];
    return {
      text: ` so\n#### ${numbers.at(-1)}`,
      finishReason: "stop",
      promptTokens: 1,
      answerTokens: 1,
      cutTokens: 0,
    };
  }
  async prefixStats() {
    return null;
  }
  async close() {}

  #note(what: string): void {
    if (this.asked.length >= this.failsAt) throw this.failure();
    this.asked.push(what);
  }
}

let folders = 0;
function place(files: Record<string, string>): string {
  const folder = path.join(root, String(folders++));
  for (const [name, content] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    fs.writeFileSync(path.join(folder, name), content);
  }
  return folder;
}
const lines = (rows: readonly object[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join("");

function run(model: EvalModel, given: Partial<EvalRunOptions> & { data: string }) {
  const options = evalRunOptionsSchema.parse({
    ...{ model: "scripted", name: "x", resultsFolder: path.join(given.data, "evals") },
    ...given,
  });
  return evaluate(options, { runsFolder: root, apiKey: undefined, judgeApiKey: undefined, opened: model });
}

const gsm8k = (count: number) =>
  lines(
    Array.from({ length: count }, (_, at) => ({
      question: `Of ${at}?`,
      answer: `It is\n#### ${at % 2 === 0 ? at : -1}`,
    })),
  );

describe("an evaluation", () => {
  it("asks choices and texts, keeps every answer, and tells of subjects", async () => {
    const csv = (subject: string) => `${subject}?,yes,no way,a,b,B\nAnd?,"much, longer",b,c,d,B\n`;
    const data = place({
      "mmlu/data/test/astronomy_test.csv": csv("Stars"),
      "mmlu/data/test/law_test.csv": csv("Law"),
      "gsm8k/test.jsonl": gsm8k(6),
      "novel.txt": "企鹅 and ice",
    });
    const model = new Scripted();
    const summary = await run(model, {
      ...{ data, tasks: ["mmlu, gsm8k"], shots: 0, texts: [`sea=${path.join(data, "novel.txt")}`] },
    });
    const [mmlu, math] = summary.tasks;
    // all choices are one letter: the first of equals is taken
    assert.deepEqual([mmlu!.count, mmlu!.metrics.acc!.value], [4, 0]);
    assert.deepEqual(
      mmlu!.parts.map(({ name }) => name),
      ["astronomy", "law"],
    );
    assert.equal(mmlu!.groups[0]!.name, "STEM");
    assert.deepEqual([math!.metrics["strict-match"]!.value, math!.metrics["flexible-extract"]!.value], [0.5, 0.5]);
    assert.ok(
      model.asked[0]!.startsWith(
        "The following are multiple choice questions (with answers) about astronomy.\n\nStars?\nA. yes\n",
      ),
    );
    assert.deepEqual(
      [summary.texts[0]!.domain, summary.texts[0]!.bytes, summary.texts[0]!.bitsPerByte],
      ["sea", 15, 1],
    );
    assert.deepEqual(
      summary.texts[0]!.positions.map(({ from, tokens }) => [from, tokens]),
      [
        [1, 1],
        [2, 2],
        [4, 4],
        [8, 8],
      ],
    );
    const items = await readItems(summary.folder);
    assert.equal(items.length, 10);
    assert.deepEqual(
      items.map(({ score }) => score),
      [0, 0, 0, 0, 1, 0, 1, 0, 1, 0],
    );
    assert.equal(items[0]!.reference, "1");
    assert.deepEqual(readSummary(summary.folder), summary);
  });

  it("goes on after a server died, and asks nothing twice", async () => {
    const data = place({ "gsm8k/test.jsonl": gsm8k(40) });
    const model = new Scripted();
    model.failsAt = 15;
    await assert.rejects(run(model, { data, tasks: ["gsm8k"], shots: 0 }), {
      code: "ENDPOINT_FAILED",
      message: "http://x/v1 does not answer: ECONNREFUSED",
    });
    assert.equal(model.asked.length, 15);
    model.failsAt = Number.POSITIVE_INFINITY;
    await assert.rejects(run(model, { data, tasks: ["gsm8k"], shots: 0 }), { code: "RUN_EXISTS" });
    const summary = await run(model, { data, tasks: ["gsm8k"], shots: 0, resume: true });
    assert.equal(summary.tasks[0]!.count, 40);
    assert.equal(model.asked.length, 40);
    assert.equal(new Set(model.asked).size, 40);
    await run(model, { data, tasks: ["gsm8k"], shots: 0, resume: true });
    assert.equal(model.asked.length, 40);
  });

  it("leaves out what cannot be asked, says so, and asks it again on resume", async () => {
    const data = place({ "gsm8k/test.jsonl": gsm8k(10) });
    const model = new Scripted();
    model.failsAt = 7;
    model.failure = () => new EndpointFailure("refused", "too long", "send less");
    const summary = await run(model, { data, tasks: ["gsm8k"], shots: 0 });
    assert.deepEqual([summary.tasks[0]!.count, summary.tasks[0]!.failed], [7, 3]);
    const items = await readItems(summary.folder);
    assert.deepEqual([items.at(-1)!.score, items.at(-1)!.failure], [null, "too long"]);
    model.failsAt = Number.POSITIVE_INFINITY;
    const again = await run(model, { data, tasks: ["gsm8k"], shots: 0, resume: true });
    assert.deepEqual([again.tasks[0]!.count, again.tasks[0]!.failed, model.asked.length], [10, 0, 10]);
  });

  it("does not go on with other questions", async () => {
    const data = place({ "gsm8k/test.jsonl": gsm8k(4) });
    await run(new Scripted(), { data, tasks: ["gsm8k"], shots: 0 });
    fs.writeFileSync(path.join(data, "gsm8k/test.jsonl"), gsm8k(5).replace("Of 0", "Of 9"));
    await assert.rejects(run(new Scripted(), { data, tasks: ["gsm8k"], shots: 0, resume: true }), {
      code: "INVALID_OPTION",
      message: /the questions of gsm8k/,
    });
  });
});

describe("what cannot be used is told in one line, with the file and the place", () => {
  const hellaswag = { activity_label: "a", ctx_a: "b", ctx_b: "c", endings: ["d", "e"], label: "1" };
  const cases: [what: string, files: Record<string, string>, tasks: string, message: RegExp][] = [
    ["no data", {}, "mmlu", /its data is not in .*mmlu/],
    ["no such task", {}, "mmul", /there is no task "mmul"/],
    [
      "broken JSON",
      { "gsm8k/test.jsonl": `${gsm8k(2)}{"question": "x\n` },
      "gsm8k",
      /test\.jsonl, line 3 is not valid JSON/,
    ],
    ["no object", { "gsm8k/test.jsonl": "[1]\n" }, "gsm8k", /test\.jsonl, line 1 is no object/],
    [
      "a column that is missing",
      { "gsm8k/test.jsonl": lines([{ q: "x", answer: "1" }]) },
      "gsm8k",
      /gsm8k, row 1: there is no column "question" \(there are "q", "answer"\)/,
    ],
    [
      "a column of another type",
      { "hellaswag/validation.jsonl": lines([hellaswag, { ...hellaswag, endings: "d" }]) },
      "hellaswag",
      /row 2: the column "endings" is no list of texts: "\\"d\\""/,
    ],
    [
      "an answer that is no choice",
      { "hellaswag/validation.jsonl": lines([{ ...hellaswag, label: "2" }]) },
      "hellaswag",
      /the right one is 2 of 2 choices/,
    ],
    [
      "no Parquet",
      { "gsm8k/main/test-00000-of-00001.parquet": "PAR1 and then nothing" },
      "gsm8k",
      /is no Parquet file that can be read/,
    ],
    [
      "CSV with too many cells",
      { "cmmlu/test/law.csv": ",Question,A,B,C,D,Answer\n0,q,a,b,c,d,A,more\n" },
      "cmmlu",
      /row 1 has 8 cells, and there are 7 columns/,
    ],
    [
      "another split",
      { "gsm8k/train.jsonl": gsm8k(3) },
      "gsm8k",
      /there is no split test among its files \(data: train\)/,
    ],
    ["no UTF-8", { "cmmlu/test/law.csv": "\u0000" }, "cmmlu", /there are no questions|column/],
  ];
  for (const [what, files, task, message] of cases) {
    it(what, async () => {
      const model = new Scripted();
      await assert.rejects(
        run(model, { data: place({ "keep.txt": "", ...files }), tasks: [task], shots: 0 }),
        (error: Error) => {
          assert.match(error.message, message);
          assert.equal(error.name, "RookeryError");
          assert.ok(!error.message.includes("\n"));
          return true;
        },
      );
      assert.equal(model.asked.length, 0);
    });
  }

  it("too few rows for the shots", async () => {
    const data = place({ "gsm8k/test.jsonl": gsm8k(3), "gsm8k/train.jsonl": gsm8k(2) });
    await assert.rejects(run(new Scripted(), { data, tasks: ["gsm8k"] }), { message: /there are 2 rows for 4 shots/ });
  });
});
