import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, describe, it } from "node:test";
import { PythonRandom } from "../data/python-random.ts";
import type { Row } from "../data/rows.ts";
import { placeOf } from "../data/splits.ts";
import { loadTask, taskNames } from "./catalog.ts";
import { arcChallenge, hellaswag, winogrande } from "./choice-tasks.ts";
import type { TaskDefinition } from "./definition.ts";
import { keepsInstruction } from "./ifeval.ts";
import { makeItems } from "./items.ts";
import { finalAnswer, sameMathAnswer } from "./math-answer.ts";
import { plainAnswer, wordF1 } from "./scorers.ts";
import { compileTemplate } from "./template.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-tasks-"));
after(() => fs.rmSync(folder, { recursive: true }));

function file(name: string, content: string | readonly object[]): string {
  const target = path.join(folder, name);
  const text = typeof content === "string" ? content : content.map((row) => JSON.stringify(row)).join("\n");
  fs.writeFileSync(target, text);
  return target;
}
const plainOptions = { seed: 1234, isChat: false, shots: 0 };
async function only(task: TaskDefinition, row: Row) {
  const data = file("only.jsonl", [row]);
  const [item] = await makeItems(task, [{ split: task.splits.test[0]!, part: "", file: data }], plainOptions);
  return item!;
}

it("samples as CPython's random does", () => {
  const random = new PythonRandom(1234);
  assert.deepEqual(random.sample(30, 5), [24, 14, 3, 0, 2]);
  assert.deepEqual(random.sample(21, 5), [18, 1, 2, 3, 11]);
  assert.deepEqual(random.sample(100, 10), [30, 2, 3, 44, 82, 79, 61, 78, 59, 19]);
  random.sample(1000, 25);
  assert.deepEqual(random.sample(3, 3), [2, 0, 1]);
  assert.deepEqual(random.sample(5000, 4), [3940, 2910, 2182, 2041]);
  assert.deepEqual(new PythonRandom(2 ** 32 - 1).sample(30, 5), [20, 19, 6, 16, 9]);
});

it("finds splits and subjects in the layouts in which data sets are published", () => {
  const places: [string, string, string][] = [
    ["anatomy/test-00000-of-00001.parquet", "test", "anatomy"],
    ["data/dev/high_school_biology_dev.csv", "dev", "high_school_biology"],
    ["test/law.csv", "test", "law"],
    ["data/validation-00000-of-00002.parquet", "validation", ""],
    ["hellaswag_val.jsonl", "val", "hellaswag"],
    ["ARC-V1-Feb2018-2/ARC-Challenge/ARC-Challenge-Test.jsonl", "test", "ARC-Challenge"],
    ["winogrande_xl/train-00000-of-00001.parquet", "train", "winogrande_xl"],
    ["MATH/test/algebra/17.json", "test", "algebra"],
    ["valid.jsonl", "valid", ""],
  ];
  for (const [name, split, part] of places) assert.deepEqual(placeOf(name), { split, part }, name);
  assert.equal(placeOf("contest.jsonl"), undefined);
});

describe("questions", () => {
  it("of HellaSwag, ARC and WinoGrande are put as published rows ask", async () => {
    const first = await only(hellaswag, {
      ...{ activity_label: "Warming", ctx_a: "A penguin [x] waits.", ctx_b: "the ÉLAN", label: "1" },
      endings: ["goes [title] Home", "🐧 stays"],
    });
    assert.ok(first.kind === "choice");
    assert.equal(first.contexts[0], "Warming: A penguin waits. The élan");
    assert.deepEqual(
      [first.continuations, first.lengths],
      [
        [" goes. Home", " 🐧 stays"],
        [10, 7],
      ],
    );
    const question = {
      stem: "Why?",
      choices: [
        { text: "ice", label: "1" },
        { text: "sun", label: "2" },
      ],
    };
    const second = await only(arcChallenge, { question, answerKey: "2" });
    assert.ok(second.kind === "choice");
    assert.deepEqual([second.contexts[0], second.gold], ["Question: Why?\nAnswer:", 1]);
    const third = await only(winogrande, {
      sentence: "Ice met sun; _ won. ",
      option1: "Ice",
      option2: "sun",
      answer: "2",
    });
    assert.ok(third.kind === "choice");
    assert.deepEqual(third.contexts, ["Ice met sun; Ice", "Ice met sun; sun"]);
    assert.deepEqual([third.continuations, third.gold], [[" won.", " won."], 1]);
  });

  it("of own files have shots before them, in a chat as turns", async () => {
    const yaml = [
      "name: capitals",
      "data: {test: asked.jsonl, shots: shown.csv}",
      "shots: 2",
      "draw: first",
      "kind: generate",
      'prompt: "问：{{question | trim}}\\n答："',
      'target: "{{answer}}"',
      "description: Cities.",
      'stop: ["\\n"]',
      "metrics: [plain_match, f1]",
    ];
    file("asked.jsonl", [{ question: " 中国？", answer: "北京" }]);
    file("shown.csv", 'question,answer\n"France, where?",Paris\nItaly?,Rome\nSpain?,Madrid\n');
    const { task, data } = await loadTask(file("capitals.yaml", yaml.join("\n")));
    assert.ok(typeof data === "object");
    const files = [
      { split: "test", part: "", file: data.test[0]! },
      { split: "shots", part: "", file: data.shots[0]! },
    ];
    const [item] = await makeItems(task, files, { seed: 1, isChat: false });
    assert.ok(item!.kind === "generate");
    assert.equal(item!.prompt, "Cities.问：France, where?\n答： Paris\n\n问：Italy?\n答： Rome\n\n问：中国？\n答：");
    const [chat] = await makeItems(task, files, { seed: 1, isChat: true, shots: 1 });
    assert.ok(chat!.kind === "generate" && typeof chat!.prompt !== "string");
    assert.deepEqual(
      chat!.prompt.map(({ role }) => role),
      ["system", "user", "assistant", "user"],
    );
    assert.ok(task.kind === "generate");
    const about = { row: {}, references: item!.references };
    assert.equal(await task.scorers[0]!.score(" 北京。", about, { signal: undefined, allowUncontained: false }), 1);
  });

  it("of a TypeScript file", async () => {
    const definition = path.join(import.meta.dirname, "definition.ts");
    const source = `import { defineTask } from ${JSON.stringify(definition)};
      export const data = "sums.jsonl";
      export default defineTask({ name: "sums", title: "Sums", kind: "generate", splits: { test: ["test"] },
        shots: { count: 0, draw: "first" }, prompt: (row) => row.a + "+1=", target: () => "", references: (row) => [String(Number(row.a) + 1)],
        stop: [], maxTokens: 4, scorers: [{ name: "right", score: (answer, { references }) => Number(answer === references[0]) }] });`;
    file("sums.jsonl", [{ a: 4 }]);
    const { task, data } = await loadTask(file("sums.ts", source));
    assert.equal(data, path.join(folder, "sums.jsonl"));
    const [item] = await makeItems(task, [{ split: "test", part: "", file: data as string }], plainOptions);
    assert.ok(item!.kind === "generate");
    assert.deepEqual([item!.prompt, item!.references], ["4+1=", ["5"]]);
  });

  it("of the tasks that are shipped in YAML", async () => {
    const rows: Record<string, Row> = {
      commonsenseqa: { question: "Where?", choices: { label: ["A", "B"], text: ["ice", "sun"] }, answerKey: "B" },
      c3: {
        context: ["甲：冷吗？", "乙：冷。"],
        questions: { question: ["天气？"], choice: [["冷", "热"]], answer: ["冷"] },
      },
      bbh: { input: "not True is", target: "False" },
      drop: { passage: "Two won.", question: "How many?", answers_spans: { spans: ["2", "two"], types: ["number"] } },
      mbpp: { text: "Add.", code: "def f(): pass", test_list: ["assert f() is None"] },
      cmath: { question: "1+1", golden: "2" },
      nq: { question: "who", answer: ["me"] },
      triviaqa: { question: "Who?", answer: { aliases: ["Me", "I"], value: "Me" } },
      mmlu_pro: { question: "Q", options: ["a", "b"], answer: "B", cot_content: "A: Let's see. The answer is (B)." },
    };
    for (const name of taskNames()) {
      const { task } = await loadTask(name);
      assert.equal(task.name, name);
      const row = rows[name];
      if (!row) continue;
      const item = await only(task, row);
      if (item.kind === "choice") assert.equal(item.gold, name === "c3" ? 0 : 1);
      else assert.ok(item.references.length > 0 || name === "mbpp");
    }
    const seen = Object.keys(rows);
    assert.deepEqual(
      seen.filter((name) => !taskNames().includes(name)),
      [],
    );
  });

  it("with a mistake in their file are refused, naming the key", async () => {
    const refused = async (yaml: string, message: RegExp) =>
      assert.rejects(loadTask(file("bad.yaml", yaml)), (error: Error) => {
        assert.match(error.message, message);
        return error.name === "RookeryError";
      });
    const rest = 'name: a\nkind: generate\nprompt: "{{q}}"\n';
    await refused(`${rest}promt: x\n`, /unknown key "promt"/);
    await refused(rest, /needs a target or references/);
    await refused(`${rest}target: "{{a | uper}}"\n`, /the filter "uper"/);
    await refused(`${rest}target: x\nmetrics: [bleu]\n`, /metrics/);
    await refused("name: a\nkind: choice\nprompt: x\n", /a choice needs choices and answer/);
    await refused("a: [", /is no YAML/);
  });
});

it("templates keep values, and filter them", () => {
  const row = { a: " x ", list: ["p", "q"], deep: { b: 3 }, key: "q", answer: "4+4\n#### 8" };
  const cases: [string, unknown][] = [
    ["{{list}}", ["p", "q"]],
    ["<{{a | trim}}>", "<x>"],
    ["{{deep.b}} {{list.1}}", "3 q"],
    ["{{list | lettered}}", "A. p\nB. q"],
    ["{{key | position:list}}", 1],
    ["{{answer | after:#### }}", "8"],
    ["{{list | join:; }}.", "p;q."],
  ];
  for (const [source, expected] of cases) assert.deepEqual(compileTemplate(source)(row), expected, source);
  assert.throws(() => compileTemplate("{{gone}}")(row), { code: "BAD_DATA", message: /no column "gone"/ });
  assert.throws(() => compileTemplate("{{__proto__.x}}")(row), { code: "BAD_DATA" });
});

it("mathematical answers are the same however they are typeset", () => {
  const same: [string, string][] = [
    ["so \\boxed{\\dfrac{1}{2}}.", "\\boxed{\\frac12}"],
    ["\\boxed{0.5}", "$\\frac{1}{2}$"],
    ["The answer is $1{,}000$.", "1000"].map((text) => text.replace("{,}", ",")) as [string, string],
    ["x = 5", "\\boxed{5}"],
    ["\\boxed{\\left(3, \\frac{\\pi}{2}\\right)}", "\\boxed{(3,\\frac{\\pi}{2})}"],
    ["\\boxed{90^\\circ}", "90"],
    ["\\boxed{\\text{Evelyn}}", "Evelyn"],
    ["答案是 12。", "12"],
    ["\\boxed{10\\%}", "10"],
    ["\\boxed{3.0}", "3"],
    ["\\boxed{\\sqrt2}", "\\sqrt{2}"],
  ];
  for (const [a, b] of same) assert.ok(sameMathAnswer(a, b), `${a} and ${b}`);
  for (const [a, b] of [
    ["5", "50"],
    ["\\boxed{\\frac{1}{3}}", "0.33"],
    ["(1,2)", "(2,1)"],
    ["-3", "3"],
  ] as const) {
    assert.ok(!sameMathAnswer(a, b), `${a} and ${b}`);
  }
  assert.equal(finalAnswer("first \\boxed{1}, then \\boxed{a{b}c}"), "a{b}c");
});

it("plain answers lose case, articles and punctuation; words of Chinese are characters", () => {
  assert.equal(plainAnswer("The  Cold, sea!"), "cold sea");
  const f1 = (answer: string, reference: string) =>
    wordF1.score(answer, { row: {}, references: [reference] }, { signal: undefined, allowUncontained: false });
  assert.equal(f1("the cold sea", "cold water"), 0.5);
  assert.equal(f1("北京市", "北京"), 0.8);
  assert.equal(f1("", "x"), 0);
});

it("instructions are checked", async () => {
  const cases: [string, string, object, boolean][] = [
    ["punctuation:no_comma", "no comma here", {}, true],
    ["punctuation:no_comma", "one, two", {}, false],
    ["length_constraints:number_words", "one two three", { relation: "less than", num_words: 4 }, true],
    ["keywords:frequency", "ice Ice iced", { relation: "at least", keyword: "ice", frequency: 3 }, true],
    ["keywords:forbidden_words", "iced tea", { forbidden_words: ["ice"] }, true],
    ["detectable_format:number_bullet_lists", "* a\n- b\nc", { num_bullets: 2 }, true],
    ["detectable_format:json_format", '```json\n{"a": 1}\n```', {}, true],
    ["detectable_format:title", "<<Ice>>\n…", {}, true],
    ["startend:end_checker", "All. Any more?", { end_phrase: "any more?" }, true],
    ["startend:quotation", '"whole"', {}, true],
    ["combination:two_responses", "a\n******\nb", {}, true],
    ["combination:two_responses", "a\n******\na", {}, false],
    ["change_case:english_lowercase", "the penguins of the rookery are cold", {}, true],
    ["change_case:english_capital", "The Penguins", {}, false],
    ["punctuation:no_comma", "", {}, false],
  ];
  for (const [kind, text, given, expected] of cases) {
    assert.equal(await keepsInstruction(kind, text, given as Record<string, unknown>), expected, `${kind}: ${text}`);
  }
  await assert.rejects(keepsInstruction("new:kind", "x", {}), { code: "BAD_DATA" });
});
