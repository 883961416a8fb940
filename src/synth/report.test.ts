import assert from "node:assert/strict";
import { test } from "node:test";
import { noCost, type SynthAnswer, type SynthRecord } from "./record.ts";
import { reportSynthesis } from "./report.ts";

const cost = { promptTokens: 10, answerTokens: 5, money: 1 };
const answer = (text: string, model = "a"): SynthAnswer => ({
  ...{ text, model, finishReason: "stop", endpoint: model, promptVersion: "p", requestHash: "h", cost },
});
let made = 0;
const record = (more: Partial<SynthRecord>): SynthRecord => ({
  ...{ id: `r${++made}`, parentId: null, seed: "file#1", step: "filter", domain: "sums", language: "en" },
  ...{ instruction: `What is ${made} plus ${made}?`, answerKind: "number", variant: "plain", difficulty: "easy" },
  ...{ truth: "4", answers: [answer("4"), answer("4", "b"), answer("4")], model: "a", promptVersion: "p" },
  ...{ requestHash: "h", cost: noCost },
  ...more,
});

async function reportOf(records: SynthRecord[]) {
  async function* all() {
    yield* records;
  }
  const targets = { domains: { sums: 1 }, languages: { en: 0.5, zh: 0.5 } };
  return await reportSynthesis(all(), { name: "test", seed: 1, instructions: null, spent: cost, targets });
}

test("each record is counted at the step that it came to, with its reason", async () => {
  const rejected = (step: "generate" | "evolve" | "answer" | "filter", reason: string) => ({
    rejected: { step, reason, detail: "seen" },
  });
  const report = await reportOf([
    record({ kept: 0 }),
    record({ parentId: "r1", kept: 0 }),
    record({ parentId: "r1", ...rejected("evolve", "lost-task") }),
    record({ answers: [], ...rejected("answer", "refused") }),
    record(rejected("filter", "duplicate")),
    record({ review: { reason: "doubtfulTier", detail: "", answer: 0 } }),
    record({ instruction: "", answers: [], ...rejected("generate", "malformed") }),
  ]);
  assert.deepEqual(report.yields, [
    { step: "generate", came: 5, left: 4, rejected: 1, waiting: 0 },
    { step: "evolve", came: 2, left: 1, rejected: 1, waiting: 0 },
    { step: "answer", came: 5, left: 4, rejected: 1, waiting: 0 },
    { step: "filter", came: 4, left: 2, rejected: 1, waiting: 1 },
  ]);
  assert.deepEqual([report.records, report.kept, report.rejected, report.waiting], [7, 2, 4, 1]);
  assert.equal(report.reasons.length, 4);
  const meanings = new Map(report.reasons.map(({ step, meaning }) => [step, meaning]));
  assert.equal(meanings.get("generate"), "the model did not write the JSON that it was asked for");
  assert.equal(meanings.get("filter"), "the same instruction has come before");
  assert.deepEqual(report.languages, [{ name: "en", made: 6, kept: 2, keptFromSeeds: 2, target: 0.5 }]);
  const sumOf = (rows: { cost: typeof cost }[]) => rows.reduce((sum, row) => sum + row.cost.money, 0);
  assert.equal(sumOf(report.costByStep), sumOf(report.costByModel));
  assert.equal(report.diversity.kept?.texts, 2);
});

test("bias: what agrees and is wrong, by model and by number of samples, and what the critic saw of it", async () => {
  const critique = (tier: 1 | 4) => ({
    ...{ answer: 0, tier, comment: "", model: "c", promptVersion: "p", requestHash: "h", cost },
  });
  const { bias } = await reportOf([
    record({ kept: 0, critiques: [critique(4)] }),
    record({ answers: [answer("5"), answer("5", "b"), answer("5")], kept: 0, critiques: [critique(4)] }),
    record({
      answers: [answer("5"), answer("4", "b"), answer("four and more", "b")],
      rejected: { step: "filter", reason: "inconsistent", detail: "" },
    }),
    record({ rejected: { step: "filter", reason: "duplicate", detail: "" } }),
    record({ answerKind: "text" }),
  ]);
  assert.deepEqual([bias.records, bias.samples, bias.unusableSamples, bias.wrongSamples], [4, 12, 1, 4]);
  assert.deepEqual(bias.agreement, { agreed: 3, wrong: 1 });
  assert.deepEqual(bias.byDomain, [{ domain: "sums", agreed: 3, wrong: 1 }]);
  assert.deepEqual(bias.byModel[0], { model: "a", agreed: 3, wrong: 1, samples: 7, wrongSamples: 3 });
  assert.deepEqual(
    bias.bySamples.map(({ records, agreed, wrong }) => [records, agreed, wrong]),
    [
      [4, 4, 2],
      [4, 3, 1],
      [4, 3, 1],
    ],
  );
  assert.deepEqual(bias.critic[3], { tier: 4, right: 1, wrong: 1 });
  // The duplicate's answer is right, and it is not missed.
  assert.deepEqual(bias.answerable, { records: 2, keptRight: 1 });
  assert.deepEqual(bias.kept, { records: 2, wrong: 1 });
});

test("a set of one text over and over has no spread; the same records give the same report", async () => {
  const same = Array.from({ length: 20 }, () => record({ instruction: "Say how penguins keep warm.", kept: 0 }));
  const report = await reportOf(same);
  assert.ok(report.diversity.kept!.spread < 1e-9);
  assert.ok(report.diversity.kept!.distinct[1]!.share < 0.06);
  assert.deepEqual(await reportOf(same), report);
  const empty = await reportOf([]);
  assert.deepEqual([empty.records, empty.diversity.kept, empty.bias.records], [0, null, 0]);
});
