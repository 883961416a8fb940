import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { dtypes } from "../../test/twins/support.ts";
import { bitsOf, packedBatch, tinyConfig } from "../../test/twins/tiny.ts";
import { BatchStream, type DataPosition } from "../data/batches.ts";
import { Shard, ShardWriter } from "../data/shard.ts";
import { liveMemory } from "../kernels/bindings/memory.ts";
import { Transformer } from "../model/transformer.ts";
import { Execution } from "../tensor/execution.ts";
import type { ComputeType } from "../tensor/tensor.ts";
import { openCheckpoint, saveCheckpoint } from "./checkpoint.ts";
import { AdamW } from "./optimizer.ts";
import { type StepReport, Trainer } from "./trainer.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-trainer-"));
after(() => fs.rmSync(folder, { recursive: true, force: true }));

function writeShard(name: string, seed: number): Shard {
  const file = path.join(folder, `${name}.shard`);
  const writer = new ShardWriter(file, tinyConfig.vocabularySize);
  for (const length of [40, 17, 90, 33]) writer.add(packedBatch([length], seed + length).tokens);
  writer.close();
  return Shard.open(file);
}

const shards = { plain: writeShard("plain", 1), best: writeShard("best", 2) };
after(() => {
  for (const shard of Object.values(shards)) shard.dispose();
});

/** Six steps, the last two of them annealing on another mixture, and four in longer rows at another RoPE base. */
function setUp(seed = 1, firstMomentType: ComputeType = "f32") {
  const stack = new DisposableStack();
  const model = stack.use(new Transformer(tinyConfig));
  model.initialize(seed);
  const execution = stack.use(new Execution({ threads: 1, computeType: "bf16" }));
  const settings = { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1, firstMomentType };
  const optimizer = stack.use(new AdamW(model, settings));
  const sources = Object.entries(shards).map(([name, shard]) => ({ name, shard }));
  const lengths = [16, 32];
  const enter = (segment: number, position: DataPosition | undefined) => {
    const sequenceLength = lengths[segment]!;
    const { ropeScaling } = tinyConfig;
    model.changePositions({ ropeTheta: 1000 * (segment + 1), ropeScaling, maxPositionEmbeddings: sequenceLength });
    const long = segment === 0 ? undefined : { share: 0.25, tokens: 30 };
    return new BatchStream({ sources, rows: 32 / sequenceLength, sequenceLength, seed: 3 + segment, long, position });
  };
  const trainer = new Trainer(
    { execution, model, optimizer, enter },
    {
      segments: [
        {
          schedule: { peakLearningRate: 0.01, totalSteps: 6, warmupSteps: 2, annealingShare: 0.3, finalShare: 0.1 },
          recomputation: "none",
          microBatches: 2,
          mixtures: { main: { plain: 0.8, best: 0.2 }, annealing: { plain: 0, best: 1 } },
        },
        {
          schedule: { peakLearningRate: 0.005, totalSteps: 4, warmupSteps: 1, annealingShare: 0, finalShare: 0.1 },
          recomputation: "block",
          microBatches: 2,
          mixtures: { main: { plain: 0.5, best: 0.5 }, annealing: undefined },
        },
      ],
      routing: { mode: "recycle", capacityFactor: 1, balanceCoefficient: 0.01, zCoefficient: 0 },
      ...{
        expertLearningRateRatio: 0.5,
        maxGradientNorm: 1,
        seed: 5,
        maxSkippedSteps: 3,
      },
    },
  );
  const state = () =>
    bitsOf(...[...model.officialTensors(), ...optimizer.stateTensors()].map(({ tensor }) => tensor.toBytes()));
  return { model, trainer, state, [Symbol.dispose]: () => stack.dispose() };
}

/** Every number of a step that does not depend on the clock. */
const runTo = (trainer: Trainer, step: number): StepReport[] => {
  const reports: StepReport[] = [];
  while (trainer.step < step) {
    const report = trainer.runStep();
    trainer.checkProgress(report);
    reports.push(report);
  }
  return reports;
};

for (const moment of dtypes)
  test(`a trainer that went back to a checkpoint goes on to the same bits, first moment in ${moment}`, () => {
    using whole = setUp(1, moment);
    const reports = runTo(whole.trainer, 10);
    assert.equal(whole.trainer.isDone, true);
    assert.equal(whole.trainer.tokens, 10 * 64);
    for (const step of [1, 5, 6, 7]) {
      const checkpoints = path.join(folder, `checkpoints-${moment}-${step}`);
      {
        using first = setUp(1, moment);
        runTo(first.trainer, step);
        saveCheckpoint(checkpoints, first.trainer.checkpoint(), 1);
      }
      using checkpoint = openCheckpoint(path.join(checkpoints, `step-${step}`));
      // other weights than those of the run, so that what is not restored shows
      using second = setUp(99, moment);
      second.trainer.restore(checkpoint);
      assert.deepEqual([second.trainer.step, second.trainer.tokens], [step, step * 64]);
      assert.equal(JSON.stringify(runTo(second.trainer, 10)), JSON.stringify(reports.slice(step)));
      assert.equal(second.state(), whole.state(), `from step ${step}`);
    }
  });

test("saving disturbs nothing", () => {
  using plain = setUp();
  using saving = setUp();
  runTo(plain.trainer, 4);
  for (let step = 1; step <= 4; step++) {
    runTo(saving.trainer, step);
    saveCheckpoint(path.join(folder, "often"), saving.trainer.checkpoint(), 2);
  }
  assert.equal(saving.state(), plain.state());
});

function spoil(model: Transformer, value: number): void {
  const { weight } = model.parameter("model.norm.weight");
  weight.setFloats(new Float32Array(weight.elements).fill(value));
}

test("a step that is not finite changes no weight, is counted, and after several in a row ends the run", () => {
  using all = setUp();
  const { model, trainer, state } = all;
  runTo(trainer, 1);
  spoil(model, Number.NaN);
  const before = state();
  assert.deepEqual(
    runTo(trainer, 3).map(({ updated }) => updated),
    [false, false],
  );
  assert.equal(state(), before);
  assert.deepEqual([trainer.step, trainer.skippedSteps, trainer.tokens], [3, 2, 3 * 64]);

  spoil(model, 1);
  runTo(trainer, 4); // a good step: the count in a row starts anew
  spoil(model, Number.NaN);
  runTo(trainer, 6);
  const report = trainer.runStep();
  assert.equal(trainer.skippedSteps, 5);
  assert.throws(() => trainer.checkProgress(report), {
    code: "NON_FINITE",
    message: "loss NaN or gradient norm NaN was not finite for 3 steps in a row, up to step 7",
    hint: /lower --learning-rate/,
  });
});

test("skipped steps are remembered over a resume", () => {
  const checkpoints = path.join(folder, "skipped");
  {
    using first = setUp();
    spoil(first.model, Number.NaN);
    runTo(first.trainer, 2);
    saveCheckpoint(checkpoints, first.trainer.checkpoint(), 1);
  }
  using checkpoint = openCheckpoint(path.join(checkpoints, "step-2"));
  using second = setUp();
  second.trainer.restore(checkpoint);
  assert.equal(second.trainer.skippedSteps, 2);
  const report = second.trainer.runStep();
  assert.throws(() => second.trainer.checkProgress(report), { code: "NON_FINITE" });
});

test("all memory comes back", () => {
  const start = liveMemory();
  {
    using all = setUp();
    runTo(all.trainer, 2);
  }
  assert.deepEqual(liveMemory(), start);
});
