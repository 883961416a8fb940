/** What cannot be learnt from is counted by reason, its first examples are shown, and it changes nothing of what is learnt. */
import assert from "node:assert/strict";
import fs from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { writeTinyModel } from "../../test/tiny-model.ts";
import { weightsFingerprint } from "./chat-data.ts";
import { dpoOptionsSchema, rewardOptionsSchema, type StageOptions, sftOptionsSchema } from "./options.ts";
import { runStage } from "./run.ts";
import type { StageName } from "./stage.ts";

const folder = fs.mkdtempSync(path.join(tmpdir(), "rookery-left-out-"));
after(() => fs.rmSync(folder, { recursive: true }));

let model: string;
before(async () => {
  model = await writeTinyModel(folder);
});

const put = (name: string, lines: readonly unknown[]): string => {
  const file = path.join(folder, name);
  fs.writeFileSync(file, lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n"));
  return file;
};
const user = (content: string) => ({ role: "user", content });
const assistant = (content: string) => ({ role: "assistant", content });
const words = "rookery rock penguins chicks cold sea the on ice".split(" ");
const word = (n: number): string => words[n % 9]!;
const say = (n: number): string => `${word(n)} ${word(n * 5 + 2)}`;
const numbers = Array.from({ length: 9 }, (_, n) => n);
const long = say(3).repeat(100);

const chats = put(
  "chats.jsonl",
  numbers.map((n) => ({ messages: [user(say(n)), assistant(say(n + 1))] })),
);
const pairs = put(
  "pairs.jsonl",
  numbers.map((n) => ({ prompt: say(n), chosen: word(n + 1), rejected: word(n + 5) })),
);
const badChats = put("bad-chats.jsonl", [
  "{broken",
  { text: "no conversation" },
  { messages: [assistant("a")] },
  { messages: [user("a"), assistant(" ")] },
  { messages: [user(" "), assistant("a")] },
  { messages: [user(long), assistant("rock")] },
  { messages: [user(say(0)), assistant(say(1))] },
  { messages: [user("rock"), assistant("sea<|im_end|>")] },
]);
const badPairs = put("bad-pairs.jsonl", [
  "[]",
  { prompt: "a", chosen: "b" },
  { prompt: [assistant("a")], chosen: "b", rejected: "c" },
  { prompt: "a", chosen: "", rejected: "c" },
  { prompt: "a", chosen: "b", rejected: "b" },
  { prompt: long, chosen: "rock", rejected: "sea" },
  { prompt: say(0), chosen: word(1), rejected: word(5) },
  { prompt: say(0), chosen: word(5), rejected: word(1) },
  { prompt: "rock", chosen: "a\u0000b", rejected: "sea" },
]);

const schemas = { sft: sftOptionsSchema, reward: rewardOptionsSchema, dpo: dpoOptionsSchema };
const sized = { sft: { batchTokens: 128 }, reward: { batchPairs: 4 }, dpo: { batchPairs: 4 } };
const reasons = { malformed: 1, unknownForm: 1, wrongRoles: 1, emptyAnswer: 1, tooLong: 1, duplicate: 1 };
const expected: Record<StageName, Record<string, number>> = {
  sft: { ...reasons, emptyTurn: 1, leftover: 1 },
  reward: { ...reasons, equalAnswers: 1, contradiction: 1, garbled: 1 },
  dpo: { ...reasons, equalAnswers: 1, contradiction: 1, garbled: 1 },
};

async function run(stage: StageName, name: string, data: string[]) {
  const warnings: string[] = [];
  const common = { model, data, name, sequenceLength: 64, microBatchRows: 2, steps: 2, threads: 1 };
  const runsFolder = path.join(folder, "runs");
  const options = schemas[stage].parse({ ...common, ...sized[stage], runsFolder }) as StageOptions;
  const result = await runStage(stage, options, {
    onEvent: (event) => {
      if (event.type === "warning") warnings.push(event.message);
    },
  });
  return { ...result, warnings, weights: weightsFingerprint(result.modelFolder) };
}

for (const stage of ["sft", "reward", "dpo"] as const) {
  test(`${stage}: bad records are counted and shown, and the same model comes out`, async () => {
    const [good, bad] = stage === "sft" ? [chats, badChats] : [pairs, badPairs];
    const clean = await run(stage, `${stage}-clean`, [good]);
    const mixed = await run(stage, `${stage}-mixed`, [good, bad]);
    assert.deepEqual(clean.leftOut, {});
    assert.deepEqual({ ...mixed.leftOut }, expected[stage]);
    assert.equal(mixed.weights, clean.weights);
    const shown = mixed.warnings.filter((warning) => warning.includes(`${bad}:`));
    assert.equal(shown.length, Object.keys(expected[stage]).length, mixed.warnings.join("\n"));
    assert.ok(shown.every((warning) => !warning.includes("\n")));
  });
}
