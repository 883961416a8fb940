import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import {
  completionOf,
  roleOf,
  type ScriptedBody,
  scriptedAnswer,
  scriptedFetch,
} from "../../test/scripted-endpoint.ts";
import { readConversation } from "../data/chat.ts";
import { readFileRecords } from "../data/files.ts";
import { ReviewQueue } from "../review/queue.ts";
import { type SynthOptionsInput, synthOptionsSchema } from "./options.ts";
import type { SynthRecord } from "./record.ts";
import { readRecords } from "./run-files.ts";
import { synthesize } from "./synthesize.ts";

let folder = "";
before(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-synth-"));
  const paragraph = (words: string) => `${words} `.repeat(12);
  for (const [name, text] of [
    ["tides.txt", paragraph("The tide rises and falls with the moon, and harbors live by its hours.")],
    [
      "ships.txt",
      `# Ships\n\n${paragraph("A ship of wood is caulked with tar each spring.")}\n\n## Sails\n\n${paragraph("Canvas holds.")}`,
    ],
    ["wells.md", `# Wells\n\n${paragraph("A well is dug in autumn, when the water is low.")}`],
    ["茶.txt", "茶树生长在多雾的山坡上，春天采下的嫩叶最好。".repeat(20)],
    ["sort.py", `def sort(items):\n${'    items.append("one more line of code")\n'.repeat(20)}`],
  ] as const) {
    fs.writeFileSync(path.join(folder, name), text);
  }
  const questions = [
    { question: "How many legs has a spider?", answer: "8" },
    { question: "Which metal is liquid at room temperature?", answer: "mercury" },
    { nothing: true },
  ];
  fs.writeFileSync(path.join(folder, "qa.jsonl"), questions.map((one) => `${JSON.stringify(one)}\n`).join(""));
});
after(() => fs.rmSync(folder, { recursive: true, force: true }));

let runs = 0;
function optionsOf(more: SynthOptionsInput = {}) {
  const inFolder = (name: string) => path.join(folder, name);
  return synthOptionsSchema.parse({
    name: `run-${++runs}`,
    runsFolder: path.join(folder, "runs"),
    records: 60,
    seeds: [
      { path: inFolder("tides.txt"), domain: "nature" },
      { path: inFolder("ships.txt"), domain: "craft" },
      { path: inFolder("茶.txt"), domain: "nature" },
      { path: inFolder("sort.py"), domain: "code" },
    ],
    mixture: { domains: { nature: 3, craft: 2, code: 1 }, languages: { en: 2, zh: 1 } },
    endpoints: { table: { url: "http://table", concurrency: 8, price: { promptPerMillion: 1, answerPerMillion: 2 } } },
    roles: { generator: "table", critic: "table" },
    generate: { forms: ["explain", "fact"] },
    answer: { samples: 3 },
    ...more,
  });
}

async function recordsOf(file: string): Promise<SynthRecord[]> {
  return await Array.fromAsync(readRecords(file));
}

const shareOf = (records: readonly SynthRecord[], test: (record: SynthRecord) => boolean) =>
  records.filter(test).length / records.length;

describe("synthesis", () => {
  it("goes from documents to conversations, and every record tells where it is from and what became of it", async () => {
    const result = await synthesize(optionsOf(), { fetch: scriptedFetch() });
    const records = await recordsOf(result.recordsFile);
    assert.equal(records.length, result.records);
    const made = records.filter(({ parentId }) => parentId === null);
    assert.equal(made.length, 60);
    assert.equal(new Set(records.map(({ id }) => id)).size, records.length);
    assert.ok(Math.abs(shareOf(made, ({ domain }) => domain === "nature") - 1 / 2) < 0.05);
    assert.ok(Math.abs(shareOf(made, ({ domain }) => domain === "craft") - 1 / 3) < 0.05);
    assert.ok(Math.abs(shareOf(made, ({ language }) => language === "zh") - 1 / 3) < 0.05);
    assert.deepEqual(result.targets.languages, { en: 2 / 3, zh: 1 / 3 });
    for (const { kept, rejected, review } of records) {
      assert.equal([kept, rejected, review].filter((one) => one !== undefined).length, 1);
    }
    const evolved = records.filter(({ parentId }) => parentId !== null);
    assert.ok(evolved.length > 15, `${evolved.length} of 60 evolved`);
    const parents = new Map(made.map((record) => [record.id, record]));
    assert.ok(evolved.every(({ parentId, seed }) => parents.get(parentId!)!.seed === seed));
    assert.ok(records.some(({ rejected }) => rejected?.step === "evolve" && rejected.reason === "lost-task"));
    assert.ok(records.some(({ rejected }) => rejected?.step === "filter" && rejected.reason === "lowTier"));
    const facts = records.filter(({ answerKind, rejected }) => answerKind === "phrase" && rejected?.step !== "evolve");
    assert.ok(facts.length > 0 && facts.every(({ answers }) => answers.length === 3));
    assert.equal(result.spent.money, (result.spent.promptTokens + 2 * result.spent.answerTokens) / 1e6);

    const lines = fs.readFileSync(result.dataFile, "utf8").trimEnd().split("\n");
    assert.equal(lines.length, result.kept);
    const problem = (_kind: string, _line: number | null, what: string) => assert.fail(what);
    const fromParquet = await Array.fromAsync(readFileRecords(result.parquetFile, problem));
    assert.equal(fromParquet.length, lines.length);
    for (const [index, line] of lines.entries()) {
      assert.ok("value" in readConversation(JSON.parse(line)));
      assert.deepEqual(fromParquet[index]!.record, JSON.parse(line));
    }
  });

  it("gives the same set whatever is slow, and after a stop asks for nothing again", async () => {
    const calm = await synthesize(optionsOf(), { fetch: scriptedFetch() });
    const expected = fs.readFileSync(calm.recordsFile, "utf8");
    const asked: string[] = [];
    const slow = async (url: string, init: RequestInit) => {
      const answer = scriptedFetch((body) => void asked.push(JSON.stringify(body)))(url, init);
      for (let turns = asked.length % 7; turns > 0; turns--) await new Promise(setImmediate);
      return answer;
    };
    const options = optionsOf();
    const controller = new AbortController();
    const first = synthesize(options, {
      fetch: slow,
      signal: controller.signal,
      onEvent: (event) => {
        if (event.type === "progress" && event.what === "synthesis" && event.done > 80) controller.abort();
      },
    });
    await assert.rejects(first, {
      code: "INTERRUPTED",
      hint: `go on with: rookery synth run --resume --name ${options.name} --runs-folder ${options.runsFolder}`,
    });
    const resumed = await synthesize({ ...options, resume: true }, { fetch: slow });
    assert.ok(fs.readFileSync(resumed.recordsFile, "utf8") === expected);
    const again = asked.length - new Set(asked).size;
    assert.ok(again <= 8, `${again} requests were under way when it stopped`);
    const before = asked.length;
    await synthesize({ ...options, resume: true }, { fetch: slow });
    assert.equal(asked.length, before, "a run that is complete asks nobody");
    assert.ok(fs.readFileSync(resumed.recordsFile, "utf8") === expected);
  });

  it("sorts out what an endpoint makes of it, with the reason", async () => {
    const faults: Record<string, (body: ScriptedBody, count: number) => string | undefined> = {
      generate: (_, count) =>
        [
          "I cannot do that.",
          '{"instructions": ["According to the passage, what rises?", "Why?", "为什么海水会涨落，月亮起了什么作用？", "I\'m sorry, but no."]}',
        ][count % 4],
      evolve: ({ messages }, count) => {
        const instruction = /<instruction>\n(.*)\n<\/instruction>/.exec(messages.at(-1)!.content)?.[1];
        return count % 2 ? JSON.stringify({ instruction }) : '{"instruction": "What does the given prompt ask for?"}';
      },
    };
    const counts: Record<string, number> = {};
    const fetch = scriptedFetch((body) => {
      const role = roleOf(body);
      counts[role] = (counts[role] ?? 0) + 1;
      const text = faults[role]?.(body, counts[role]);
      return text === undefined ? undefined : Response.json(completionOf(text));
    });
    const options = optionsOf({
      mixture: { languages: { en: 1 } },
      generate: { perRequest: 4, forms: ["explain"] },
      evolve: { share: 1 },
    });
    const { reasons, instructions } = await synthesize(options, { fetch });
    for (const reason of [
      ...["malformed", "refers-to-source", "wrong-language", "refusal"].map((one) => `generate: ${one}`),
      ...["unchanged", "refers-to-prompt"].map((one) => `evolve: ${one}`),
    ]) {
      assert.ok(reasons[reason]! > 0, `${reason} of ${JSON.stringify(reasons)}`);
    }
    // a request for four is malformed, gives three that are rejected and one that is not, or gives one when asked a second time
    const { wanted, unanswered, leftOut, rejected, usable, ...rest } = instructions!;
    assert.deepEqual(rest, { withoutSeed: 0, waiting: 0 });
    assert.ok(leftOut > 0 && leftOut % 3 === 0, String(leftOut));
    assert.equal(unanswered, 4 * reasons["generate: malformed"]!);
    assert.equal(
      rejected,
      reasons["generate: refers-to-source"]! + reasons["generate: wrong-language"]! + reasons["generate: refusal"]!,
    );
    assert.deepEqual([wanted, unanswered + leftOut + rejected + usable], [60, 60]);
  });

  it("asks questions as they are, and keeps their answers as the truth", async () => {
    const options = optionsOf({
      seeds: [{ path: path.join(folder, "qa.jsonl"), kind: "questions" }],
      mixture: {},
      evolve: { share: 1 },
    });
    const { recordsFile, instructions } = await synthesize(options, { fetch: scriptedFetch() });
    const none = { waiting: 0, unanswered: 0, leftOut: 0, rejected: 0 };
    assert.deepEqual(instructions, { wanted: 60, withoutSeed: 58, ...none, usable: 2 });
    const records = await recordsOf(recordsFile);
    assert.deepEqual(records.map(({ instruction, truth, answerKind }) => [instruction, truth, answerKind]).sort(), [
      ["How many legs has a spider?", "8", "number"],
      ["Which metal is liquid at room temperature?", "mercury", "phrase"],
    ]);
  });

  it("names domains where sources do not", async () => {
    const options = optionsOf({
      seeds: [{ path: folder, domain: "auto" }],
      mixture: { domains: { first: 1, second: 1e-9 } },
      records: 9,
    });
    const { recordsFile } = await synthesize(options, { fetch: scriptedFetch() });
    assert.deepEqual(new Set((await recordsOf(recordsFile)).map(({ domain }) => domain)), new Set(["first"]));
  });

  it("works with the verifier alone, without any endpoint, and with models over its tasks", async () => {
    const tasks = { records: 200, families: ["arithmetic", "word-problems"] };
    const alone = await synthesize(optionsOf({ seeds: [], roles: {}, endpoints: {}, mixture: {}, tasks }));
    const records = await recordsOf(alone.recordsFile);
    assert.equal(records.length, 200);
    assert.ok(records.every(({ answers, truth }) => answers[0]!.text === truth && answers[0]!.endpoint === "verifier"));
    assert.ok(alone.kept > 150, String(alone.kept));
    const asked = optionsOf({ seeds: [], mixture: {}, tasks: { ...tasks, records: 20, answeredBy: "models" } });
    const byModels = await recordsOf((await synthesize(asked, { fetch: scriptedFetch() })).recordsFile);
    assert.ok(byModels.every(({ answers, truth }) => answers[0]?.endpoint === "table" && truth !== undefined));
  });

  it("stops at its budget with a data set, and goes on with a larger one to the same end", async () => {
    const answer = { samples: 3, maxTokens: 100 };
    const whole = await synthesize(optionsOf({ answer }), { fetch: scriptedFetch() });
    const budgetTokens = Math.floor((whole.spent.promptTokens + whole.spent.answerTokens) / 2);
    const options = optionsOf({ budgetTokens, answer });
    await assert.rejects(synthesize(options, { fetch: scriptedFetch() }), { code: "BUDGET_SPENT", exitCode: 4 });
    const summary = JSON.parse(fs.readFileSync(path.join(options.runsFolder, options.name!, "summary.json"), "utf8"));
    const spent = summary.spent.promptTokens + summary.spent.answerTokens;
    assert.ok(spent <= budgetTokens && spent > budgetTokens - 2500, `${spent} of ${budgetTokens}`);
    assert.ok(summary.kept > 0 && summary.kept < whole.kept && !summary.isComplete);
    assert.ok(summary.instructions.waiting > 0 && summary.instructions.usable < whole.instructions!.usable);
    const resumed = await synthesize({ ...options, budgetTokens: 1e9, resume: true }, { fetch: scriptedFetch() });
    assert.ok(fs.readFileSync(resumed.recordsFile).equals(fs.readFileSync(whole.recordsFile)));
  });

  it("tells what failed at a server that is down now and then, and tries it again when resumed", async () => {
    const options = optionsOf({ endpoints: { table: { url: "http://table", retries: 0 } } });
    let count = 0;
    const fetch = scriptedFetch((body) =>
      roleOf(body) === "answer" && ++count % 5 === 0 ? new Response("", { status: 500 }) : undefined,
    );
    const first = await synthesize(options, { fetch });
    assert.ok(first.failedSteps > 0);
    assert.equal(first.reasons["answer: endpoint-failed"], first.failedSteps);
    const second = await synthesize({ ...options, resume: true }, { fetch: scriptedFetch() });
    assert.equal(second.failedSteps, 0);
    const gone = optionsOf({ endpoints: { table: { url: "http://table", retries: 0, model: "m" } } });
    const nobody = scriptedFetch(() => new Response("", { status: 500 }));
    await assert.rejects(synthesize(gone, { fetch: nobody }), {
      code: "ENDPOINT_FAILED",
      hint: "see to the server, then go on",
    });
  });

  it("takes in what a person decides of the doubtful", async () => {
    const fetch = scriptedFetch((body) => {
      if (roleOf(body) !== "critique") return undefined;
      return Response.json(completionOf(scriptedAnswer(body).replace('"tier":4', '"tier":2')));
    });
    const options = optionsOf({ records: 12, evolve: { share: 0 } });
    const first = await synthesize(options, { fetch });
    assert.ok(first.review > 3);
    {
      using queue = ReviewQueue.open(first.reviewFile!);
      const [accept, reject, edit] = queue.items;
      queue.decide({ key: accept!.key, action: "accept" }, new Date(0));
      queue.decide({ key: reject!.key, action: "reject" }, new Date(0));
      const messages = [
        ...(edit!.record.messages as object[]).slice(0, 1),
        { role: "assistant", content: "a better answer" },
      ];
      queue.decide({ key: edit!.key, action: "edit", record: { ...edit!.record, messages } }, new Date(0));
    }
    const second = await synthesize({ ...options, resume: true }, { fetch });
    assert.deepEqual([second.kept, second.review, second.reasons["filter: reviewer"]], [2, first.review - 3, 1]);
    assert.match(fs.readFileSync(second.dataFile, "utf8"), /a better answer/);
  });

  it("lets nothing through that a person accepts and an evaluation set holds", async () => {
    const fetch = scriptedFetch((body) => {
      if (roleOf(body) !== "critique") return undefined;
      return Response.json(completionOf(scriptedAnswer(body).replace('"tier":4', '"tier":2')));
    });
    const options = optionsOf({ records: 12, evolve: { share: 0 } });
    const { reviewFile } = await synthesize(options, { fetch });
    const held = path.join(folder, "held.jsonl");
    {
      using queue = ReviewQueue.open(reviewFile!);
      const [first, second] = queue.items;
      for (const { key } of [first!, second!]) queue.decide({ key, action: "accept" }, new Date(0));
      const [{ content }] = first!.record.messages as [{ content: string }];
      fs.writeFileSync(held, JSON.stringify({ question: content }));
    }
    const filters = { ...options.filters, evaluationSets: [{ name: "held", path: held }] };
    const { kept, reasons } = await synthesize({ ...options, filters, resume: true, config: "given again" }, { fetch });
    assert.deepEqual([kept, reasons["filter: contaminated"]], [1, 1]);
  });

  it("ends with what the server says where it never answers, and begins there when it does", async () => {
    const calm = await synthesize(optionsOf(), { fetch: scriptedFetch() });
    for (const records of [3, 60]) {
      const options = optionsOf({ records });
      const message = "max_tokens is not supported";
      const never = scriptedFetch(() => Response.json({ error: { message } }, { status: 400 }));
      await assert.rejects(synthesize(options, { fetch: never }), {
        code: "ENDPOINT_FAILED",
        message: RegExp(message),
      });
      const { recordsFile, failure } = await synthesize({ ...options, resume: true }, { fetch: scriptedFetch() });
      assert.equal(failure, null);
      if (records === 60) assert.ok(fs.readFileSync(recordsFile).equals(fs.readFileSync(calm.recordsFile)));
    }
  });

  it("hears a stop while it writes, too, and leaves nothing half-written then or when it is killed", async () => {
    const tasks = { records: 300, families: ["arithmetic"] };
    const options = optionsOf({ seeds: [], roles: {}, endpoints: {}, mixture: {}, tasks });
    const controller = new AbortController();
    const stopped = synthesize(options, {
      signal: controller.signal,
      onEvent: (event) => {
        if (event.type === "progress" && event.what === "filtering") controller.abort();
      },
    });
    await assert.rejects(stopped, { code: "INTERRUPTED" });
    const runFolder = path.join(options.runsFolder, options.name!);
    assert.deepEqual(fs.readdirSync(runFolder).sort(), ["config.json", "synth.sqlite"]);
    fs.writeFileSync(path.join(runFolder, ".data.jsonl.tmp-4194303-1-1-1"), "of a process that is gone");
    const { records, dataFile } = await synthesize({ ...options, resume: true });
    assert.equal(records, 300);
    const left = fs.readdirSync(path.dirname(dataFile)).sort();
    assert.deepEqual(left, [
      "config.json",
      "data.jsonl",
      "data.parquet",
      "records.jsonl",
      "summary.json",
      "synth.sqlite",
    ]);
  });

  it("refuses what cannot work in one line, and leaves nothing of it", async () => {
    const cases: [SynthOptionsInput, RegExp][] = [
      [{ roles: { generator: "tabel" } }, /names the endpoint "tabel"/],
      [{ roles: {} }, /no endpoint has the role of the generator/],
      [{ seeds: [] }, /there are no seeds/],
      [{ seeds: [{ path: path.join(folder, "none.txt") }] }, /none\.txt/],
      [{ mixture: { domains: { law: 1 } } }, /no seed is of the domain "law"/],
      [{ seeds: [{ path: folder, domain: "auto" }], mixture: {} }, /mixture.domains names none/],
      [{ name: "../x" }, /cannot be the name of a run/],
      [{ name: "run-1" }, /already there/],
      [{ name: "nothing", resume: true }, /there is no run "nothing"/],
    ];
    const names = () => fs.readdirSync(path.join(folder, "runs"));
    const before = names();
    for (const [more, message] of cases)
      await assert.rejects(synthesize(optionsOf(more), { fetch: scriptedFetch() }), { message });
    assert.deepEqual(names(), before);
    const options = optionsOf({ records: 3 });
    await synthesize(options, { fetch: scriptedFetch() });
    const changed = { ...options, resume: true, records: 4, config: "given again" };
    await assert.rejects(synthesize(changed, { fetch: scriptedFetch() }), /was begun with records "3", not "4"/);
  });
});
