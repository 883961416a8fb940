import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, describe, test } from "node:test";
import { RookeryError } from "../../base/errors.ts";
import { starterParts } from "../../data/starter.ts";
import { Draws } from "../../tasks/random.ts";
import { noCost, type SynthRecord } from "../record.ts";
import { ContaminationIndex } from "./contamination.ts";
import { indexEvaluationSets } from "./evaluation-sets.ts";
import { NearDuplicates } from "./near-duplicates.ts";
import { filterOptionsSchema } from "./options.ts";
import { makeSetFilter } from "./set-filter.ts";
import { tokensOf } from "./shingles.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-overlap-"));
after(() => fs.rmSync(folder, { recursive: true }));

type Language = "en" | "zh";
const draws = new Draws(7, "overlap");

/** 3,000 sentences of a novel, of 6 to 60 words, each once and in random order. */
function englishSentences(): string[] {
  const part = starterParts().find(({ name }) => name === "moby-dick")!;
  const text = part.files.flatMap((file) => [...part.read(file)].map((document) => document.text)).join("\n");
  const sentences = text.replace(/\s+/g, " ").match(/[A-Z][^.!?]+[.!?]/g)!;
  const usable = [...new Set(sentences)].filter((one) => one.split(" ").length >= 6 && one.split(" ").length <= 60);
  return draws.sample(usable, 3000);
}

/** As many of common characters in random order: what is like the other is like it by chance. */
function chineseSentences(): string[] {
  const characters = [
    ..."的一是不了在人有我他这中大来上个国到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可里后小么心多天而能好都然没日于起还发成事只作当想看文无开手十用主行方又如前所本见经头面公同三已老从动两长知民样现分将外但身些与高意进把法此实回二理美点月明其种声全工己话儿者向情部正名定女问力机给等几很业最间新什打便位因重被走电四第门相次东政海口使教西再平真听世气信北少关并内加化由却代军产入先山五太水万市眼体别处总才场师书比住员九笑性通目华报立马命张活难神数件安表原车白应路期叫死常提感金何更反合放做系计或司利受光王果亲界及今京务制解各任至清物台象记边共风战干接它许八特觉望直服毛林题建南度统色字请交爱让认算论百吃义科怎元社术结六功指思非流每青管夫连远资队跟带花快条院变联言权往展该领传近留红治决周保达办运武半候七必城父强步完革深区即求品士转量空甚众技轻程告江语英基派满式李息写呢识极令黄德收脸钱党倒未持取设始版双历越史商千片容研像找友孩站广改议形委早房音火际则首单据导影失拿网香似斯专石若兵弟谁校读志飞观争究包组造落视济喜离虽坏兴怕",
  ];
  return Array.from({ length: 3000 }, () => `${draws.sample(characters, draws.between(12, 60)).join("")}。`);
}

const sentences: Record<Language, string[]> = { en: englishSentences(), zh: chineseSentences() };

/** Light edits: what somebody changes who copies an item, or what a scraper does. */
function edits(language: Language): Record<string, (text: string) => string> {
  const separator = language === "en" ? " " : "";
  const pool = sentences[language].flatMap((text) => text.split(separator));
  const someUnits = (change: (units: string[], at: number) => void) => (text: string) => {
    const units = text.split(separator);
    for (let left = Math.max(1, Math.round(units.length / 10)); left > 0; left--)
      change(units, draws.between(0, units.length - 1));
    return units.join(separator);
  };
  return {
    "case and marks": (text) => text.toUpperCase().replace(/[.,;:!?。]/g, " "),
    "a tenth replaced": someUnits((units, at) => units.splice(at, 1, draws.pick(pool))),
    "a tenth deleted": someUnits((units, at) => units.splice(at, 1)),
    "a tenth inserted": someUnits((units, at) => units.splice(at, 0, draws.pick(pool))),
    "words around it": (text) =>
      `${language === "en" ? "Question:" : "问题："} ${text} ${language === "en" ? "Answer:" : "回答："}`,
  };
}

describe("contamination", () => {
  for (const language of ["en", "zh"] as const) {
    test(`${language}: every verbatim item is found, and 95% of each kind of light edit; hardly anything else is`, () => {
      const [items, others] = [sentences[language].slice(0, 500), sentences[language].slice(500)];
      const index = new ContaminationIndex();
      for (const [number, text] of items.entries()) index.add({ set: "planted", where: String(number) }, text, true);
      const threshold = filterOptionsSchema.parse({}).contaminationShare;
      const foundShare = (edit: (text: string) => string) =>
        items.filter((text) => index.find([`${draws.pick(others)} ${edit(text)} ${draws.pick(others)}`], threshold))
          .length / items.length;
      assert.equal(
        foundShare((text) => text),
        1,
      );
      for (const [name, edit] of Object.entries(edits(language))) {
        const share = foundShare(edit);
        assert.ok(share >= 0.95, `${name}: ${share}`);
      }
      const wrong = others.filter((text) => index.find([text], threshold)).length;
      assert.ok(wrong <= 0.01 * others.length, `${wrong} of ${others.length} others`);
    });
  }

  test("items from one template are told apart by what differs", () => {
    const index = new ContaminationIndex();
    const ask = (a: number, b: number) =>
      `A farmer has ${a} boxes with ${b} eggs each. How many eggs does the farmer have in all?`;
    for (let a = 2; a < 12; a++) index.add({ set: "boxes", where: String(a) }, ask(a, a + 3), true);
    assert.equal(index.find([ask(5, 8)], 0.45)?.where, "5");
    assert.equal(index.find([ask(5, 9)], 0.45), undefined);
    assert.equal(index.find([ask(15, 19)], 0.45), undefined);
  });

  test("short questions count whole, short answers not at all, long texts in pieces", () => {
    const index = new ContaminationIndex();
    index.add({ set: "s", where: "question" }, "Spell penguin backwards.", true);
    index.add({ set: "s", where: "answer" }, "Paris", false);
    const long = sentences.en.slice(0, 20).join(" ");
    index.add({ set: "s", where: "passage" }, long, false);
    const find = (text: string) => index.find([text], 0.45)?.where;
    assert.equal(find("Please: spell PENGUIN backwards!"), "question");
    assert.equal(find("Spell albatross backwards."), undefined);
    assert.equal(find("Paris"), undefined);
    assert.equal(find(`Before. ${sentences.en.slice(6, 12).join(" ")} After.`), "passage");
    assert.equal(find("🐧"), undefined);
    assert.equal(find(""), undefined);
  });

  test("evaluation sets are read whole, with the questions of chats and of tables, or not at all", async () => {
    const file = path.join(folder, "set.jsonl");
    const chat = {
      messages: [
        { role: "user", content: "Why is the sky blue?" },
        { role: "assistant", content: "Rayleigh" },
      ],
    };
    fs.writeFileSync(
      file,
      `${JSON.stringify(chat)}\n${JSON.stringify({ question: "哪个城市是首都？", choices: ["北京", "上海"] })}\n`,
    );
    const index = await indexEvaluationSets([{ name: "mine", path: file }]);
    assert.deepEqual(index.find(["Tell me: why is the sky blue?"], 0.45), {
      set: "mine",
      where: `${file}:1`,
      share: 1,
    });
    assert.equal(index.find(["哪个城市是首都"], 0.45)?.where, `${file}:2`);
    assert.equal(index.find(["Rayleigh"], 0.45), undefined);
    const isBadData = (error: unknown) => error instanceof RookeryError && error.code === "BAD_DATA";
    fs.writeFileSync(file, '{"question": "Why is the sky blue?"}\n{"question": ');
    await assert.rejects(indexEvaluationSets([{ name: "mine", path: file }]), isBadData);
    fs.writeFileSync(file, "");
    await assert.rejects(indexEvaluationSets([{ name: "mine", path: file }]), isBadData);
  });
});

const record = (id: string, instruction: string, answer = "", more: Partial<SynthRecord> = {}): SynthRecord => ({
  id,
  parentId: null,
  seed: "s",
  step: "answer",
  domain: "general",
  language: "en",
  instruction,
  answerKind: "text",
  variant: "plain",
  difficulty: "easy",
  answers: [
    {
      text: answer,
      finishReason: "stop",
      endpoint: "e",
      model: "m",
      promptVersion: "p",
      requestHash: "h",
      cost: noCost,
    },
  ],
  model: "m",
  promptVersion: "p",
  requestHash: "h",
  cost: noCost,
  ...more,
});

describe("near-duplicates", () => {
  for (const language of ["en", "zh"] as const) {
    test(`${language}: on a planted set, precision and recall of at least 0.97`, () => {
      const separator = language === "en" ? " " : "";
      // Texts of three sentences; every second one comes again with one word in 25 replaced, in texts of over 25.
      const texts = Array.from({ length: 1000 }, (_, i) => sentences[language].slice(3 * i, 3 * i + 3).join(separator));
      const edited = (text: string) => {
        const units = text.split(separator);
        const count = Math.floor(units.length / 25);
        for (const at of draws.sample([...units.keys()], count))
          units[at] = draws.pick(draws.pick(texts).split(separator));
        return units.join(separator);
      };
      const planted = new Set<string>();
      const all = texts.flatMap((text, i) => {
        if (i % 2 === 1) return [{ id: `o${i}`, text }];
        planted.add(`c${i}`);
        return [
          { id: `o${i}`, text },
          { id: `c${i}`, text: edited(text) },
        ];
      });
      using duplicates = new NearDuplicates(0.6, folder);
      const found = all.filter(({ id, text }) => duplicates.take(record(id, text)) !== undefined).map(({ id }) => id);
      const right = found.filter((id) => planted.has(id)).length;
      assert.ok(right / planted.size >= 0.97, `recall ${right / planted.size}`);
      assert.ok(right / found.length >= 0.97, `precision ${right / found.length}`);
    });
  }

  test("the same instruction is one, whatever its case and marks; the reason names what it repeats", () => {
    using duplicates = new NearDuplicates(0.6, folder);
    assert.equal(duplicates.take(record("a", "How do penguins keep warm?")), undefined);
    assert.deepEqual(duplicates.take(record("b", "how do PENGUINS keep warm")), {
      reason: "duplicate",
      detail: "the instruction of a",
    });
    assert.equal(duplicates.take(record("c", "How do penguins find their way home?")), undefined);
    assert.equal(duplicates.take(record("d", "Say: how do penguins keep warm?"))?.reason, "nearDuplicate");
  });

  test("instructions that differ in a number, or in their answer, ask for different things", () => {
    using duplicates = new NearDuplicates(0.3, folder);
    const ask = (id: string, instruction: string, answer: string) =>
      duplicates.take(record(id, instruction, answer, { answerKind: "number" }))?.reason;
    assert.equal(ask("a", "There are 12 boxes with 7 eggs in each. How many eggs are there?", "84"), undefined);
    assert.equal(ask("b", "There are 13 boxes with 7 eggs in each. How many eggs are there?", "91"), undefined);
    assert.equal(
      ask("c", "There are 12 boxes and 7 eggs in each. How many eggs are there?", "84 eggs"),
      "nearDuplicate",
    );
  });

  test("a long answer that has come before is not kept under another instruction", () => {
    using duplicates = new NearDuplicates(0.6, folder);
    const essay = sentences.en.slice(0, 12).join(" ");
    assert.ok(tokensOf(essay).length > 64);
    assert.equal(duplicates.take(record("a", "Write about whales.", essay)), undefined);
    assert.equal(
      duplicates.take(record("b", "Tell of the sea, at length.", essay))?.detail,
      "the answer is 100% that of a",
    );
  });
});

test("the set filter gives a verdict for each record, in order; contamination goes before duplication", async () => {
  const file = path.join(folder, "evaluation.jsonl");
  fs.writeFileSync(file, `${JSON.stringify({ question: "Why do penguins not fly any more today?" })}\n`);
  const filter = makeSetFilter(filterOptionsSchema.parse({ evaluationSets: [{ name: "birds", path: file }] }), folder);
  async function* records() {
    yield record("a", "How do penguins keep warm?");
    yield record("b", "Why do penguins not fly any more today?");
    yield record("c", "How do penguins keep warm?");
    yield record("d", "Why do penguins not fly any more today?");
  }
  const verdicts = await Array.fromAsync(filter(records(), { critic: undefined, seed: 1 }));
  assert.deepEqual(
    verdicts.map((verdict) => ("reason" in verdict ? verdict.reason : verdict.decision)),
    ["keep", "contaminated", "duplicate", "contaminated"],
  );
  assert.equal("detail" in verdicts[1]! && verdicts[1].detail, `100% of ${file}:1 in birds`);
});
