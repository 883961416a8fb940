/**
 * A run that is killed and resumed ends with the bits of the undisturbed one. It is killed at the n-th change of its folder
 * (a line of metrics, a file of a checkpoint, a rename), n drawn from a seed: moments that count, and no clock.
 * `npm run test:long` sets ROOKERY_LONG_TESTS and kills 20 runs.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, it } from "node:test";
import { streamKeys, uniform } from "../../src/base/random.ts";

const kills = process.env.ROOKERY_LONG_TESTS ? 20 : 4;
const rookery = path.join(import.meta.dirname, "../../bin/rookery.js");
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-kill-"));
after(() => fs.rmSync(folder, { recursive: true, force: true }));

const tiny = {
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

function writeText(): string {
  const file = path.join(folder, "text.txt");
  const words = "the penguin swims over cold water and under ice while snow falls on a quiet shore".split(" ");
  const keys = streamKeys(7, "words");
  const lines = Array.from({ length: 400 }, (_, line) =>
    Array.from({ length: 12 }, (_, word) => words[Math.floor(uniform(keys, line * 12 + word) * words.length)]).join(
      " ",
    ),
  );
  fs.writeFileSync(file, lines.join(".\n\n"));
  return file;
}

const text = writeText();

/** Two stages of 8 steps behind the pre-training: their borders are moments like all others. */
function writeStages(): string {
  const file = path.join(folder, "stages.json");
  const stages = [
    { name: "2x", sequenceLength: 64, ropeTheta: 50_000, steps: 8, longTokens: 100 },
    { name: "4x", sequenceLength: 128, ropeAlpha: 50, steps: 8, longTokens: 100, recomputation: "block" },
  ];
  fs.writeFileSync(file, JSON.stringify({ stages }));
  return file;
}

const stages = writeStages();

function startProcess(runsFolder: string, resume: boolean): ChildProcess {
  const sizes = Object.entries(tiny).flatMap(([key, value]) => ["--set", `model.${key}=${value}`]);
  const length = ["--steps", "24", "--checkpoint-every", "3", "--evaluate-every", "10", "--config", stages];
  const batch = ["--sequence-length", "32", "--batch-tokens", "128", "--micro-batch-tokens", "64"];
  const fresh = [...sizes, ...length, ...batch, "--data", text];
  const options = ["train", "--name", "run", "--runs-folder", runsFolder, ...(resume ? ["--resume"] : fresh)];
  return spawn(process.execPath, [rookery, ...options], { stdio: ["ignore", "ignore", "pipe"] });
}

/** Runs to the end, or until the folder has changed `killAt` times. */
async function runProcess(runsFolder: string, resume: boolean, killAt = Number.POSITIVE_INFINITY) {
  fs.mkdirSync(runsFolder, { recursive: true });
  let changes = 0;
  const child = startProcess(runsFolder, resume);
  const watcher = fs.watch(runsFolder, { recursive: true }, () => {
    if (++changes === killAt) child.kill("SIGKILL");
  });
  let errors = "";
  child.stderr?.on("data", (piece) => {
    errors += piece;
  });
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve) =>
    child.on("close", (...how) => resolve(how)),
  );
  watcher.close();
  return { code, signal, changes, errors };
}

const hash = (file: string) => createHash("sha256").update(fs.readFileSync(file)).digest("hex");

function hashesOf(runsFolder: string) {
  const run = path.join(runsFolder, "run");
  const files = [
    "model/model.safetensors",
    "checkpoints/step-40/weights.safetensors",
    "checkpoints/step-40/optimizer.safetensors",
  ];
  return files.map((file) => hash(path.join(run, file)));
}

/** The steps in a run's metrics, in the order of the file. */
function stepsOf(runsFolder: string): number[] {
  return fs
    .readFileSync(path.join(runsFolder, "run", "metrics.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { step: number; kind: string })
    .filter((record) => record.kind === "step")
    .map((record) => record.step);
}

it(`ends with the same bits, killed at any of ${kills} moments and resumed`, async () => {
  const undisturbed = path.join(folder, "undisturbed");
  const whole = await runProcess(undisturbed, false);
  assert.equal(whole.code, 0, whole.errors);
  const expected = hashesOf(undisturbed);

  const keys = streamKeys(11, "kills");
  for (let kill = 0; kill < kills; kill++) {
    const disturbed = path.join(folder, `disturbed-${kill}`);
    // the last changes are the model directory's, and their number varies with what else the machine does
    const moment = 1 + Math.floor(uniform(keys, kill) * 0.75 * whole.changes);
    const killed = await runProcess(disturbed, false, moment);
    assert.equal(killed.signal, "SIGKILL", `moment ${moment} of ${whole.changes} was not reached: ${killed.errors}`);
    const hasRun = fs.existsSync(path.join(disturbed, "run", "config.json"));
    const resumed = await runProcess(disturbed, hasRun);
    assert.equal(resumed.code, 0, resumed.errors);
    assert.deepEqual(hashesOf(disturbed), expected, `killed at moment ${moment} of ${whole.changes}`);
    const steps = Array.from({ length: 40 }, (_, index) => index + 1);
    assert.deepEqual(stepsOf(disturbed), steps, "each step stands in the metrics once");
    fs.rmSync(disturbed, { recursive: true });
  }
});
