import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Draws } from "../../tasks/random.ts";
import { BpeTrainer } from "../../text/bpe-trainer.ts";
import { Tokenizer } from "../../text/tokenizer.ts";
import { idealAnswer, type TokenCounter } from "./fit.ts";
import { haystackLanguages } from "./item.ts";
import { generatedProse, textProse } from "./prose.ts";
import { hotpotQuestions, madeUpQuestions, squadQuestions } from "./question-sets.ts";
import { effectiveLengthOf, scoreAnswer, summarizeRuler } from "./score.ts";
import { RulerItems, rulerTaskNamed, rulerTasks } from "./tasks.ts";

/** A tokenizer that knows the kind of text, as a model's does. */
function trainedTokenizer(): Tokenizer {
  const trainer = new BpeTrainer();
  for (const language of haystackLanguages) {
    const { sentence, separator } = generatedProse(language, 99);
    trainer.add(Array.from({ length: 2000 }, (_, index) => sentence(index)).join(separator));
  }
  trainer.add("One of the special magic numbers for quiet-otter is: 1234567. ".repeat(20));
  return Tokenizer.fromTraining(trainer.train({ vocabularySize: 3000 }));
}

const tokenizer = trainedTokenizer();
const count = async (text: string) => (await tokenizer.encodeText(text)).length;
const counter: TokenCounter = { text: count, prompt: ({ input, answerPrefix }) => count(input + answerPrefix) };

const isLong = process.env.ROOKERY_LONG_TESTS === "1";
const lengths = isLong
  ? [512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536, 131_072, 262_144]
  : [512, 1024, 4096, 8192];

for (const task of rulerTasks) {
  for (const language of haystackLanguages) {
    test(`${task.name} in ${language}: answers in the prompt, lengths filled, ideal and empty readers`, async () => {
      for (const length of lengths) {
        const items = new RulerItems(task, { seed: 3, language, length }, counter);
        for (let index = 0; index < (length > 20_000 ? 1 : 3); index++) {
          const item = await items.make(index);
          const total = (await counter.prompt(item)) + item.answerTokens;
          assert.equal(total, item.promptTokens + item.answerTokens);
          assert.ok(total <= length, `${total} of ${length}`);
          if (length >= 8192) assert.ok(total >= 0.98 * length, `${total} of ${length}`);
          const inText = item.answers.filter((answer) => item.input.includes(answer));
          assert.ok(task.metric === "all" ? inText.length === item.answers.length : inText.length > 0, item.id);
          assert.equal(new Set(item.answers).size, item.answers.length);
          assert.equal(scoreAnswer(task, item.answers, idealAnswer(task, item.answers)), 1);
          assert.equal(scoreAnswer(task, item.answers, ""), 0);
          assert.ok((await count(idealAnswer(task, item.answers))) <= item.answerTokens);
          if (length >= 4096 && task.name.startsWith("niah")) assert.equal(item.answerTokens, 128);
        }
      }
    });
  }
}

test("one more unit of haystack would be too long", async () => {
  for (const task of rulerTasks) {
    const selection = { seed: 8, language: "en", length: 2048 } as const;
    const item = await new RulerItems(task, selection, counter).make(0);
    const draws = new Draws(selection.seed, "ruler", task.name, "en", selection.length, 0);
    const context = {
      draws,
      language: "en",
      length: 2048,
      prose: generatedProse("en", 8),
      questions: madeUpQuestions("en"),
    } as const;
    const draft = task.drafts(context)[item.variant]!;
    assert.equal(draft(item.units).input, item.input, task.name);
    assert.ok((await counter.prompt(draft(item.units + 1))) > 2048 - item.answerTokens, task.name);
  }
});

test("items are the same again whatever was made before, and others for another number or seed", async () => {
  const inputOf = async (seed: number, index: number, before?: number) => {
    const items = new RulerItems(rulerTaskNamed("niah_multikey_2"), { seed, language: "zh", length: 1024 }, counter);
    if (before !== undefined) await items.make(before);
    return (await items.make(index)).input;
  };
  assert.equal(await inputOf(1, 5), await inputOf(1, 5, 2));
  assert.notEqual(await inputOf(1, 5), await inputOf(1, 6));
  assert.notEqual(await inputOf(1, 5), await inputOf(2, 5));
});

test("a length that holds no question is refused with the one that would do", async () => {
  const items = new RulerItems(rulerTaskNamed("niah_single_1"), { seed: 1, language: "en", length: 60 }, counter);
  await assert.rejects(items.make(0), { code: "INVALID_OPTION", message: /niah_single_1: a length of 60 tokens/ });
  assert.throws(() => rulerTaskNamed("niah_singel_1"), { hint: /niah_single_1/ });
});

test("a text of one's own is cut into sentences and begins again", () => {
  const prose = textProse("One is here. Two is there!\nThree? Four. “Five.” 第六句。第七句！", "x.txt");
  assert.deepEqual(
    Array.from({ length: 8 }, (_, index) => prose.sentence(index)),
    ["One is here.", "Two is there!", "Three?", "Four.", "“Five.”", "第六句。", "第七句！", "One is here."],
  );
  assert.equal(prose.separator, " ");
  const long = textProse(`${"甲😀".repeat(300)}。一。二。三。四。`, "x.txt");
  assert.equal(long.separator, "");
  assert.ok(long.sentence(0).isWellFormed() && long.sentence(0).length <= 160);
  assert.throws(() => textProse("One. Two.", "x.txt"), { code: "BAD_DATA" });
});

test("scores: the share of the answers, or any of them, case aside and anywhere", () => {
  const [all, any] = [{ metric: "all" }, { metric: "any" }] as const;
  assert.equal(scoreAnswer(all, ["ABC", "def"], "it is abc"), 0.5);
  assert.equal(scoreAnswer(any, ["ABC", "def"], "it is abc"), 1);
  assert.equal(scoreAnswer(any, ["ABC"], "ab\u0001c"), 0);
  assert.equal(scoreAnswer(all, ["12"], "12345"), 1);
});

test("a table's means weigh tasks alike, and the effective length is the longest above the threshold", () => {
  const result = (task: string, length: number, score: number) => ({ task, length, score, language: "en" });
  const [summary] = summarizeRuler([
    ...[result("vt", 4096, 1), result("vt", 4096, 1), result("vt", 4096, 1), result("cwe", 4096, 0.8)],
    ...[result("vt", 8192, 0.5), result("cwe", 8192, 0.5), result("vt", 16_384, 0.9), result("cwe", 16_384, 0.9)],
  ]);
  assert.deepEqual(
    summary!.rows.map((row) => row.mean),
    [90, 50, 90],
  );
  assert.equal(summary!.effectiveLength, 16_384);
  assert.deepEqual(summary!.weakerBelow, [8192]);
  assert.equal(summary!.weightedByLength, (90 + 100 + 270) / 6);
  assert.deepEqual(effectiveLengthOf([{ length: 4096, mean: 85.6 }]), { effectiveLength: null, weakerBelow: [] });
});

test("questions come from the published files too", async () => {
  const folder = mkdtempSync(join(tmpdir(), "rookery-ruler-"));
  const write = (name: string, value: unknown) => {
    writeFileSync(join(folder, name), JSON.stringify(value));
    return join(folder, name);
  };
  const paragraph = (city: string) => ({
    context: `${city} has a bridge. The bridge of ${city} is red.`,
    qas: [
      { question: `What color is the bridge of ${city}?`, answers: [{ text: "red" }], is_impossible: false },
      { question: "Who?", answers: [], is_impossible: true },
    ],
  });
  const squad = squadQuestions(
    write("squad.json", { data: [{ title: "Bridges", paragraphs: ["Oslo", "Lima"].map(paragraph) }] }),
  );
  const hotpot = hotpotQuestions(
    write("hotpot.json", [
      {
        question: "Which river?",
        answer: "Arno",
        context: [
          ["A", ["A lies on the Arno."]],
          ["B", ["B is big."]],
          ["C", ["C too."]],
        ],
        supporting_facts: [["A", 0]],
      },
    ]),
  );
  for (const [name, source] of [
    ["qa_1", { single: squad }],
    ["qa_2", { twoHop: hotpot }],
  ] as const) {
    const selection = { seed: 1, language: "en", length: 1024, sources: { questions: source } } as const;
    const item = await new RulerItems(rulerTaskNamed(name), selection, counter).make(0);
    assert.ok(
      item.answers.every((answer) => item.input.includes(answer)),
      item.input,
    );
    assert.ok(item.promptTokens > 900);
  }
  assert.throws(() => squadQuestions(write("bad.json", { data: [{ title: 1 }] })), { code: "BAD_DATA" });
  rmSync(folder, { recursive: true });
});
