import assert from "node:assert/strict";
import { test } from "node:test";
import { dtypes } from "../../test/twins/support.ts";
import { tinyConfig } from "../../test/twins/tiny.ts";
import { liveMemory } from "../kernels/bindings/memory.ts";
import { presets } from "../model/presets.ts";
import { recomputations } from "../model/recomputation.ts";
import { Transformer } from "../model/transformer.ts";
import { Execution } from "../tensor/execution.ts";
import { memoryWarning, peakProcessBytes, predictTrainingMemory } from "./memory.ts";
import { accumulateGradients, type MicroBatch } from "./step.ts";

function batchOf(rows: number, sequenceLength: number, vocabulary: number): MicroBatch {
  const count = rows * sequenceLength;
  const tokens = Int32Array.from({ length: count }, (_, i) => (i * 7919) % vocabulary);
  return {
    tokens,
    targets: tokens.map((_, i) => (i * 104_729) % vocabulary),
    positions: tokens.map((_, i) => i % sequenceLength),
    sequences: Int32Array.from({ length: 2 * rows }, (_, i) => (i % 2 ? sequenceLength : (i / 2) * sequenceLength)),
  };
}

const shapes = [
  { change: {}, rows: 3, sequenceLength: 40 },
  { change: { topK: 2, claShareFactor: 3, numSharedExperts: 0, useQkNorm: false }, rows: 1, sequenceLength: 200 },
  { change: { hiddenSize: 96, vocabularySize: 3000, numHiddenLayers: 5 }, rows: 4, sequenceLength: 64 },
];

for (const { change, rows, sequenceLength } of shapes) {
  for (const computeType of dtypes) {
    test(`the arena that was predicted is the one that is seen: ${JSON.stringify(change)} in ${computeType}`, () => {
      const config = { ...tinyConfig, maxPositionEmbeddings: 256, ...change };
      for (const recomputation of recomputations) {
        const before = liveMemory();
        const settings = { rows, sequenceLength, computeType, threads: 2, recomputation };
        const { arenaBytes } = predictTrainingMemory(config, settings);
        assert.deepEqual(liveMemory(), before);

        using execution = new Execution({ threads: 2, computeType });
        using model = new Transformer(config);
        model.initialize(1);
        execution.arena.reserve(arenaBytes);
        const { bytes } = liveMemory();
        const batch = batchOf(rows, sequenceLength, config.vocabularySize);
        for (const step of [1, 2]) {
          const routing = { mode: "recycle", capacityFactor: 1, balanceCoefficient: 0.01, zCoefficient: 0 } as const;
          accumulateGradients(execution, model, [batch], routing, { seed: 1, step }, recomputation);
        }
        const seen = execution.arena.peakBytes;
        assert.ok(Math.abs(arenaBytes / seen - 1) < 0.02, `${recomputation}: ${arenaBytes} predicted, ${seen} seen`);
        assert.equal(execution.arena.heldBytes, arenaBytes, "nothing was added");
        const gradients = [...model.parameters.values()].reduce((sum, { weight }) => sum + weight.byteLength, 0);
        const squares = 4 * [...model.parameters.values()].filter(({ kind }) => kind === "matrix").length;
        assert.equal(liveMemory().bytes, bytes + gradients + squares + 2 * 4 * 256 * (config.headDim / 2));
      }
    });
  }
}

test("hunyuan-large is predicted without making it", () => {
  const before = liveMemory();
  const settings = { rows: 1, sequenceLength: 4096, computeType: "bf16", threads: 2 } as const;
  const [none, block] = (["none", "block"] as const).map((recomputation) =>
    predictTrainingMemory(presets["hunyuan-large"], { ...settings, recomputation }),
  );
  assert.ok(none!.stateBytes > 6e12);
  assert.ok(block!.arenaBytes < none!.arenaBytes / 5);
  assert.equal(none!.totalBytes, none!.stateBytes + none!.arenaBytes + none!.runtimeBytes);
  assert.deepEqual(liveMemory(), before);
});

test("a run that will not fit is told what it needs, and what would take less", () => {
  const settings = { rows: 4, sequenceLength: 1024, computeType: "bf16", threads: 2, recomputation: "none" } as const;
  const config = presets.nano;
  const needed = predictTrainingMemory(config, settings);
  assert.equal(memoryWarning(config, settings, needed, needed.totalBytes), undefined);
  const warning = memoryWarning(config, settings, needed, 1e8);
  assert.match(
    warning!,
    /^this run needs about 0\.[678] GB of memory and 0\.1 GB are free: lower --micro-batch-tokens/,
  );
  assert.match(warning!, /or take --first-moment-type bf16, or with --recomputation block it needs 0\.6 GB$/);
  const least = { ...settings, recomputation: "block", firstMomentType: "bf16" } as const;
  const mends = memoryWarning(config, least, predictTrainingMemory(config, least), 1e8)!.split(": ")[1];
  assert.equal(mends, "lower --micro-batch-tokens");
});

test("the process has held some memory", () => {
  assert.ok(peakProcessBytes() > 20e6);
});
