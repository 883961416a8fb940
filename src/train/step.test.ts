import assert from "node:assert/strict";
import { test } from "node:test";
import { dtypes, relativeError } from "../../test/twins/support.ts";
import { bitsOf, packedBatch, tinyConfig } from "../../test/twins/tiny.ts";
import { liveMemory } from "../kernels/bindings/memory.ts";
import type { ModelConfig } from "../model/config.ts";
import type { Recomputation } from "../model/recomputation.ts";
import { Transformer } from "../model/transformer.ts";
import { Execution } from "../tensor/execution.ts";
import type { ComputeType } from "../tensor/tensor.ts";
import { AdamW } from "./optimizer.ts";
import {
  accumulateGradients,
  clippingScale,
  type MicroBatch,
  type RoutingSettings,
  type StepResult,
  selfAttentionSequences,
  trainStep,
} from "./step.ts";

const dropless: RoutingSettings = { mode: "dropless", capacityFactor: 1, balanceCoefficient: 0, zCoefficient: 0 };
const recycle: RoutingSettings = { mode: "recycle", capacityFactor: 1, balanceCoefficient: 0.01, zCoefficient: 0.001 };
const adam = { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1 };

function setUp(change: Partial<ModelConfig> = {}, computeType: ComputeType = "f32", threads = 2) {
  const stack = new DisposableStack();
  const model = stack.use(new Transformer({ ...tinyConfig, ...change }));
  model.initialize(1);
  const execution = stack.use(new Execution({ threads, computeType }));
  const optimizer = stack.use(new AdamW(model, adam));
  return { model, execution, optimizer, [Symbol.dispose]: () => stack.dispose() };
}

type SetUp = ReturnType<typeof setUp>;

function step(
  { execution, model, optimizer }: SetUp,
  batches: MicroBatch[],
  routing: RoutingSettings,
  number = 1,
  recomputation: Recomputation = "none",
): StepResult {
  return trainStep(execution, model, optimizer, batches, {
    routing,
    maxGradientNorm: 1,
    rates: { learningRate: 1e-2, expertLearningRate: 4e-3 },
    random: { seed: 5, step: number },
    recomputation,
  });
}

/** All weights and moments, to the bit. */
function stateOf({ model, optimizer }: SetUp): string {
  const tensors = [...model.officialTensors(), ...optimizer.stateTensors()];
  return bitsOf(...tensors.map(({ tensor }) => tensor.toBytes()));
}

function join(batches: MicroBatch[]): MicroBatch {
  const rows = batches.map((_, i) => batches.slice(0, i).reduce((sum, one) => sum + one.tokens.length, 0));
  const all = (of: "tokens" | "targets" | "positions") => Int32Array.from(batches.flatMap((one) => [...one[of]]));
  const sequences = batches.flatMap((one, i) =>
    Array.from(one.sequences, (x, at) => (at % 2 === 0 ? x + rows[i]! : x)),
  );
  return {
    tokens: all("tokens"),
    targets: all("targets"),
    positions: all("positions"),
    sequences: Int32Array.from(sequences),
  };
}

test("sequences of the kernels are start, length, start, length", () => {
  assert.deepEqual(selfAttentionSequences(Int32Array.of(0, 5, 5, 2)), Int32Array.of(0, 5, 0, 5, 5, 2, 5, 2));
  assert.deepEqual(selfAttentionSequences(new Int32Array()), new Int32Array());
});

for (const change of [{}, { topK: 2, claShareFactor: 3, numSharedExperts: 0, tieWordEmbeddings: false }]) {
  test(`the gradient does not depend on how a step is cut into micro-batches: ${JSON.stringify(change)}`, () => {
    using all = setUp(change);
    const { execution, model } = all;
    // targets that do not count are spread unevenly, so a mean of means would differ
    const rows = [[12], [3, 9], [5, 1, 6], [12]].map((lengths, i) => packedBatch(lengths, i));
    rows[1]!.targets.fill(-1, 2);
    rows[3]!.targets.fill(-1, 0, 6);
    const gradients = (batches: MicroBatch[], routing: RoutingSettings) => {
      const result = accumulateGradients(execution, model, batches, routing, { seed: 1, step: 1 });
      const all = new Map([...model.parameters].map(([name, { gradient }]) => [name, gradient.toFloat32Array()]));
      return { ...result, all };
    };
    const z = { ...dropless, zCoefficient: 0.01 };
    const whole = gradients([join(rows)], z);
    for (const batches of [rows, [join(rows.slice(0, 2)), join(rows.slice(2))]]) {
      const cut = gradients(batches, z);
      for (const [name, gradient] of whole.all) {
        const error = relativeError(cut.all.get(name)!, gradient);
        assert.ok(error <= 1e-5, `${name}: ${error} in ${batches.length} parts`);
      }
      assert.equal(cut.targets, whole.targets);
      assert.ok(Math.abs(cut.crossEntropy / whole.crossEntropy - 1) < 1e-6);
      assert.ok(Math.abs(cut.zLoss / whole.zLoss - 1) < 1e-6);
      assert.deepEqual(cut.layers, whole.layers);
    }
    // Parts of different length weigh the same in the router's losses, but not in the cross-entropy.
    const uneven = gradients([join(rows.slice(0, 3)), rows[3]!], dropless);
    const even = gradients([join(rows)], dropless);
    for (const [name, gradient] of even.all) {
      assert.ok(relativeError(uneven.all.get(name)!, gradient) <= 1e-5, `${name} in uneven parts`);
    }
  });
}

test("the balance loss is averaged over micro-batches: the same one twice is the same as once", () => {
  using all = setUp();
  const { execution, model } = all;
  const batch = packedBatch([12], 1);
  const routing = { ...dropless, balanceCoefficient: 0.5, zCoefficient: 0.1 };
  const run = (batches: MicroBatch[]) => {
    const result = accumulateGradients(execution, model, batches, routing, { seed: 1, step: 1 });
    return { result, gradient: model.parameter("model.layers.1.mlp.gate.wg.weight").gradient.toFloat32Array() };
  };
  const [once, twice] = [run([batch]), run([batch, batch])];
  assert.ok(relativeError(twice.gradient, once.gradient) < 1e-6);
  assert.ok(Math.abs(twice.result.totalLoss / once.result.totalLoss - 1) < 1e-6);
  const { crossEntropy, balanceLoss, zLoss, totalLoss } = once.result;
  assert.ok(balanceLoss > 0 && zLoss > 0);
  assert.ok(Math.abs(totalLoss - (crossEntropy + 0.5 * balanceLoss + 0.1 * zLoss)) < 1e-9);
});

for (const computeType of dtypes) {
  for (const topK of [1, 2]) {
    test(`the same bits on 1, 2 and 3 threads over steps of recycling, top-${topK} in ${computeType}`, () => {
      const run = (threads: number) => {
        using all = setUp({ topK }, computeType, threads);
        const results = [1, 2, 3].map((number) => {
          const batches = [packedBatch([20, 13], 2 * number), packedBatch([33], 2 * number + 1)];
          return step(all, batches, recycle, number);
        });
        return { results, state: stateOf(all) };
      };
      const expected = run(1);
      assert.ok(expected.results.every(({ updated }) => updated));
      for (const { layers } of expected.results) {
        for (const { slots, recycled, dropped, overCapacity } of layers) {
          assert.equal(slots, 66 * topK);
          assert.equal(recycled + dropped, overCapacity);
        }
        if (topK === 1) assert.ok(layers.every(({ dropped }) => dropped === 0));
        assert.ok(layers.some(({ recycled }) => recycled > 0));
      }
      for (const threads of [2, 3]) {
        const actual = run(threads);
        assert.deepEqual(actual.results, expected.results, `${threads} threads`);
        assert.equal(actual.state, expected.state, `weights and moments on ${threads} threads`);
      }
    });
  }
}

for (const computeType of dtypes) {
  for (const change of [{}, { topK: 2, claShareFactor: 3 }, { claShareFactor: 1, numSharedExperts: 0 }]) {
    test(`recomputing blocks changes no bit and takes less memory, in ${computeType}: ${JSON.stringify(change)}`, () => {
      const run = (recomputation: Recomputation) => {
        using all = setUp({ ...change, numHiddenLayers: 5 }, computeType);
        const results = [1, 2, 3].map((number) => {
          const batches = [packedBatch([20, 13], 2 * number), packedBatch([33], 2 * number + 1)];
          return step(all, batches, recycle, number, recomputation);
        });
        return { results, state: stateOf(all), peak: all.execution.arena.peakBytes };
      };
      const kept = run("none");
      assert.ok(kept.results.every(({ layers }) => layers.some(({ recycled, dropped }) => recycled + dropped > 0)));
      const made = run("block");
      assert.deepEqual(made.results, kept.results);
      assert.equal(made.state, kept.state, "weights and moments");
      assert.ok(made.peak < kept.peak, `${made.peak} bytes, ${kept.peak} without`);
    });
  }
}

test("another seed recycles elsewhere, and only recycling depends on it", () => {
  const run = (routing: RoutingSettings, seed: number) => {
    using all = setUp();
    const { execution, model } = all;
    accumulateGradients(execution, model, [packedBatch([40], 1)], routing, { seed, step: 1 });
    return bitsOf(model.parameter("model.layers.0.mlp.experts.down_proj").gradient.toBytes());
  };
  assert.equal(run(recycle, 1), run(recycle, 1));
  assert.notEqual(run(recycle, 1), run(recycle, 2));
  assert.equal(run(dropless, 1), run(dropless, 2));
});

for (const computeType of dtypes) {
  test(`a batch is learnt by heart, and no memory is held but the arena's one block, in ${computeType}`, () => {
    const before = liveMemory();
    {
      using all = setUp({}, computeType);
      const batch = packedBatch([10, 6], 1);
      const first = step(all, [batch], recycle);
      const held = liveMemory();
      let last = first;
      for (let number = 2; number <= 40; number++) last = step(all, [batch], recycle, number);
      assert.deepEqual(liveMemory(), held);
      assert.ok(last.crossEntropy < first.crossEntropy / 4, `${first.crossEntropy} to ${last.crossEntropy}`);
    }
    assert.deepEqual(liveMemory(), before);
  });
}

for (const computeType of dtypes) {
  test(`the next step multiplies by the weights of this one's update, in ${computeType}`, () => {
    using all = setUp({}, computeType);
    const { execution, model } = all;
    const batch = packedBatch([10, 6], 1);
    step(all, [batch], recycle);
    const gradients = () => {
      const result = accumulateGradients(execution, model, [batch], recycle, { seed: 1, step: 2 });
      return { result, bits: bitsOf(...[...model.parameters.values()].map(({ gradient }) => gradient.toBytes())) };
    };
    const left = gradients();
    assert.deepEqual(left, gradients());
  });
}

test("a gradient over the limit is scaled down to it, one under it is left alone", () => {
  assert.equal(clippingScale(0.5, 1), 1);
  assert.equal(clippingScale(0, 1), 1);
  assert.equal(clippingScale(4, 1), 1 / (4 + 1e-6));
  assert.equal(clippingScale(4, 8), 1);
});

test("clipping reaches the update: the first moment holds the clipped gradient", () => {
  using all = setUp();
  const { execution, model, optimizer } = all;
  const result = trainStep(execution, model, optimizer, [packedBatch([10], 1)], {
    routing: dropless,
    maxGradientNorm: 0.01,
    rates: { learningRate: 0, expertLearningRate: 0 },
    random: { seed: 1, step: 1 },
  });
  assert.ok(result.gradientNorm > 0.01);
  let squares = 0;
  for (const { name, tensor } of optimizer.stateTensors()) {
    if (name.startsWith("optimizer.m.")) for (const value of tensor.toFloat32Array()) squares += value ** 2;
  }
  assert.ok(Math.abs(Math.sqrt(squares) / (0.1 * 0.01) - 1) < 1e-4);
});

const poisoned: Record<string, { name: string; value: number; lossIsFinite?: boolean }> = {
  "a NaN in a norm": { name: "model.layers.1.input_layernorm.weight", value: Number.NaN },
  "an infinite weight of the head": { name: "lm_head.weight", value: Infinity },
  "a weight that overflows": { name: "model.norm.weight", value: 3e38 },
  "a gradient whose norm overflows": { name: "lm_head.weight", value: 1e21, lossIsFinite: true },
};
for (const [what, { name, value, lossIsFinite = false }] of Object.entries(poisoned)) {
  for (const computeType of dtypes) {
    test(`${what} leaves weights, moments and the count of updates as they were, in ${computeType}`, () => {
      using all = setUp({ tieWordEmbeddings: false }, computeType);
      const { model, optimizer } = all;
      const batch = packedBatch([10, 4], 1);
      assert.equal(step(all, [batch], recycle).updated, true);
      const { weight } = model.parameter(name);
      const good = weight.toFloat32Array();
      weight.setFloats(good.slice().fill(value, 0, 1));
      const before = stateOf(all);
      const result = step(all, [packedBatch([8], 2), batch], recycle, 2);
      assert.equal(Number.isFinite(result.totalLoss), lossIsFinite);
      assert.equal(Number.isFinite(result.gradientNorm), false);
      assert.equal(result.updated, false);
      assert.equal(stateOf(all), before);
      assert.equal(optimizer.steps, 1);
      weight.setFloats(good);
      assert.equal(step(all, [batch], recycle, 3).updated, true, "and the next step goes on");
      assert.equal(optimizer.steps, 2);
    });
  }
}

test("a batch without a target that counts moves nothing by its text", () => {
  using all = setUp();
  const batch = packedBatch([6], 1);
  batch.targets.fill(-1);
  const result = step(all, [batch], dropless);
  assert.deepEqual([result.targets, result.crossEntropy, result.gradientNorm], [0, 0, 0]);
});
