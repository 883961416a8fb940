import assert from "node:assert/strict";
import fs from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { writeTinyModel } from "../../test/tiny-model.ts";
import { sha256OfFile } from "../base/files.ts";
import { liveMemory } from "../kernels/bindings/memory.ts";
import { dpoOptionsSchema, rewardOptionsSchema, type StageOptions, sftOptionsSchema } from "./options.ts";
import { runStage } from "./run.ts";
import type { StageEvent, StageName } from "./stage.ts";

const folder = fs.mkdtempSync(path.join(tmpdir(), "rookery-align-"));
const runsFolder = path.join(folder, "runs");
after(() => fs.rmSync(folder, { recursive: true }));

const words = "rookery rock penguins chicks cold sea the on and".split(" ");
const say = (n: number) => `${words[n % 9]} ${words[(n * 5 + 2) % 9]} ${words[(n >> 2) % 9]}`;
const chats = path.join(folder, "chats.jsonl");
const pairs = path.join(folder, "pairs.jsonl");
const common = { sequenceLength: 64, microBatchRows: 2, seed: 3, threads: 2, runsFolder, evaluateEvery: 3 };
const preference = { ...common, data: [pairs], batchPairs: 4, learningRate: 1e-3 };

let model: string;

before(async () => {
  const lines = (records: object[]) => records.map((record) => `${JSON.stringify(record)}\n`).join("");
  const turns = (n: number) => [
    { role: "user", content: say(n) },
    { role: "assistant", content: say(n + 1) },
  ];
  fs.writeFileSync(chats, lines(Array.from({ length: 40 }, (_, n) => ({ messages: turns(n) }))));
  fs.writeFileSync(
    pairs,
    lines(Array.from({ length: 30 }, (_, n) => ({ prompt: say(n), chosen: say(n + 1), rejected: say(n + 7) }))),
  );
  model = await writeTinyModel(folder);
  await runStage("reward", rewardOptionsSchema.parse({ ...preference, model, steps: 2, name: "judge" }), {});
});

function optionsOf(stage: StageName): Record<string, unknown> {
  if (stage === "sft") return { ...common, model, data: [chats], batchTokens: 128, learningRate: 1e-3, epochs: 2 };
  if (stage === "reward") return { ...preference, model };
  const online = { onlineShare: 0.5, rewardModel: "judge", samplesPerPrompt: 3, maxAnswerTokens: 8 };
  return { ...preference, ...online, model };
}

const parse = (stage: StageName, options: object): StageOptions =>
  ({ sft: sftOptionsSchema, reward: rewardOptionsSchema, dpo: dpoOptionsSchema })[stage].parse(options);

const weightsOf = (name: string) =>
  fs
    .readdirSync(path.join(runsFolder, name, "model"))
    .filter((file) => file.endsWith(".safetensors"))
    .sort()
    .map((file) => `${file} ${sha256OfFile(path.join(runsFolder, name, "model", file))}`);

/** Steps of the metrics without what clocks and memory say. */
const metricsOf = (name: string) =>
  fs
    .readFileSync(path.join(runsFolder, name, "metrics.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => ({ ...(JSON.parse(line) as object), seconds: 0, tokensPerSecond: 0 }));

for (const stage of ["sft", "reward", "dpo"] as const) {
  describe(stage, () => {
    const options = { steps: 7, checkpointEvery: 2 };
    it("learns, and leaves a run, a model and no memory", async () => {
      const before = liveMemory();
      const events: StageEvent[] = [];
      const given = parse(stage, { ...optionsOf(stage), ...options, name: `${stage}-whole` });
      const result = await runStage(stage, given, { onEvent: (event) => void events.push(event) });
      assert.equal(result.steps, 7);
      const losses = events.flatMap((event) => (event.type === "stage-step" ? [event.loss] : []));
      assert.equal(losses.length, 7);
      assert.ok(losses.every(Number.isFinite));
      if (stage === "sft") assert.ok(losses.at(-1)! < losses[0]!, losses.join());
      assert.deepEqual(liveMemory(), before);
      assert.ok(fs.existsSync(path.join(result.modelFolder, "tokenizer.json")));
    });

    for (const stopAt of stage === "dpo" ? [5] : [3, 4]) {
      it(`killed after step ${stopAt} and resumed, ends with the same bits`, async () => {
        const name = `${stage}-killed-${stopAt}`;
        const kill = new Error("killed");
        await assert.rejects(
          runStage(stage, parse(stage, { ...optionsOf(stage), ...options, name }), {
            onEvent(event) {
              if (event.type === "stage-step" && event.step === stopAt) throw kill;
            },
          }),
          kill,
        );
        await runStage(stage, parse(stage, { resume: true, name, runsFolder, threads: 1 }), {});
        assert.deepEqual(weightsOf(name), weightsOf(`${stage}-whole`));
        assert.deepEqual(metricsOf(name), metricsOf(`${stage}-whole`));
      });
    }
  });
}

describe("sft with adapters", () => {
  const options = { steps: 5, checkpointEvery: 2, loraRank: 4, learningRate: 1e-2 };

  it("learns, keeps no more than adapters in its checkpoints, and resumes with the same bits", async () => {
    const whole = await runStage("sft", parse("sft", { ...optionsOf("sft"), ...options, name: "lora-whole" }), {});
    const kill = new Error("killed");
    const killed = runStage("sft", parse("sft", { ...optionsOf("sft"), ...options, name: "lora-killed" }), {
      onEvent(event) {
        if (event.type === "stage-step" && event.step === 3) throw kill;
      },
    });
    await assert.rejects(killed, kill);
    await runStage("sft", parse("sft", { resume: true, name: "lora-killed", runsFolder }), {});
    assert.deepEqual(weightsOf("lora-killed"), weightsOf("lora-whole"));
    const size = (file: string) => fs.statSync(path.join(whole.runFolder, file)).size;
    assert.ok(size("checkpoints/step-5/weights.safetensors") < size("model/model.safetensors") / 2);
    assert.notDeepEqual(weightsOf("lora-whole"), [
      `model.safetensors ${sha256OfFile(path.join(model, "model.safetensors"))}`,
    ]);
  });
});

describe("what is learnt", () => {
  const told = path.join(folder, "told.jsonl");
  before(() => {
    const records = Array.from({ length: 120 }, (_, n) => ({
      prompt: `${say(n)} ${say(n * 7 + 1)}`,
      chosen: `${say(n)} sea`,
      rejected: `${say(n)} rock`,
    }));
    fs.writeFileSync(told, records.map((record) => `${JSON.stringify(record)}\n`).join(""));
  });
  const options = { data: [told], heldOutShare: 0.2, steps: 30, learningRate: 3e-3, batchPairs: 8, epochs: 9 };

  it("by a reward model, from a head of zeros: which answers are the better ones, on pairs that it has not seen", async () => {
    const { figures } = await runStage(
      "reward",
      parse("reward", { ...optionsOf("reward"), ...options, name: "told" }),
      {},
    );
    assert.ok(figures.heldOutAccuracy! > 0.95, `accuracy ${figures.heldOutAccuracy}`);
    assert.ok(figures.heldOutLoss! < 0.6, `loss ${figures.heldOutLoss}`);
  });

  it("by DPO whose judge compares with the right answer; exam and divergence are measured before the first step and after", async () => {
    const exam = path.join(folder, "exam.jsonl");
    fs.copyFileSync(chats, exam);
    const events: StageEvent[] = [];
    const given = { ...options, steps: 4, evaluateEvery: 2, onlineShare: 0.5, judge: "exact-match", exam: [exam] };
    const asked = parse("dpo", { ...optionsOf("dpo"), ...given, rewardModel: undefined, name: "judged" });
    const result = await runStage("dpo", asked, { onEvent: (event) => void events.push(event) });
    const evaluations = events.flatMap((event) => (event.type === "stage-evaluation" ? [event] : []));
    const measured = evaluations.filter(({ isOfAverage }) => !isOfAverage);
    assert.deepEqual(
      measured.map(({ step }) => step),
      [0, 2, 4],
    );
    assert.equal(measured[0]!.figures.divergence, 0);
    assert.ok(measured[2]!.figures.divergence !== 0);
    assert.ok(measured.every(({ figures }) => figures.examQuestions! > 30));
    // the model is the average of the policies, and what is said of it is said of that
    const ofAverage = evaluations.filter(({ isOfAverage }) => isOfAverage);
    assert.equal(ofAverage.length, 1);
    assert.deepEqual(ofAverage[0]!.figures, result.figures);
    assert.notEqual(result.figures.heldOutLoss, measured[2]!.figures.heldOutLoss);
    const card = fs.readFileSync(path.join(result.modelFolder, "README.md"), "utf8");
    assert.ok(card.includes(`| heldOutLoss | ${result.figures.heldOutLoss!.toPrecision(5)} |`), card);
  });
});

describe("a stage refuses", () => {
  const options = { steps: 4, checkpointEvery: 1 };

  it("to go on with other data, another stage, or other settings", async () => {
    const name = "changed";
    const controller = new AbortController();
    const stopped = runStage("sft", parse("sft", { ...optionsOf("sft"), ...options, name }), {
      signal: controller.signal,
      onEvent: (event) => event.type === "stage-step" && controller.abort(),
    });
    await assert.rejects(stopped, { code: "INTERRUPTED", hint: /rookery sft --resume --name changed/ });
    const resume = { resume: true, name, runsFolder };
    await assert.rejects(runStage("dpo", parse("dpo", resume), {}), { code: "INVALID_OPTION", message: /rookery sft/ });
    const hotter = runStage("sft", parse("sft", { ...resume, learningRate: 0.5 }), {});
    await assert.rejects(hotter, { code: "INVALID_OPTION", message: /learningRate/ });
    const text = fs.readFileSync(chats, "utf8");
    fs.writeFileSync(chats, text.replace("penguins", "chicks"));
    const changed = runStage("sft", parse("sft", resume), {});
    await assert.rejects(changed, { code: "INVALID_OPTION", message: /is not what the run began with/ });
    fs.writeFileSync(chats, text);
  });

  it("a preset, no data, and records of which none is left", async () => {
    const run = (changes: object) => runStage("sft", parse("sft", { ...optionsOf("sft"), ...changes }), {});
    await assert.rejects(run({ model: "nano" }), { code: "MODEL_NOT_FOUND" });
    await assert.rejects(run({ data: [] }), { code: "INVALID_OPTION", message: /data to learn from/ });
    await assert.rejects(run({ sequenceLength: 8, batchTokens: 8 }), {
      code: "BAD_DATA",
      message: /of 40 records 40 are left out/,
    });
    await assert.rejects(run({ sequenceLength: 1024 }), { code: "INVALID_OPTION", message: /700 positions/ });
  });

  it("to leave a model that has learnt nothing, of weights that are damaged", async () => {
    const damaged = path.join(folder, "damaged");
    fs.cpSync(model, damaged, { recursive: true });
    const file = path.join(damaged, "model.safetensors");
    const bytes = fs.readFileSync(file);
    const header = JSON.parse(bytes.subarray(8, 8 + Number(bytes.readBigUInt64LE(0))).toString()) as Record<
      string,
      { data_offsets: [number, number] }
    >;
    const [from] = header["model.layers.0.self_attn.q_proj.weight"]!.data_offsets;
    bytes.writeFloatLE(Number.NaN, 8 + Number(bytes.readBigUInt64LE(0)) + from);
    fs.writeFileSync(file, bytes);
    const asked = parse("sft", { ...optionsOf("sft"), model: damaged, steps: 2, name: "damaged" });
    await assert.rejects(runStage("sft", asked, {}), { code: "NON_FINITE", hint: /no step was ever finite/ });
    assert.ok(!fs.existsSync(path.join(runsFolder, "damaged", "model")));
  });

  it("to touch any other run than the one that it is told to go on with: a folder may have been copied", async () => {
    const asked = parse("sft", { ...optionsOf("sft"), steps: 2, name: "first" });
    await runStage("sft", asked, {});
    fs.cpSync(path.join(runsFolder, "first"), path.join(runsFolder, "copy"), { recursive: true });
    fs.rmSync(path.join(runsFolder, "first"), { recursive: true });
    const result = await runStage("sft", parse("sft", { resume: true, name: "copy", runsFolder }), {});
    assert.equal(result.runFolder, path.join(runsFolder, "copy"));
    assert.ok(!fs.existsSync(path.join(runsFolder, "first")));
  });

  it("adapters wider than the model, and a rate that ends above its peak", async () => {
    const run = (changes: object) => runStage("sft", parse("sft", { ...optionsOf("sft"), ...changes }), {});
    await assert.rejects(run({ loraRank: 97 }), {
      code: "INVALID_OPTION",
      message: /97 is over the model's width of 96/,
    });
    await assert.rejects(run({ learningRate: 1e-6, finalLearningRate: 2e-6 }), {
      code: "INVALID_OPTION",
      message: /finalLearningRate 0.000002 is above the peak of 0.000001/,
    });
    assert.ok(!fs.existsSync(path.join(runsFolder, "sft-1")));
  });

  it("a judge of another tokenizer with as many tokens", async () => {
    const judge = path.join(runsFolder, "judge", "model");
    const other = path.join(folder, "other-judge");
    fs.cpSync(judge, other, { recursive: true });
    const file = path.join(other, "tokenizer.json");
    const json = JSON.parse(fs.readFileSync(file, "utf8")) as { model: { vocab: Record<string, number> } };
    const { vocab } = json.model;
    [vocab.a, vocab.b] = [vocab.b!, vocab.a!];
    fs.writeFileSync(file, JSON.stringify(json));
    const run = runStage("dpo", parse("dpo", { ...optionsOf("dpo"), rewardModel: other }), {});
    await assert.rejects(run, { code: "INVALID_OPTION", message: /has another tokenizer than the policy/ });
  });
});
