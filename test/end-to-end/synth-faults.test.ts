/**
 * Synthesis against an endpoint with known faults. Of the answers 30% are wrong, half of them the same on every sample; the critic errs
 * one time in ten either way; and there are malformed JSON, duplicates, refusals, cut texts, 429, 500 and hangs.
 */
import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { streamKeys, uniform } from "../../src/base/random.ts";
import { synthOptionsSchema } from "../../src/synth/options.ts";
import type { SynthRecord } from "../../src/synth/record.ts";
import { reportSynthesis } from "../../src/synth/report.ts";
import { readRecords } from "../../src/synth/run-files.ts";
import { synthesize } from "../../src/synth/synthesize.ts";
import { completionOf, roleOf, type ScriptedBody, scriptedAnswer } from "../scripted-endpoint.ts";

const count = process.env.ROOKERY_LONG_TESTS ? 5000 : 500;
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-faults-"));
after(() => fs.rmSync(folder, { recursive: true }));

/** A number in [0, 1) that a name fixes. */
const dice = (...name: (string | number)[]) => uniform(streamKeys(11, ...name), 0);

const goods = "lamps ropes sails oars anchors barrels nets masts charts buoys kegs planks hooks flags bells".split(" ");
const people = "skipper cook pilot carpenter sailmaker smith diver keeper fisher miller baker weaver".split(" ");
const pick = (list: readonly string[], ...name: (string | number)[]) => list[Math.floor(dice(...name) * list.length)]!;

type Question = { question: string; answer: number; copyOf: number | undefined };

/** Sums in words. Every twentieth comes again, as it stands or with other marks. */
const questions: Question[] = [];
for (let number = 0; questions.length < count; number++) {
  const [a, b] = [2 + number, 3 + Math.floor(dice("b", number) * 90)];
  const [who, what] = [pick(people, "who", number), pick(goods, "what", number)];
  const question = `The ${who} buys ${a} ${what} on Monday and ${b} more on Friday. How many ${what} does the ${who} have in all?`;
  const place = questions.push({ question, answer: a + b, copyOf: undefined }) - 1;
  if (number % 20 === 19)
    questions.push({ question: number % 40 === 19 ? question : question.toUpperCase(), answer: a + b, copyOf: place });
}
const byQuestion = new Map(questions.map((one, place) => [one.question, { ...one, place: one.copyOf ?? place }]));

type Sample = "right" | "same wrong" | "other wrong" | "refused" | "cut";
/** The tiers that the critic gave, by what it was asked. */
const tiersGiven = new Map<string, number>();

function sampleOf(place: number, seed: number): Sample {
  if (dice("refused", place, seed) < 0.05) return "refused";
  if (dice("cut", place, seed) < 0.05) return "cut";
  if (dice("biased", place) < 0.15) return "same wrong";
  return dice("wrong", place, seed) < 0.15 / 0.85 ? "other wrong" : "right";
}

function answerTo(body: ScriptedBody): object {
  const { place, answer } = byQuestion.get(body.messages.at(-1)!.content)!;
  const sample = sampleOf(place, body.seed!);
  if (sample === "refused") return completionOf("I'm sorry, but I can't help with that.");
  const wrongBy = sample === "same wrong" ? 7 : 1 + Math.floor(dice("by", place, body.seed!) * 40);
  const said = sample === "right" ? answer : answer + wrongBy;
  if (sample !== "cut") return completionOf(`Both days together make the sum.\nAnswer: ${said}`);
  const { choices, ...rest } = completionOf("Both days together make the") as { choices: object[] };
  return { ...rest, choices: [{ ...choices[0], finish_reason: "length" }] };
}

function critiqueOf(body: ScriptedBody): object {
  const { conversation, answer } = subjectOf(body);
  const { place, answer: right } = byQuestion.get(conversation[0]!.content)!;
  const isRight = answer.endsWith(`Answer: ${right}`);
  const hasErred = dice("critic", place, answer) < 0.1;
  const tier = isRight !== hasErred ? 4 : 1;
  tiersGiven.set(`${place} ${answer}`, tier);
  const scores = { accuracy: tier, relevance: tier, completeness: tier, usefulness: tier, clarity: tier };
  return completionOf(
    malformed(
      JSON.stringify({ comment: "looked at", ...scores, tier }),
      dice("json", place, answer, body.messages.length),
    ),
  );
}

/** One in ten is damaged: half of these can be read as they were meant, the others not. */
function malformed(json: string, chance: number): string {
  if (chance >= 0.1) return json;
  return chance < 0.05
    ? `Sure! Here it is:\n\`\`\`json\n${json.replaceAll('"', "'").slice(0, -1)},}\n\`\`\``
    : json.slice(0, 30);
}

const attempts = new Map<string, number>();
const met = { busy: 0, failed: 0, hung: 0 };

/** The first attempt at some requests meets a fault of the server. */
async function fetch(url: string, init: RequestInit): Promise<Response> {
  if (url.endsWith("/models")) return Response.json({ data: [{ id: "faulty" }] });
  const text = String(init.body);
  const attempt = attempts.get(text) ?? 0;
  attempts.set(text, attempt + 1);
  const chance = attempt === 0 ? dice("server", text) : 1;
  if (chance < 0.03) {
    met.busy += 1;
    return new Response("{}", { status: 429, headers: { "retry-after-ms": "1" } });
  }
  if (chance < 0.06) {
    met.failed += 1;
    return new Response("oops", { status: 500 });
  }
  if (chance < 0.063) {
    met.hung += 1;
    return await new Promise((_, reject) => init.signal!.addEventListener("abort", () => reject(init.signal!.reason)));
  }
  const body = JSON.parse(text) as ScriptedBody;
  const role = roleOf(body);
  if (role === "critique") return Response.json(isOurs(body) ? critiqueOf(body) : completionOf(scriptedAnswer(body)));
  if (role === "answer" && byQuestion.has(body.messages.at(-1)!.content)) return Response.json(answerTo(body));
  return Response.json(completionOf(malformed(scriptedAnswer(body), role === "generate" ? dice("json", text) : 1)));
}

/** Of a critique: behind it may stand an answer that could not be read, and that it was asked for again. */
function subjectOf({ messages }: ScriptedBody): { conversation: { content: string }[]; answer: string } {
  return JSON.parse(messages.find(({ role }) => role === "user")!.content);
}

const isOurs = (body: ScriptedBody): boolean => byQuestion.has(subjectOf(body).conversation[0]!.content);

/** What must have sorted a record out, from what the endpoint said alone. */
function trueReasons({ instruction, answers }: SynthRecord): string[] {
  const { place } = byQuestion.get(instruction)!;
  const usable = answers.filter(({ text, finishReason }) => finishReason === "stop" && text.includes("Answer:"));
  if (usable.length === 0) return ["refused", "truncated"];
  if (usable.length < 2) return ["tooFewAnswers"];
  const votes = [...Map.groupBy(usable, ({ text }) => text).values()].sort((x, y) => y.length - x.length)[0]!;
  if (votes.length < 2 || votes.length * 2 <= usable.length) return ["inconsistent"];
  const tier = tiersGiven.get(`${place} ${votes[0]!.text}`);
  // What the critic said came out damaged each time; or it was right, and another record had the question before.
  return tier === 1 ? ["lowTier", "noCritique"] : ["noCritique", "duplicate"];
}

test("of an endpoint with known faults at most 3% of what is kept is wrong, at least 70% of what is right is kept, and reasons are true", async () => {
  const file = path.join(folder, "questions.jsonl");
  fs.writeFileSync(
    file,
    questions.map(({ question, answer }) => `${JSON.stringify({ question, answer: String(answer) })}\n`).join(""),
  );
  const document = path.join(folder, "harbor.txt");
  fs.writeFileSync(document, "The tide rises and falls with the moon, and harbors live by its hours. ".repeat(40));
  const options = synthOptionsSchema.parse({
    name: "faulty",
    runsFolder: path.join(folder, "runs"),
    records: count + 60,
    seeds: [
      { path: file, kind: "questions", domain: "sums", language: "en" },
      { path: document, domain: "harbor", language: "en" },
    ],
    mixture: { domains: { sums: count, harbor: 60 } },
    endpoints: { faulty: { url: "http://faulty", concurrency: 64, timeoutSeconds: 1, structured: "none" } },
    roles: { generator: "faulty", critic: "faulty" },
    generate: { forms: ["explain"] },
    evolve: { share: 0 },
    answer: { samples: 5 },
  });
  const result = await synthesize(options, { fetch });
  const records = await Array.fromAsync(readRecords(result.recordsFile));
  const report = await reportSynthesis(readRecords(result.recordsFile), {
    name: "faulty",
    seed: 1,
    instructions: result.instructions,
    spent: result.spent,
    targets: result.targets,
  });

  assert.ok(met.busy > 0 && met.failed > 0 && met.hung > 0, JSON.stringify(met));
  const { kept, answerable, samples, wrongSamples, unusableSamples } = report.bias;
  assert.ok(Math.abs(wrongSamples / (samples - unusableSamples) - 0.3) < 0.06, "30% of the samples are wrong");
  assert.ok(kept.wrong / kept.records <= 0.03, `${kept.wrong} of ${kept.records} kept are wrong`);
  assert.ok(
    answerable.keptRight / answerable.records >= 0.7,
    `${answerable.keptRight} of ${answerable.records} right ones are kept`,
  );

  const ours = records.filter(({ domain }) => domain === "sums");
  assert.equal(ours.length, count);
  for (const record of ours) {
    const reason = record.rejected?.reason ?? record.review?.reason;
    if (reason === undefined) continue;
    const { answers, rejected, review } = record;
    assert.ok(
      trueReasons(record).includes(reason),
      JSON.stringify([record.instruction, rejected ?? review, answers.map(({ text }) => text)]),
    );
  }
  // Of a question that came twice, one record at most is kept.
  const keptPlaces = ours
    .filter((record) => record.kept !== undefined)
    .map(({ instruction }) => byQuestion.get(instruction)!.place);
  assert.equal(new Set(keptPlaces).size, keptPlaces.length);
  const reasons = new Set(report.reasons.map(({ step, reason }) => `${step}: ${reason}`));
  for (const reason of ["filter: lowTier", "filter: inconsistent", "filter: duplicate"]) {
    assert.ok(reasons.has(reason), `${reason} is among ${[...reasons].join(", ")}`);
  }
});
