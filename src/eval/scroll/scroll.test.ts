import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, beforeEach, describe, it } from "node:test";
import { EndpointClient } from "../../endpoint/client.ts";
import { Endpoint } from "../../endpoint/endpoint.ts";
import { EndpointFailure } from "../../endpoint/failure.ts";
import { openJobs } from "../../jobs/jobs.ts";
import { ReviewQueue } from "../../review/queue.ts";
import type { EvalModel, GenerationRequest } from "../model.ts";
import { agreementOf } from "./agreement.ts";
import { checkAnswer, numbersIn } from "./check.ts";
import { humanScores, writeHumanSample } from "./human.ts";
import { type Judge, judgeResponses } from "./judge.ts";
import { readScrollFiles } from "./read.ts";
import { type Check, readScrollRecord, type ScrollRecord } from "./record.ts";
import { runScroll, type ScrollRunSettings, scrollResponses } from "./run.ts";
import { microAverage, reportScores } from "./scores.ts";
import { fitInput } from "./truncate.ts";

/** A token is a character. Answers what stands behind "ANSWER:" in the question. */
class ScriptedModel implements EvalModel {
  readonly name = "scripted";
  readonly concurrency = 4;
  readonly maxLength = 2000;
  readonly asked: string[] = [];

  encode = async (texts: readonly string[]) => texts.map((text) => new Int32Array(text.length));

  async generate({ prompt, maxTokens }: GenerationRequest) {
    const text = typeof prompt === "string" ? prompt : prompt.map(({ content }) => content).join("");
    assert.ok(text.length + maxTokens <= this.maxLength);
    if (maxTokens > 1) this.asked.push(text);
    if (/REFUSED/.test(text)) throw new EndpointFailure("refused", "no", "no");
    const said = /ANSWER:(.*)/.exec(text)?.[1] ?? "";
    const finishReason = said === "endless" ? ("length" as const) : ("stop" as const);
    return { text: said, finishReason, promptTokens: text.length + 3, answerTokens: said.length, cutTokens: 0 };
  }

  likelihood = async () => assert.fail("not asked");
  rolling = async () => assert.fail("not asked");
  prefixStats = async () => ({ promptTokens: 0, cachedTokens: 7 });
  close = async () => {};
}

/** A server whose verdict is a function of the answer and the reference. */
const verdicts = { requests: 0 };
function scriptedJudge(bias: (answer: string) => string = (answer) => answer): Judge {
  const endpoint = new Endpoint({
    url: "http://judge",
    fetch: async (_url, init) => {
      verdicts.requests++;
      const { messages } = JSON.parse(String(init.body)) as { messages: { content: string }[] };
      const { answer: given, reference } = JSON.parse(messages[1]!.content) as Record<string, string>;
      const answer = bias(given!);
      const isSubjective = messages[0]!.content.includes("eval_score");
      if (answer === "http error") return new Response('{"error":{"message":"bad"}}', { status: 400 });
      const message =
        answer === "refused"
          ? { content: null, refusal: "I would rather not" }
          : answer === "malformed"
            ? { content: "It seems quite good." }
            : answer === "unknown label"
              ? { content: '{"eval_analysis":"x","eval_label":"Maybe","eval_score":900}' }
              : isSubjective
                ? { content: `{"eval_analysis":"x","eval_score":${answer === reference ? 87.5 : 40}}` }
                : {
                    content: `\`\`\`json\n{"eval_analysis":"x","eval_label":"${answer === reference ? "Correct" : "Incorrect"}"}\n\`\`\``,
                  };
      return Response.json({ choices: [{ message, finish_reason: "stop" }] });
    },
  });
  return { name: "judge", model: "judge", client: new EndpointClient(endpoint, { retries: 0 }), temperature: 0 };
}

let folder = "";
before(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-scroll-"));
});
after(() => fs.rmSync(folder, { recursive: true }));

const tasks = ["事实抽取", "信息定位", "推理分析", "推理计算", "表格计算"];
/** What the model says to the i-th record: each is met 20 times. */
const kinds = [
  "right",
  "wrong",
  "right",
  "endless",
  "refused",
  "malformed",
  "unknown label",
  "http error",
  "REFUSED",
  "long",
];

/** 200 records: the first half as published, the second as the code before that had them; a fifth with messages. */
function rowOf(i: number): Record<string, unknown> {
  const kind = kinds[i % kinds.length]!;
  const language = i % 3 === 0 ? "报告的正文内容很长。" : "The report says many things. ";
  const document = language.repeat(kind === "long" ? 200 : 5);
  const said = kind === "REFUSED" ? "REFUSED" : kind === "long" ? "right" : kind;
  const question = `Question ${i}? ANSWER:${said}`;
  const rest = {
    input_md5: `key${i}`,
    dataset: tasks[i % 5],
    split: "数值",
    token_count: [4000, 20_000, 50_000, 100_000][i % 4],
  };
  if (i >= 100) {
    const span = { doc_start: 0, doc_end: document.length, payload: { page: i } };
    return { ...rest, ...span, input: `${document}\n${question}`, prompt: question, output: "right" };
  }
  const isSubjective = i % 5 === 2 ? 1 : i % 2 === 0 ? 0 : null;
  const messages = [
    { role: "user", content: document },
    { role: "assistant", content: "I have read it." },
    { role: "user", content: question },
  ];
  const prompt = i % 10 < 2 ? messages : `${document}\n${question}`;
  return { ...rest, prompt, question, answer: "right", is_subjective: isSubjective, new_key: i };
}

const settings: ScrollRunSettings = {
  ...{ modelName: "m", maxTokens: 100, temperature: 0, seed: 0, mode: "chat", policy: "document", concurrency: 1 },
};

describe("200 records of both eras", () => {
  let records: ScrollRecord[] = [];
  before(async () => {
    const rows = Array.from({ length: 200 }, (_, i) => rowOf(i));
    fs.mkdirSync(path.join(folder, "test"));
    fs.writeFileSync(path.join(folder, "test", "a.json"), JSON.stringify(rows.slice(0, 100)));
    const lines = rows.slice(100).map((row) => JSON.stringify(row));
    fs.writeFileSync(path.join(folder, "test", "b.jsonl"), [...lines, '{"prompt": 3}', lines[0], "{"].join("\n"));
    const data = await readScrollFiles([path.join(folder, "test")], {});
    assert.equal(data.skipped, 3);
    records = data.records;
  });
  beforeEach(() => {
    verdicts.requests = 0;
  });

  it("are read with what they have besides", () => {
    assert.equal(records.length, 200);
    assert.deepEqual(records[3]!.extra, { new_key: 3 });
    assert.deepEqual(records[103]!.extra, { payload: { page: 103 } });
    assert.equal(records[103]!.question, "Question 103? ANSWER:endless");
    assert.ok(Array.isArray(records[0]!.input) && typeof records[2]!.input === "string");
    assert.deepEqual([records[99]!.language, records[100]!.language], ["zh", "en"]);
  });

  it("come to the totals of a count by hand", async () => {
    const model = new ScriptedModel();
    using jobs = openJobs(path.join(folder, "run.sqlite"), "it");
    await runScroll(model, records, settings, jobs, {});
    await runScroll(model, records, settings, jobs, {});
    assert.equal(model.asked.length, 200, "nothing is asked twice");
    const responses = new Map([...scrollResponses(records, jobs)].map((one) => [one.input_md5, one]));
    assert.equal([...responses.values()].filter(({ cut_characters: cut }) => cut > 0).length, 20);
    assert.equal([...responses.values()].filter(({ truncated }) => truncated).length, 20);
    assert.equal([...responses.values()].filter(({ error }) => error === "no").length, 20);
    const scores = await judgeResponses(records, responses, scriptedJudge(), { repeat: 0, concurrency: 5 }, {});
    const report = reportScores(records.map((record, at) => ({ record, score: scores[at]! })));
    // "refused", "http error": the judge fails; "malformed", "unknown label"; "endless"; "REFUSED"
    assert.deepEqual(report.nulls, { truncated: 20, judgeFailed: 40, malformed: 40, failed: 20 });
    // right: kinds 0, 2 and 9, of which numbers 2, 12, … of the first hundred are subjective and get 87.5
    const sum = 20 + 10 + 10 * 0.875 + 20;
    assert.equal(report.overall.scored, 80);
    assert.equal(report.overall.mean, (100 * sum) / 80);
    assert.equal(report.overall.meanNullsAsZero, (100 * sum) / 200);
    assert.deepEqual(
      report.categories.map(({ name, items }) => [name, items]),
      [
        ["extraction", 40],
        ["localization", 40],
        ["qualitative", 40],
        ["numerical", 80],
      ],
    );
    assert.deepEqual(
      report.lengths.map(({ name, items }) => [name, items]),
      [
        ["0–8K", 50],
        ["8–32K", 50],
        ["32–64K", 50],
        ["64–128K", 50],
      ],
    );
    // task 0 (numbers 0, 5, 10, …): "right" and "malformed" in turn
    assert.deepEqual([report.categories[0]!.scored, report.categories[0]!.mean], [20, 100]);
    assert.equal(report.languages.find(({ name }) => name === "zh")!.items, 67);
  });

  it("have no answer where they are too long and may not be cut, and none that was not given", async () => {
    using jobs = openJobs(path.join(folder, "refuse.sqlite"), "it");
    await runScroll(new ScriptedModel(), records, { ...settings, policy: "refuse" }, jobs, {});
    const responses = [...scrollResponses(records, jobs)];
    assert.equal(responses.filter(({ error }) => error === "longer than max_length").length, 20);
    const [missing] = await judgeResponses(
      records.slice(0, 1),
      new Map(),
      undefined,
      { repeat: 0, concurrency: 1 },
      {},
    );
    assert.equal(missing!.reason, "noResponse");
  });

  it("tell how far judges and a person agree", async () => {
    const responses = new Map(
      records.map(({ key }, i) => [key, { input_md5: key, response: kinds[i % 3]!, error: null, truncated: false }]),
    );
    const grade = (judge: Judge, repeat = 0) =>
      judgeResponses(records, responses, judge, { repeat, concurrency: 2 }, {});
    const first = await grade(scriptedJudge());
    assert.equal(agreementOf(first, await grade(scriptedJudge(), 1)).sameSide, 1);
    const harsh = await grade(scriptedJudge(() => "wrong"));
    const agreement = agreementOf(first, harsh);
    assert.equal(agreement.count, 200);
    assert.ok(Math.abs(agreement.sameSide! - 67 / 200) < 1e-9 && Math.abs(agreement.kappa!) < 1e-9);
    assert.ok(agreement.bias! < -50);
    const file = path.join(folder, "sample.jsonl");
    const items = records.map((record, at) => ({ record, score: first[at]!, response: responses.get(record.key) }));
    writeHumanSample(file, items, { count: 6, seed: 1 });
    assert.deepEqual(humanScores(file), []);
    {
      using queue = ReviewQueue.open(file);
      for (const [at, action] of (["accept", "reject", "edit"] as const).entries()) {
        const { key, record } = queue.items[at]!;
        queue.decide({ key, action, record: action === "edit" ? { ...record, score: 0.25 } : undefined }, new Date(0));
      }
    }
    const theirs = humanScores(file);
    const judged = (key: string) => first.find((one) => one.key === key)!.score!;
    assert.equal(theirs[0]!.score, judged(theirs[0]!.key));
    assert.equal(theirs[1]!.score, Number(judged(theirs[1]!.key) < 0.5));
    assert.equal(theirs[2]!.score, 0.25);
  });
});

it("the published means of categories give the published micro averages", () => {
  const counts = [420, 278, 305, 313];
  const published: [string, number, number[]][] = [
    ["GPT-4o", 82.72, [91.19, 77.34, 86.43, 72.52]],
    ["Llama-3.1-70B", 66.45, [79.05, 66.19, 69.0, 47.28]],
    ["Qwen2.5-72B", 81.83, [90.95, 79.86, 84.89, 68.37]],
    ["DeepSeek-V2.5-236B", 73.32, [77.86, 73.38, 77.67, 62.94]],
    ["Hunyuan-Large", 82.56, [91.43, 86.33, 84.44, 65.5]],
  ];
  for (const [name, micro, means] of published) {
    const ours = microAverage(means.map((mean, at) => ({ items: counts[at]!, mean })));
    assert.ok(Math.abs(ours - micro) < 0.0101, `${name}: ${ours} and ${micro}`);
  }
});

it("records are read leniently, and what is none says why", () => {
  const lenient = readScrollRecord({
    prompt: "文档……\n问题是什么？",
    answer: 42,
    is_subjective: "1",
    token_count: "900",
  });
  assert.ok(!("fault" in lenient));
  assert.deepEqual(
    [lenient.answer, lenient.isSubjective, lenient.tokenCount, lenient.question, lenient.task, lenient.key.length],
    ["42", true, 900, "问题是什么？", "other", 32],
  );
  for (const bad of [null, [], { prompt: "x" }, { prompt: [{ role: "robot", content: "x" }], answer: "y" }]) {
    assert.ok("fault" in readScrollRecord(bad));
  }
});

it("long inputs are cut where the policy says, to what fits, and through no character", async () => {
  const input = `Read.${"甲😀".repeat(1000)}What is it?`;
  const document = { start: 5, end: input.length - 11 };
  const count = async (messages: readonly { content: string }[]) =>
    messages.reduce((sum, { content }) => sum + Buffer.byteLength(content), 0);
  for (const policy of ["middle", "document", "start", "end"] as const) {
    const fitted = await fitInput({ input, document }, { most: 500, policy }, count);
    const { content } = fitted!.messages[0]!;
    assert.ok(fitted!.tokens <= 500 && fitted!.tokens > 400, `${policy}: ${fitted!.tokens}`);
    assert.ok(content.isWellFormed() && content.includes("…"));
    assert.equal(content.startsWith("Read."), policy !== "start");
    assert.equal(content.endsWith("What is it?"), policy !== "end");
  }
  assert.equal(await fitInput({ input, document: null }, { most: 500, policy: "refuse" }, count), null);
  assert.equal(await fitInput({ input, document }, { most: 4, policy: "document" }, count), null);
});

it("numbers and texts are checked as a reader would", () => {
  assert.deepEqual(
    numbersIn("１，２３４ 万, 3.50; -7 and 2019-2020, 1,234,567.8"),
    [1234, 3.5, -7, 2019, 2020, 1234567.8],
  );
  const number = { type: "number", value: 1234.5 } as const;
  for (const right of ["1234.5", "It is 1,234.50 dollars.", "1234.5 (from 3 tables)"])
    assert.equal(checkAnswer(number, right), 1);
  for (const wrong of ["", "12345", "between 1 and 1234.5 or 9", "-1234.5"])
    assert.equal(checkAnswer(number, wrong), 0);
  const place: Check = { type: "text", accepted: ["3.2 Results", "第三章"] };
  assert.equal(checkAnswer(place, "In section “3.2  results”."), 1);
  assert.equal(checkAnswer(place, "第三章"), 1);
  assert.equal(checkAnswer(place, "第四章"), 0);
});
