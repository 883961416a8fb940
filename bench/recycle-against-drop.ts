/**
 * Does recycling overflowing tokens beat dropping them? Five seeds, each trained twice from the same weights on the same data,
 * capacity factor 1 and (almost) no balance loss, so that the router is skewed and much overflows; both are measured dropless.
 * Run: node bench/recycle-against-drop.ts [steps]   (about ten minutes on 2 cores; the last line is JSON)
 */
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { train } from "../src/train/train.ts";

const steps = Number(process.argv[2] ?? 150);
const seeds = [1, 2, 3, 4, 5];
const runsFolder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-recycle-"));
process.on("exit", () => fs.rmSync(runsFolder, { recursive: true, force: true }));

const shape = {
  vocabularySize: 2048,
  hiddenSize: 128,
  intermediateSize: 256,
  numHiddenLayers: 4,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  headDim: 32,
};

/** Mean share of slots over capacity, over all steps of a run. */
function overflowOf(runFolder: string): number {
  const records = fs
    .readFileSync(path.join(runFolder, "metrics.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { kind: string; layers?: { slots: number; overCapacity: number }[] })
    .flatMap((record) => record.layers ?? []);
  return records.reduce((sum, layer) => sum + layer.overCapacity / layer.slots, 0) / records.length;
}

let tokenizer: string | undefined;
async function heldOutLoss(routing: "recycle" | "drop", seed: number) {
  const result = await train({
    model: shape,
    name: `${routing}-${seed}`,
    runsFolder,
    routing,
    seed,
    steps,
    capacityFactor: 1,
    balanceCoefficient: 0.001,
    batchTokens: 4096,
    learningRate: 3e-3,
    evaluateEvery: steps,
    checkpointEvery: steps,
    keepCheckpoints: 1,
    ...(tokenizer && { tokenizer }),
  });
  tokenizer ??= path.join(result.runFolder, "tokenizer");
  return { loss: result.heldOutCrossEntropy ?? Number.NaN, overflow: overflowOf(result.runFolder) };
}

const differences: number[] = [];
const overflows: number[] = [];
for (const seed of seeds) {
  const recycle = await heldOutLoss("recycle", seed);
  const drop = await heldOutLoss("drop", seed);
  differences.push(recycle.loss - drop.loss);
  overflows.push(recycle.overflow, drop.overflow);
  console.log(
    `seed ${seed}: recycle ${recycle.loss.toFixed(4)}, drop ${drop.loss.toFixed(4)}, difference ${differences.at(-1)!.toFixed(4)}; ` +
      `over capacity ${(100 * recycle.overflow).toFixed(1)}% and ${(100 * drop.overflow).toFixed(1)}%`,
  );
}
const mean = differences.reduce((sum, value) => sum + value, 0) / differences.length;
const deviation = Math.sqrt(
  differences.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (differences.length - 1),
);
const studentT95 = 2.776; // 4 degrees of freedom
const halfWidth = (studentT95 * deviation) / Math.sqrt(differences.length);
console.log(
  `held-out loss, recycle minus drop: ${mean.toFixed(4)}, 95% interval ${(mean - halfWidth).toFixed(4)} to ${(mean + halfWidth).toFixed(4)}`,
);
console.log(
  JSON.stringify({
    bench: "recycle-against-drop",
    steps,
    seeds,
    differences,
    mean,
    interval: [mean - halfWidth, mean + halfWidth],
    smallestOverflow: Math.min(...overflows),
  }),
);
