import assert from "node:assert/strict";
import { test } from "node:test";
import { EndpointFailure } from "../../endpoint/failure.ts";
import type { Critic } from "../filter.ts";
import { noCost, type SynthAnswer, type SynthRecord } from "../record.ts";
import { filterOptionsSchema } from "./options.ts";
import { makeRecordFilter } from "./record-filter.ts";

const options = filterOptionsSchema.parse({});
const answer = (text: string, more: Partial<SynthAnswer> = {}): SynthAnswer => ({
  text,
  finishReason: "stop",
  endpoint: "answers",
  model: "m",
  promptVersion: "answer/1",
  requestHash: "h",
  cost: noCost,
  ...more,
});
const record = (answers: readonly (string | SynthAnswer)[], more: Partial<SynthRecord> = {}): SynthRecord => ({
  id: "r",
  parentId: null,
  seed: "s",
  step: "answer",
  domain: "mathematics",
  language: "en",
  instruction: "How many eggs are in three boxes of twelve?",
  answerKind: "number",
  variant: "plain",
  difficulty: "easy",
  answers: answers.map((one) => (typeof one === "string" ? answer(one) : one)),
  model: "m",
  promptVersion: "generate/1",
  requestHash: "h",
  cost: noCost,
  ...more,
});
const critic = (tierOf: (answer: string) => number | Error): Critic => ({
  model: "critic",
  askJson: async ({ messages, schema }) => {
    const tier = tierOf(JSON.parse(messages.at(-1)!.content).answer);
    if (tier instanceof Error) throw tier;
    const scores = { accuracy: tier, relevance: tier, completeness: tier, usefulness: tier, clarity: tier };
    return { value: schema.parse({ comment: "seen", ...scores, tier }), requestHash: "c", cost: noCost };
  },
});
const run = (subject: SynthRecord, judge?: Critic, more = {}) =>
  makeRecordFilter({ ...options, ...more })(subject, { critic: judge, seed: 1 });

async function reasonFor(subject: SynthRecord, judge?: Critic): Promise<string> {
  const { verdict } = await run(subject, judge);
  return verdict.decision === "keep" ? `keep ${verdict.answer}` : `${verdict.decision} ${verdict.reason}`;
}

test("most samples decide, whatever words they use", async () => {
  assert.equal(await reasonFor(record(["Answer: 36", "It is 36 eggs.", "35"])), "keep 0");
  assert.equal(await reasonFor(record(["35", "Answer: 36", "36 eggs"])), "keep 1");
  assert.equal(await reasonFor(record(["35", "36", "37"])), "reject inconsistent");
  assert.equal(await reasonFor(record(["35", "35", "36", "36"])), "reject inconsistent");
  assert.equal(await reasonFor(record(["36"])), "keep 0");
  const { verdict } = await run(record(["35", "36", "37"]));
  assert.match("detail" in verdict ? verdict.detail : "", /^3 samples say 1× 35 , 1× 36 , 1× 37 $/);
});

test("answers that break a rule do not vote, and name the rule when none is left", async () => {
  const cut = answer("Three boxes of twelve are thir", { finishReason: "length" });
  const sorry = "I'm sorry, but I can't help with that.";
  assert.equal(await reasonFor(record([cut, "36", "36"])), "keep 1");
  assert.equal(await reasonFor(record([cut, sorry, "36"])), "reject tooFewAnswers");
  assert.equal(await reasonFor(record([cut, cut, sorry])), "reject truncated");
  assert.equal(await reasonFor(record([sorry, sorry])), "reject refused");
  assert.equal(await reasonFor(record(["抱歉，我无法回答这个问题。"])), "reject refused");
  assert.equal(await reasonFor(record([answer("", { finishReason: "content_filter" })])), "reject refused");
  assert.equal(await reasonFor(record(["", " "])), "reject empty");
  assert.equal(await reasonFor(record(["I do not know", "Many"])), "reject malformed");
  assert.equal(await reasonFor(record(['{"a": '.repeat(2)], { answerKind: "json" })), "reject malformed");
  assert.equal(await reasonFor(record([])), "reject empty");
  const { verdict } = await run(record([cut, cut, sorry]));
  assert.match("detail" in verdict ? verdict.detail : "", /^of 3 answers 2 truncated, 1 refused; cut at the limit/);
});

test("prose that stops within a sentence is cut off; lists and short texts are not", async () => {
  const sentence = "Penguins breed in colonies that are called rookeries, where each pair keeps its own place. ";
  const text = (words: string) => record([words], { answerKind: "text" });
  assert.equal(await reasonFor(text(`${sentence.repeat(3)}Then the chicks come`)), "reject truncated");
  assert.equal(await reasonFor(text(`${sentence.repeat(2)}They are many.`)), "keep 0");
  assert.equal(await reasonFor(text(`${sentence}\n\n- eggs\n- chicks\n- adults`)), "keep 0");
  assert.equal(await reasonFor(text("A penguin")), "keep 0");
});

test("the critic keeps, rejects, or leaves it to a person", async () => {
  const right = record(["36", "36"]);
  assert.equal(
    await reasonFor(
      right,
      critic(() => 4),
    ),
    "keep 0",
  );
  assert.equal(
    await reasonFor(
      right,
      critic(() => 3),
    ),
    "keep 0",
  );
  assert.equal(
    await reasonFor(
      right,
      critic(() => 2),
    ),
    "review doubtfulTier",
  );
  assert.equal(
    await reasonFor(
      right,
      critic(() => 1),
    ),
    "reject lowTier",
  );
  const { verdict, critiques } = await run(
    right,
    critic(() => 1),
  );
  assert.deepEqual(verdict, { id: "r", decision: "reject", reason: "lowTier", detail: "tier 1: seen" });
  assert.deepEqual(
    critiques.map(({ answer, tier, model }) => ({ answer, tier, model })),
    [{ answer: 0, tier: 1, model: "critic" }],
  );
});

test("of texts the one that the critic likes best is kept", async () => {
  const tiers: Record<string, number> = { good: 3, better: 4, bad: 1 };
  const subject = record(["bad", "good", "better"], { answerKind: "text" });
  assert.equal(
    await reasonFor(
      subject,
      critic((text) => tiers[text]!),
    ),
    "keep 2",
  );
  assert.equal(
    (
      await run(
        subject,
        critic((text) => tiers[text]!),
      )
    ).critiques.length,
    3,
  );
});

test("a verdict that cannot be read asks a person; what a repetition may mend is thrown", async () => {
  const subject = record(["36", "36"]);
  const fails = (kind: "malformed" | "refused" | "passing" | "fatal") =>
    critic(() => new EndpointFailure(kind, "no", "no"));
  assert.equal(await reasonFor(subject, fails("malformed")), "review noCritique");
  assert.equal(await reasonFor(subject, fails("refused")), "review noCritique");
  await assert.rejects(run(subject, fails("passing")), EndpointFailure);
  await assert.rejects(run(subject, fails("fatal")), EndpointFailure);
});

test("a verifier's answer needs no vote and no critic", async () => {
  const subject = record([answer("36", { endpoint: "verifier" })]);
  assert.equal(
    await reasonFor(
      subject,
      critic(() => 1),
    ),
    "keep 0",
  );
});
