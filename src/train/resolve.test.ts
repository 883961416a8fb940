import assert from "node:assert/strict";
import { availableParallelism } from "node:os";
import { describe, it } from "node:test";
import { presets } from "../model/presets.ts";
import { type TrainOptionsInput, trainOptionsSchema } from "./options.ts";
import { batchShape, budgetOf, resolveTrainOptions, resumedOptions, stepsIn, withSteps } from "./resolve.ts";
import { expertLearningRateRatio } from "./schedule.ts";

/** Sizes of the tests' own, so that better defaults break none of them. */
const options = (given: TrainOptionsInput = {}) =>
  trainOptionsSchema.parse({ batchTokens: 8192, sequenceLength: 256, ...given });

const pace = (secondsPerStep: number, stepsPerEvaluation = 0) => ({ secondsPerStep, stepsPerEvaluation });

describe("the length of a run", () => {
  it("is in steps, tokens or minutes, five minutes unless told", () => {
    assert.deepEqual(budgetOf(options()), { minutes: 5 });
    assert.deepEqual(budgetOf(options({ minutes: 0.5 })), { minutes: 0.5 });
    assert.deepEqual(budgetOf(options({ steps: 7 })), { steps: 7 });
    assert.deepEqual(budgetOf(options({ tokens: 1, batchTokens: 512 })), { steps: 1 });
    assert.deepEqual(budgetOf(options({ tokens: 1024, batchTokens: 512 })), { steps: 2 });
    assert.deepEqual(budgetOf(options({ tokens: 1025, batchTokens: 512 })), { steps: 3 });
  });

  it("is said once", () => {
    assert.throws(() => budgetOf(options({ steps: 7, minutes: 1 })), {
      code: "INVALID_OPTION",
      message: "--steps 7 and --minutes 1 are different lengths of one run",
      hint: "give one of --steps, --tokens and --minutes",
    });
    assert.throws(
      () => budgetOf(options({ steps: 7, minutes: 1, tokens: 3 })),
      /--steps 7 and --tokens 3 and --minutes 1/,
    );
  });

  it("becomes steps, and what follows from them", () => {
    const { steps, minutes, tokens, evaluateEvery, checkpointEvery } = withSteps(options({ minutes: 3 }), 95, pace(4));
    assert.deepEqual(
      { steps, minutes, tokens, evaluateEvery, checkpointEvery },
      {
        ...{ steps: 95, minutes: undefined, tokens: undefined },
        ...{ evaluateEvery: 10, checkpointEvery: 30 },
      },
    );
    assert.equal(withSteps(options(), 10, pace(1e-3)).checkpointEvery, 10, "at the end at the latest");
    assert.equal(withSteps(options(), 10, pace(1000)).checkpointEvery, 1);
    const told = withSteps(options({ evaluateEvery: 3, checkpointEvery: 2 }), 95, pace(4));
    assert.deepEqual([told.evaluateEvery, told.checkpointEvery], [3, 2]);
  });
});

describe("measurements on held-out text", () => {
  it("are ten, or fewer where they would take more than a tenth of the time, but three at least", () => {
    const every = (steps: number, stepsPerEvaluation: number) =>
      withSteps(options(), steps, pace(1, stepsPerEvaluation)).evaluateEvery;
    assert.equal(every(1000, 10), 100);
    assert.equal(every(1000, 20), 200);
    assert.equal(every(1000, 200), 334);
    assert.equal(every(1, 0), 1);
  });

  it("count in the minutes of a run", () => {
    assert.equal(stepsIn(10, options(), pace(1, 0)), 600);
    const steps = stepsIn(10, options(), pace(1, 5));
    assert.equal(steps + 10 * 5, 600);
    assert.equal(stepsIn(10, options({ evaluateEvery: 1 }), pace(1, 5)), 300, "at most half of the time");
  });
});

describe("the shape of a batch", () => {
  it("is rows a micro-batch and micro-batches an update", () => {
    const shape = (batchTokens: number, sequenceLength: number, microBatchTokens?: number) =>
      batchShape(options({ batchTokens, sequenceLength, microBatchTokens }));
    assert.deepEqual(shape(8192, 256), { rows: 32, microBatches: 1 });
    assert.deepEqual(shape(8192, 256, 1024), { rows: 4, microBatches: 8 });
    assert.deepEqual(shape(65_536, 256), { rows: 64, microBatches: 4 }, "16384 tokens unless told");
    assert.deepEqual(shape(24_576, 256), { rows: 48, microBatches: 2 }, "a part that divides");
    assert.deepEqual(shape(65_536, 32_768), { rows: 1, microBatches: 2 }, "at least a row");
  });

  it("is refused when sizes do not divide each other", () => {
    const refused = (given: TrainOptionsInput, message: string) =>
      assert.throws(() => batchShape(options(given)), { code: "INVALID_OPTION", message });
    refused({ sequenceLength: 48 }, "batchTokens 8192 is no multiple of sequenceLength 48");
    refused({ sequenceLength: 32, microBatchTokens: 96 }, "batchTokens 8192 is no multiple of microBatchTokens 96");
    refused({ sequenceLength: 256, batchTokens: 128 }, "batchTokens 128 is no multiple of sequenceLength 256");
    refused({ microBatchTokens: 384 }, "microBatchTokens 384 is no multiple of sequenceLength 256");
  });
});

describe("resolved options", () => {
  it("say what depends on the model and the machine", () => {
    const resolved = resolveTrainOptions(options(), presets.nano);
    assert.equal(resolved.microBatchTokens, 8192);
    assert.equal(resolved.threads, availableParallelism());
    assert.equal(resolved.expertLearningRateRatio, expertLearningRateRatio(8, 1, 0.26));
    const told = resolveTrainOptions(options({ threads: 3, expertLearningRateRatio: 0.5 }), presets.nano);
    assert.deepEqual([told.threads, told.expertLearningRateRatio], [3, 0.5]);
  });

  it("are what a run's config.json can be read back from", () => {
    const resolved = withSteps(resolveTrainOptions(options({ minutes: 1 }), presets.nano), 10, pace(1));
    assert.deepEqual(options(JSON.parse(JSON.stringify(resolved))), JSON.parse(JSON.stringify(resolved)));
  });

  it("refuse rows longer than the model's positions", () => {
    assert.throws(() => resolveTrainOptions(options({ sequenceLength: 4096 }), presets.nano), {
      code: "INVALID_OPTION",
      message: "sequenceLength 4096 is over the model's 2048 positions",
    });
  });
});

describe("options of a run that goes on", () => {
  const stored = options({
    ...{ name: "a", steps: 12, learningRate: 0.01, data: ["texts"], threads: 2, filters: { minCharacters: 1 } },
    model: { hiddenSize: 32, numExperts: 4, ropeScaling: null },
  });
  const resume = (given: TrainOptionsInput) =>
    resumedOptions(trainOptionsSchema.parse({ resume: true, name: "a", ...given }), stored);

  it("are the stored ones, but for where it lies, its threads, and what it makes again to save memory", () => {
    assert.deepEqual(resume({}), stored);
    assert.deepEqual(resume({ recomputation: "block" }), { ...stored, recomputation: "block" });
    assert.deepEqual(resume({ threads: 1, runsFolder: "elsewhere" }), {
      ...stored,
      threads: 1,
      runsFolder: "elsewhere",
    });
  });

  it("may be said again, in part", () => {
    assert.deepEqual(resume({ steps: 12, data: ["texts"], model: { hiddenSize: 32, ropeScaling: null } }), stored);
  });

  it("may not be contradicted", () => {
    const refused = (given: TrainOptionsInput, message: string) =>
      assert.throws(() => resume(given), { code: "INVALID_OPTION", message });
    refused({ steps: 13 }, "--resume goes on with steps 12, but 13 was given");
    refused({ learningRate: 0.02 }, "--resume goes on with learningRate 0.01, but 0.02 was given");
    refused({ minutes: 2 }, "--resume goes on to the run's 12 steps, but minutes 2 was given");
    refused({ tokens: 2 }, "--resume goes on to the run's 12 steps, but tokens 2 was given");
    refused({ data: ["others"] }, '--resume goes on with data ["texts"], but ["others"] was given');
    refused({ model: { topK: 2 } }, "--resume goes on with model.topK left out, but 2 was given");
    refused({ model: { numExperts: 8 } }, "--resume goes on with model.numExperts 4, but 8 was given");
    refused({ filters: { minCharacters: 2 } }, "--resume goes on with filters.minCharacters 1, but 2 was given");
    refused({ firstMomentType: "bf16" }, '--resume goes on with firstMomentType "f32", but "bf16" was given');
    refused({ seed: 5 }, "--resume goes on with seed 1, but 5 was given");
  });
});
