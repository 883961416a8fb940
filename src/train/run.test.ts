import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { streamKeys, uniform } from "../base/random.ts";
import { liveMemory } from "../kernels/bindings/memory.ts";
import type { TrainingEvent } from "./events.ts";
import { type TrainOptionsInput, trainOptionsSchema } from "./options.ts";
import { runTraining } from "./run.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-run-"));
after(() => fs.rmSync(folder, { recursive: true, force: true }));
const text = path.join(folder, "text.txt");

before(() => {
  const words = "the penguin swims over cold water and under ice while snow falls on a quiet shore".split(" ");
  const keys = streamKeys(7, "words");
  const word = (index: number) => words[Math.floor(uniform(keys, index) * words.length)];
  fs.writeFileSync(text, Array.from({ length: 2000 }, (_, index) => word(index)).join(" "));
});

let runsFolder = "";
beforeEach(() => {
  runsFolder = fs.mkdtempSync(path.join(folder, "runs-"));
});
let liveAtStart = liveMemory();
beforeEach(() => {
  liveAtStart = liveMemory();
});
afterEach(() => assert.deepEqual(liveMemory(), liveAtStart, "all memory comes back"));

function options(given: TrainOptionsInput = {}) {
  const model = {
    ...{ vocabularySize: 320, hiddenSize: 32, intermediateSize: 24, numHiddenLayers: 2, numAttentionHeads: 2 },
    ...{ numKeyValueHeads: 1, headDim: 16, numExperts: 4, maxPositionEmbeddings: 64 },
  };
  const sizes = { sequenceLength: 32, batchTokens: 64, threads: 1, steps: 3 };
  return trainOptionsSchema.parse({ model, data: [text], maxDocumentCharacters: 512, runsFolder, ...sizes, ...given });
}

/** Resuming needs no more than the name. */
const resume = (name: string) => trainOptionsSchema.parse({ name, resume: true, runsFolder });

const staged = () => fs.readdirSync(path.join(runsFolder, ".cache")).filter((name) => name.startsWith("."));
const runs = () => fs.readdirSync(runsFolder).filter((name) => name !== ".cache");

test("without a name a run is called by its preset and the next free number", async () => {
  fs.mkdirSync(path.join(runsFolder, "nano-2"));
  fs.writeFileSync(path.join(runsFolder, "nano-2", "notes.txt"), "of someone else");
  assert.equal((await runTraining(options(), {})).name, "nano-1");
  assert.equal((await runTraining(options(), {})).name, "nano-3");
  assert.deepEqual(fs.readdirSync(path.join(runsFolder, "nano-2")), ["notes.txt"]);
  assert.deepEqual(staged(), []);
});

test("a shape that could not be saved is refused before anything is read", async () => {
  const { model } = options();
  const shape = { ...model, headDim: 24 };
  await assert.rejects(runTraining(options({ model: shape, name: "shape" }), {}), { code: "UNSUPPORTED_MODEL" });
  assert.deepEqual(runs(), []);
});

test("a name that is taken is refused before anything is read", async () => {
  fs.mkdirSync(path.join(runsFolder, "taken"));
  fs.writeFileSync(path.join(runsFolder, "taken", "notes.txt"), "of someone else");
  const events: TrainingEvent[] = [];
  await assert.rejects(runTraining(options({ name: "taken" }), { onEvent: (event) => events.push(event) }), {
    code: "RUN_EXISTS",
    message: /is no run, but holds files already: "notes\.txt"/,
  });
  assert.deepEqual(events, []);
  assert.deepEqual(runs(), ["taken"]);
});

test("it tells of its folder, each step, measurement and checkpoint", async () => {
  const events: TrainingEvent[] = [];
  const told = { name: "told", evaluateEvery: 2, checkpointEvery: 2, heldOutShare: 0.3 };
  const result = await runTraining(options(told), { onEvent: (event) => events.push(event) });
  const own = events.filter(({ type }) => type !== "progress" && type !== "note" && type !== "warning");
  assert.deepEqual(
    own.map((event) => ("step" in event ? `${event.type} ${event.step}` : event.type)),
    [
      ...["run", "training-step 1", "training-step 2", "evaluation 2", "checkpoint 2"],
      ...["training-step 3", "evaluation 3", "checkpoint 3"],
    ],
  );
  assert.equal(result.tokens, 3 * 64);
  assert.ok(result.peakArenaBytes > 0);
  const last = events.findLast((event) => event.type === "evaluation");
  assert.equal(last?.type === "evaluation" && last.bitsPerByte, result.bitsPerByte);
});

test("nothing held out is nothing measured", async () => {
  const result = await runTraining(options({ name: "all", heldOutShare: 0 }), {});
  assert.deepEqual([result.bitsPerByte, result.heldOutCrossEntropy], [null, null]);
});

test("stopped before the first step it leaves nothing; stopped later, a checkpoint", async () => {
  await assert.rejects(runTraining(options({ name: "early" }), { signal: AbortSignal.abort() }), {
    name: "AbortError",
  });
  assert.deepEqual(runs(), []);
  assert.deepEqual(staged(), []);

  const controller = new AbortController();
  const onEvent = (event: TrainingEvent) => event.type === "training-step" && event.step === 2 && controller.abort();
  await assert.rejects(runTraining(options({ name: "later" }), { signal: controller.signal, onEvent }), {
    code: "INTERRUPTED",
    message: /^stopped at step 2 of 3, saved in /,
    hint: `go on with: rookery train --resume --name later --runs-folder ${runsFolder}`,
  });
  assert.deepEqual(fs.readdirSync(path.join(runsFolder, "later", "checkpoints")), ["step-2"]);
  const result = await runTraining(resume("later"), {});
  assert.equal(result.steps, 3);
});

test("a run's changed config.json is refused, never a fault of the program", async () => {
  await runTraining(options({ name: "a" }), {});
  const file = path.join(runsFolder, "a", "config.json");
  const original = JSON.parse(fs.readFileSync(file, "utf8"));
  const refused = async (change: object, expected: object) => {
    fs.writeFileSync(file, JSON.stringify({ ...original, ...change }));
    await assert.rejects(runTraining(resume("a"), {}), expected);
  };
  const changed = (values: object) => ({ options: { ...original.options, ...values } });
  await refused(changed({ learningRat: 1 }), {
    code: "UNKNOWN_OPTION",
    message: /unknown key "learningRat" in .*config/,
  });
  await refused(changed({ batchTokens: "many" }), { code: "INVALID_OPTION", message: /batchTokens/ });
  await refused(changed({ steps: undefined }), { code: "FILE_DAMAGED", message: /config\.json lacks steps$/ });
  await refused({ command: "align" }, { code: "INVALID_OPTION", message: /is of a run of rookery align/ });
  await refused({ format: "rookery-run/9" }, { code: "UNKNOWN_FORMAT" });
  fs.writeFileSync(file, JSON.stringify(original));
  assert.equal((await runTraining(resume("a"), {})).steps, 3, "a refused run is not left locked");
});

test("a run whose data has changed is not continued on other data", async () => {
  const name = "moved";
  await runTraining(options({ name }), {});
  const before = fs.readFileSync(text, "utf8");
  try {
    fs.writeFileSync(text, `${before} and then another penguin came ashore`);
    await assert.rejects(runTraining(resume(name), {}), { code: "INVALID_OPTION" });
  } finally {
    fs.writeFileSync(text, before);
  }
  await runTraining(resume(name), {});
});

const longStages: TrainOptionsInput["stages"] = [
  { name: "2x", sequenceLength: 64, ropeTheta: 50_000, steps: 2, longTokens: 100, longShare: 0.5 },
  { name: "4x", sequenceLength: 128, ropeAlpha: 100, tokens: 256, batchTokens: 128, recomputation: "block" },
];

const weightsOf = (modelFolder: string) => fs.readFileSync(path.join(modelFolder, "model.safetensors"));

test("stages follow the pre-training: length, base and batches of their own, and a resume at any step ends in the same bits", async () => {
  const given = { stages: longStages, steps: 2, checkpointEvery: 1, keepCheckpoints: 10 };
  const whole = await runTraining(options({ ...given, name: "whole" }), {});
  assert.deepEqual([whole.steps, whole.tokens], [6, 2 * 64 + 2 * 64 + 2 * 128]);
  const config = JSON.parse(fs.readFileSync(path.join(whole.modelFolder, "config.json"), "utf8"));
  assert.equal(config.max_position_embeddings, 128);
  assert.deepEqual([config.rope_theta, config.rope_scaling.alpha], [50_000, 100]);
  const stored = JSON.parse(fs.readFileSync(path.join(whole.runFolder, "config.json"), "utf8")).options;
  assert.deepEqual(
    stored.stages.map((stage: Record<string, unknown>) => [stage.steps, stage.batchTokens, stage.longTokens]),
    [
      [2, 64, 100],
      [2, 128, 64],
    ],
  );
  const lines = fs.readFileSync(path.join(whole.runFolder, "metrics.jsonl"), "utf8").trim().split("\n");
  const steps = lines.map((line) => JSON.parse(line)).filter(({ kind }) => kind === "step");
  assert.deepEqual(
    steps.map(({ stage }) => stage),
    ["pre-training", "pre-training", "2x", "2x", "4x", "4x"],
  );
  for (const stopAfter of [1, 2, 3, 4, 5]) {
    const name = `cut-${stopAfter}`;
    const controller = new AbortController();
    const onEvent = (event: TrainingEvent) => {
      if (event.type === "training-step" && event.step === stopAfter) controller.abort();
    };
    await assert.rejects(runTraining(options({ ...given, name }), { signal: controller.signal, onEvent }), {
      code: "INTERRUPTED",
    });
    const { modelFolder } = await runTraining(resume(name), {});
    assert.ok(weightsOf(modelFolder).equals(weightsOf(whole.modelFolder)), `stopped after step ${stopAfter}`);
  }
});

test("a run from another run's model has its configuration and tokenizer, and stages alone share its length", async () => {
  const base = await runTraining(options({ name: "base" }), {});
  const from = await runTraining(
    trainOptionsSchema.parse({
      ...{ from: "base", stage: "long-context", name: "long", data: [text], maxDocumentCharacters: 512, runsFolder },
      ...{ sequenceLength: 16, batchTokens: 64, threads: 1, tokens: 192 },
    }),
    {},
  );
  assert.deepEqual([from.steps, from.tokens], [3, 192]);
  const stored = JSON.parse(fs.readFileSync(path.join(from.runFolder, "config.json"), "utf8")).options;
  assert.equal(stored.stage, undefined);
  assert.deepEqual([stored.stages[0].sequenceLength, stored.stages[0].ropeTheta], [64, 40_000]);
  const evaluations = fs
    .readFileSync(path.join(from.runFolder, "metrics.jsonl"), "utf8")
    .split("\n")
    .filter((line) => line.includes('"evaluation"'));
  assert.deepEqual(JSON.parse(evaluations[0]!).step, 0, "what it was before");
  const again = await runTraining(
    trainOptionsSchema.parse({ from: base.modelFolder, name: "on", data: [text], runsFolder, steps: 1, threads: 1 }),
    {},
  ).catch((error) => error);
  assert.match(String(again.message), /sequenceLength 256 is over the model's 64 positions/);
});

test("stages that cannot be had are refused before anything is trained", async () => {
  const refuse = (given: TrainOptionsInput, message: RegExp) =>
    assert.rejects(runTraining(options(given), {}), (error: Error) => message.test(error.message));
  const stage = { name: "s", sequenceLength: 64, steps: 1 };
  await refuse({ stages: [{ ...stage, longTokens: 10_000 }] }, /no document of 10000 tokens or more/);
  await refuse({ stages: [{ ...stage, ropeTheta: 10, ropeAlpha: 2 }] }, /ropeTheta 10 and ropeAlpha 2/);
  await refuse({ stages: [{ ...stage, tokens: 64 }] }, /steps 1 and tokens 64/);
  await refuse({ stages: [{ ...stage, batchTokens: 96 }] }, /batchTokens 96 is no multiple of sequenceLength 64/);
  await refuse({ stages: [{ ...stage, longTokens: 20, mixture: { nobody: 1 } }] }, /the mixture names "nobody"/);
  await refuse({ stages: [stage], stage: "long-context" }, /--stage long-context is given beside/);
  await refuse({ from: "nobody" }, /nobody/);
  const { modelFolder } = await runTraining(options({ name: "base", steps: 1 }), {});
  const from = { from: modelFolder, model: {}, steps: 1 };
  await refuse({ ...from, preset: "mini" }, /--preset mini is given beside --from/);
  await refuse({ ...from, model: { hiddenSize: 64 } }, /model.hiddenSize is 64, that of --from .* 32/);
  await refuse({ ...from, tokenizer: runsFolder }, /--tokenizer .* is given beside --from/);
  await refuse({ ...from, stages: [stage] }, /each of the stages has a length of its own/);
  assert.deepEqual(runs(), ["base"]);
});
