/** Training as a user runs it: the command line in a process of its own, on a folder of texts, with a model of a few thousand weights. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { streamKeys, uniform } from "../../src/base/random.ts";

const rookery = path.join(import.meta.dirname, "../../bin/rookery.js");
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-train-"));
after(() => fs.rmSync(folder, { recursive: true, force: true }));

const sizes = {
  vocabularySize: 320,
  hiddenSize: 32,
  intermediateSize: 24,
  numHiddenLayers: 2,
  numAttentionHeads: 2,
  numKeyValueHeads: 1,
  headDim: 16,
  numExperts: 4,
  maxPositionEmbeddings: 64,
};
const model = Object.entries(sizes).flatMap(([key, value]) => ["--set", `model.${key}=${value}`]);
const batch = ["--sequence-length", "32", "--batch-tokens", "128", "--micro-batch-tokens", "64"];
const tiny = [...model, ...batch, "--data", "texts", "--threads", "1"];

function writeTexts(): void {
  const words = "the penguin swims over cold water and under ice while snow falls on a quiet shore".split(" ");
  const keys = streamKeys(7, "words");
  const line = (index: number) =>
    Array.from({ length: 12 }, (_, word) => words[Math.floor(uniform(keys, index * 12 + word) * words.length)]).join(
      " ",
    );
  fs.mkdirSync(path.join(folder, "texts"));
  for (let file = 0; file < 3; file++) {
    const lines = Array.from({ length: 200 }, (_, index) => line(file * 200 + index));
    fs.writeFileSync(path.join(folder, "texts", `${file}.txt`), lines.join(".\n\n"));
  }
}

type Ended = { code: number | null; signal: string | null; stdout: string; stderr: string };

type Disturbance = { signal: "SIGINT" | "SIGKILL"; when: () => boolean };

/** Runs a command in the temporary folder; a signal is sent to it once, at the first change below `runs` when it is time. */
async function run(words: string[], disturbance?: Disturbance): Promise<Ended> {
  fs.mkdirSync(path.join(folder, "runs"), { recursive: true });
  const child = spawn(process.execPath, [rookery, ...words], { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
  let isSent = false;
  const watcher =
    disturbance &&
    fs.watch(path.join(folder, "runs"), { recursive: true }, () => {
      if (isSent || !disturbance.when()) return;
      isSent = true;
      child.kill(disturbance.signal);
    });
  const ended: Ended = { code: null, signal: null, stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (piece: string) => {
      ended[name] += piece;
    });
  }
  [ended.code, ended.signal] = await new Promise<[number | null, string | null]>((resolve) =>
    child.on("close", (...how) => resolve(how)),
  );
  watcher?.close();
  return ended;
}

async function succeed(...words: string[]): Promise<Ended> {
  const ended = await run(words);
  assert.equal(ended.code, 0, ended.stderr);
  return ended;
}

const at = (...parts: string[]) => path.join(folder, "runs", ...parts);
const readJson = (...parts: string[]) => JSON.parse(fs.readFileSync(at(...parts), "utf8"));

/** A run's last weights and moments, and what it released. */
function bits(name: string, step: number): string {
  const hash = createHash("sha256");
  const checkpoint = ["checkpoints", `step-${step}`];
  for (const file of [
    [...checkpoint, "weights.safetensors"],
    [...checkpoint, "optimizer.safetensors"],
    ["model", "model.safetensors"],
  ])
    hash.update(fs.readFileSync(at(name, ...file)));
  return hash.digest("hex");
}

type Metrics = { step: number; kind: string; [name: string]: unknown };

function metrics(name: string, kind: "step" | "evaluation"): Metrics[] {
  const lines = fs.readFileSync(at(name, "metrics.jsonl"), "utf8").trimEnd().split("\n");
  return lines.map((line) => JSON.parse(line) as Metrics).filter((record) => record.kind === kind);
}

const staged = () => fs.readdirSync(at(".cache")).filter((name) => name.startsWith("."));

/** The one line that an error is. */
function lastLine({ stderr }: Ended): string {
  const lines = stderr.trimEnd().split("\n");
  assert.equal(lines.filter((line) => line.startsWith("rookery: ")).length, 1, stderr);
  assert.doesNotMatch(stderr, /\n\s+at |fault of Rookery/);
  return lines.at(-1) ?? "";
}

async function refused(words: string[], expected: RegExp): Promise<void> {
  const names = () => fs.readdirSync(at()).toSorted();
  const [before, stagedBefore] = [names(), fs.existsSync(at(".cache")) ? staged() : []];
  const ended = await run(words);
  assert.match(lastLine(ended), expected);
  assert.equal(ended.code, 2, ended.stderr);
  assert.equal(ended.stdout, "");
  assert.deepEqual(
    names().filter((name) => name !== ".cache"),
    before.filter((name) => name !== ".cache"),
  );
  assert.deepEqual(staged(), stagedBefore);
}

describe("rookery train", () => {
  before(async () => {
    writeTexts();
    const words = ["--steps", "12", "--name", "first", "--checkpoint-every", "4", "--evaluate-every", "5"];
    const { stdout, stderr } = await succeed("train", ...tiny, ...words);
    assert.match(
      stdout,
      /^1536 tokens in 12 steps, .*\nheld-out text: \d\.\d{4} bits per byte\nmemory: \S+ GB at most, \S+ GB predicted\nmodel: runs\/first\/model\n/,
    );
    assert.match(stdout, /next: rookery sample first --prompt/);
    assert.match(stderr, /^step 5: held-out text \d\.\d{4} bits per byte \(loss \d\.\d{4}\)$/m);
    assert.match(stderr, /^step 12: saved runs\/first\/checkpoints\/step-12$/m);
  });

  it("leaves a whole run: every setting, every step, the newest checkpoints, and nothing beside", () => {
    assert.deepEqual(fs.readdirSync(at("first")).toSorted(), [
      "checkpoints",
      "config.json",
      "metrics.jsonl",
      "model",
      "tokenizer",
    ]);
    const { format, command, options } = readJson("first", "config.json");
    assert.deepEqual([format, command], ["rookery-run/1", "train"]);
    assert.deepEqual([options.steps, options.checkpointEvery, options.evaluateEvery], [12, 4, 5]);
    assert.ok(options.expertLearningRateRatio > 0.5 && options.expertLearningRateRatio < 0.7);
    assert.deepEqual(fs.readdirSync(at("first", "checkpoints")).toSorted(), ["step-12", "step-8"]);
    assert.deepEqual(staged(), []);

    const steps = metrics("first", "step");
    assert.deepEqual(
      steps.map(({ step }) => step),
      Array.from({ length: 12 }, (_, index) => index + 1),
    );
    for (const record of steps) {
      for (const key of [
        "crossEntropy",
        "gradientNorm",
        "tokensPerSecond",
        "shareOfPeak",
        "peakMemoryBytes",
        "learningRate",
      ]) {
        assert.ok((record[key] as number) > 0, `${key} of step ${record.step}`);
      }
      const layers = record.layers as { load: number[]; slots: number; recycled: number; dropped: number }[];
      assert.equal(layers.length, 2);
      for (const { load, slots } of layers)
        assert.equal(
          load.reduce((sum, tokens) => sum + tokens, 0),
          slots,
        );
      const share = layers.reduce((sum, layer) => sum + layer.recycled, 0) / 256;
      assert.equal(record.recycledShare, share);
      assert.equal(record.droppedShare, 0);
    }
    assert.ok(steps.some((record) => (record.recycledShare as number) > 0));
    assert.ok((steps.at(-1)?.crossEntropy as number) < (steps[0]?.crossEntropy as number));
    const evaluations = metrics("first", "evaluation");
    assert.deepEqual(
      evaluations.map(({ step }) => step),
      [5, 10, 12],
    );
  });

  it("writes a model that samples, with a card of what it is made of", async () => {
    const card = fs.readFileSync(at("first", "model", "README.md"), "utf8");
    assert.match(card, /^# first$/m);
    assert.match(card, /^\| texts \| not stated \| \d+ \| 2 \|$/m);
    const held = metrics("first", "evaluation").at(-1)?.heldOutBitsPerByte as number;
    assert.ok(card.includes(`${held.toFixed(4)} bits per byte on `));
    const words = ["--prompt", "the penguin", "--max-tokens", "6", "--seed", "3", "--json", "--threads", "1"];
    const sampled = JSON.parse((await succeed("sample", "first", ...words)).stdout);
    assert.equal(sampled.format, "rookery-sample/1");
    assert.equal(sampled.samples.length, 1);
  });

  it("is repeated to the bit by its own config.json, and by two threads", async () => {
    const { stdout, stderr } = await succeed(
      "train",
      "--config",
      "runs/first/config.json",
      "--name",
      "again",
      "--json",
    );
    assert.equal(stderr, "");
    assert.equal(stdout.trimEnd().split("\n").length, 1);
    const result = JSON.parse(stdout);
    assert.equal(result.format, "rookery-train/1");
    assert.deepEqual([result.name, result.runFolder, result.modelFolder], ["again", "runs/again", "runs/again/model"]);
    assert.deepEqual([result.steps, result.tokens, result.skippedSteps], [12, 1536, 0]);
    assert.equal(result.bitsPerByte, metrics("first", "evaluation").at(-1)?.heldOutBitsPerByte);
    assert.equal(bits("again", 12), bits("first", 12));
    await succeed("train", "--config", "runs/first/config.json", "--name", "threads", "--threads", "2");
    assert.equal(bits("threads", 12), bits("first", 12));
  });

  it("another seed makes other weights", async () => {
    await succeed("train", "--config", "runs/first/config.json", "--name", "seed", "--seed", "2");
    assert.notEqual(bits("seed", 12), bits("first", 12));
  });

  it("--resume of a finished run changes nothing, and takes only what agrees with it", async () => {
    const before = [bits("first", 12), fs.readFileSync(at("first", "metrics.jsonl"), "utf8")];
    const { stdout } = await succeed("train", "--resume", "--name", "first", "--steps", "12", "--threads", "1");
    assert.match(stdout, /^1536 tokens in 12 steps/);
    assert.deepEqual([bits("first", 12), fs.readFileSync(at("first", "metrics.jsonl"), "utf8")], before);
    const resume = ["train", "--resume", "--name", "first"];
    await refused(
      [...resume, "--steps", "13"],
      /^rookery: --resume goes on with steps 12, but 13 was given; leave it out/,
    );
    await refused([...resume, "--minutes", "1"], /^rookery: --resume goes on to the run's 12 steps, but minutes 1 was/);
    await refused(
      [...resume, "--set", "model.hiddenSize=64"],
      /^rookery: --resume goes on with model.hiddenSize 32, but 64 was given/,
    );
  });

  it("--minutes becomes a fixed number of steps", async () => {
    const { stdout } = await succeed("train", ...tiny, "--minutes", "0.01", "--name", "short", "--json");
    const { options } = readJson("short", "config.json");
    assert.equal(options.minutes, undefined);
    assert.ok(options.steps >= 1);
    assert.equal(JSON.parse(stdout).steps, options.steps);
    assert.equal(metrics("short", "step").length, options.steps);
  });

  it("Ctrl-C saves and leaves; the resumed run ends with the bits of the undisturbed one", async () => {
    const words = [...tiny, "--steps", "600", "--evaluate-every", "1000"];
    await succeed("train", ...words, "--name", "whole");
    const file = at("stopped", "metrics.jsonl");
    const stopped = await run(["train", ...words, "--name", "stopped"], {
      signal: "SIGINT",
      when: () => fs.existsSync(file) && fs.statSync(file).size > 0,
    });
    assert.equal(stopped.code, 130, stopped.stderr);
    assert.match(
      lastLine(stopped),
      /^rookery: stopped at step \d+ of 600, saved in runs\/stopped; go on with: rookery train --resume --name stopped$/,
    );
    assert.ok(!fs.existsSync(at("stopped", "model")));
    assert.deepEqual(fs.readdirSync(at("stopped", "checkpoints")).length, 1);
    await succeed("train", "--resume", "--name", "stopped");
    assert.equal(bits("stopped", 600), bits("whole", 600));
    assert.equal(metrics("stopped", "step").length, 600);
  });

  it("staging folders of killed processes go with the next run", async () => {
    fs.mkdirSync(at(".cache"), { recursive: true });
    const killed = await run(["train", ...tiny, "--steps", "2", "--name", "killed"], {
      signal: "SIGKILL",
      when: () => staged().length > 0,
    });
    assert.equal(killed.signal, "SIGKILL", killed.stderr);
    assert.equal(staged().length, 1);
    assert.ok(!fs.existsSync(at("killed")));
    await succeed("train", ...tiny, "--steps", "2", "--name", "killed");
    assert.deepEqual(staged(), []);
  });

  it("a damaged checkpoint is named, and the one before it is offered", async () => {
    await succeed("train", "--config", "runs/first/config.json", "--name", "damaged");
    const weights = at("damaged", "checkpoints", "step-12", "weights.safetensors");
    const bytes = fs.readFileSync(weights);
    bytes[bytes.length - 5]! ^= 1;
    fs.writeFileSync(weights, bytes);
    await refused(
      ["train", "--resume", "--name", "damaged"],
      /^rookery: runs\/damaged\/checkpoints\/step-12\/weights.safetensors is damaged.*; remove runs\/damaged\/checkpoints\/step-12 and resume again: runs\/damaged\/checkpoints\/step-8 is whole/,
    );
    fs.rmSync(at("damaged", "checkpoints", "step-12"), { recursive: true });
    await succeed("train", "--resume", "--name", "damaged");
    assert.equal(bits("damaged", 12), bits("first", 12));
    assert.equal(metrics("damaged", "step").length, 12);
  });

  it("a run that diverges skips steps, counts them, and ends with advice", async () => {
    const wild = ["--learning-rate", "1", "--set", "weightDecay=10", "--max-skipped-steps", "3", "--steps", "100"];
    const ended = await run(["train", ...tiny, ...wild, "--name", "wild", "--evaluate-every", "1000"]);
    assert.equal(ended.code, 4, ended.stderr);
    const line = lastLine(ended);
    assert.match(line, /^rookery: loss NaN or gradient norm NaN was not finite for 3 steps in a row, up to step \d+; /);
    assert.match(line, /lower --learning-rate/);
    assert.equal(
      ended.stderr.match(/^warning: step \d+ was skipped: its loss or gradient was not finite$/gm)?.length,
      3,
    );
    const skipped = metrics("wild", "step").map((record) => record.updated === false);
    assert.equal(skipped.filter(Boolean).length, 3, "the metrics hold each step, the last too");
    assert.deepEqual(skipped.slice(-3), [true, true, true]);
  });

  it("what cannot be trained is refused in one line, and leaves nothing", async () => {
    for (const name of ["empty", "tokenizer"]) fs.mkdirSync(path.join(folder, name));
    fs.writeFileSync(path.join(folder, "empty", "blank.txt"), "");
    fs.writeFileSync(path.join(folder, "tokenizer", "tokenizer.json"), '{"version": "1.0"}');
    const train = (...words: string[]) => ["train", ...tiny, "--steps", "2", ...words];
    const own = (...words: string[]) => ["train", ...model, ...batch, "--steps", "2", ...words];
    const cases: [words: string[], line: RegExp][] = [
      [train("--name", "first"), /^rookery: a run "first" is already there \(runs\/first\); continue it with --resume/],
      [train("--minutes", "1"), /^rookery: --steps 2 and --minutes 1 are different lengths of one run; give one of/],
      [train("--tokens", "99"), /^rookery: --steps 2 and --tokens 99 are different lengths of one run/],
      [own("--data", "empty"), /^rookery: the data holds no documents; check the paths/],
      [own("--data", "missing"), /^rookery: cannot read missing: it does not exist; correct the path$/],
      [
        train("--set", "model.numExpert=3"),
        /^rookery: unknown key "model.numExpert" in --set; did you mean "numExperts"/,
      ],
      [train("--sequence-length", "48"), /^rookery: batchTokens 128 is no multiple of sequenceLength 48/],
      [train("--name", "../up"), /^rookery: "..\/up" cannot be the name of a run/],
      [
        train("--tokenizer", "none"),
        /^rookery: cannot read none\/tokenizer.json: it does not exist; correct the path$/,
      ],
      [train("--tokenizer", "tokenizer"), /^rookery: tokenizer\/tokenizer.json: has no `model` object/],
      [
        train("--tokenizer", "runs/first/model", "--set", "model.vocabularySize=300"),
        /^rookery: the tokenizer has 320 tokens, the model's vocabulary 300; give --set model.vocabularySize=320$/,
      ],
      [
        train("--runs-folder", "texts/0.txt"),
        /^rookery: cannot write texts\/0.txt\/nano-1: a part of its path is a file/,
      ],
      [["train", "--resume"], /^rookery: --resume needs to know which run; name it with --name RUN$/],
      [["train", "--resume", "--name", "none"], /^rookery: there is no run "none" in runs; correct --name/],
    ];
    for (const [words, line] of cases) await refused(words, line);
  });

  it("takes a tokenizer that is there already", async () => {
    await succeed("train", ...tiny, "--steps", "2", "--tokenizer", "runs/first/model", "--name", "given");
    const hash = (name: string) =>
      createHash("sha256")
        .update(fs.readFileSync(at(name, "tokenizer", "tokenizer.json")))
        .digest("hex");
    assert.equal(hash("given"), hash("first"));
  });
});

describe("rookery start", () => {
  const longer = [...model, "--set", "model.vocabularySize=600", "--set", "model.maxPositionEmbeddings=600"];
  before(() => {
    if (!fs.existsSync(path.join(folder, "texts"))) writeTexts();
  });

  it("goes the whole way, stops anywhere, goes on, and says what comes next", async () => {
    const { stdout } = await succeed(...["start", "--data", "texts", "--steps", "2", "--name", "start", ...longer]);
    for (const line of [
      /^pretrained, shown 4 examples +4 +\d+\.\d% +\d+\.\d% +\d+\.\d{4} *$/m,
      /^fine-tuned \(SFT\) +2 +\d+\.\d% +\d+\.\d% +\d+\.\d{4} *$/m,
      /^reward model +2 +ranks \d+\.\d% of held-out pairs rightly$/m,
      /^aligned \(DPO\) +2 +\d+\.\d%/m,
      /^aligned, in FP8 +\d+\.\d%/m,
      /^ {2}pretrained +It was a cold morning, and → /m,
      /^ {2}instruct +What is 11 × 15\? → .*\(right: 165\)$/m,
      /^ {2}pretrained +runs\/start-pretrained\/model$/m,
      /^ {2}instruct-FP8 +runs\/start-instruct\/model-fp8$/m,
      /^ {2}npx rookery chat start-instruct$/m,
    ])
      assert.match(stdout, line);
    for (const release of ["start-pretrained/model", "start-instruct/model", "start-instruct/model-fp8"]) {
      assert.ok(fs.existsSync(path.join(folder, "runs", release, "README.md")), release);
    }
    const again = await succeed("start", "--resume", "--name", "start");
    assert.match(again.stderr, /aligning by DPO: done before/);
    const table = (text: string) => text.slice(text.indexOf("stage"), text.indexOf("models, each"));
    assert.equal(table(again.stdout), table(stdout));
  });
});
