/** The same tiny models, weights and batches, trained 50 steps by PyTorch (test/oracle/pytorch) and by Rookery in f32. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { SafetensorsFile } from "../../src/formats/safetensors.ts";
import { fromHunyuanConfig } from "../../src/interop/hunyuan.ts";
import { liveMemory } from "../../src/kernels/bindings/memory.ts";
import { PackedAttention } from "../../src/model/attention.ts";
import { dropless } from "../../src/model/router.ts";
import { loadOfficialTensors, Transformer } from "../../src/model/transformer.ts";
import { Execution } from "../../src/tensor/execution.ts";
import { logits } from "../../src/tensor/ops/linear.ts";
import { AdamW } from "../../src/train/optimizer.ts";
import { accumulateGradients, type MicroBatch, selfAttentionSequences, trainStep } from "../../src/train/step.ts";
import { relativeError } from "../twins/support.ts";

const folder = join(import.meta.dirname, "pytorch");

type Fixture = {
  config: Record<string, unknown>;
  training: Record<
    | "beta1"
    | "beta2"
    | "epsilon"
    | "weightDecay"
    | "maxGradientNorm"
    | "loadBalanceLossCoefficient"
    | "zLossCoefficient"
    | "specializedExpertLearningRateRatio",
    number
  >;
  batches: { tokens: number[]; targets: number[]; positions: number[]; sequences: [number, number][] }[];
  steps: {
    step: number;
    batch: number;
    learningRate: number;
    total: number;
    crossEntropy: number;
    gradientNorm: number;
    tokensPerExpert: number[][];
  }[];
  firstLogits: { row: number; logits: number[] }[];
};

function floats(file: SafetensorsFile, name: string): Float32Array {
  return new Float32Array(file.read(name).slice().buffer);
}

function openFixture(name: string) {
  const fixture = JSON.parse(readFileSync(join(folder, `${name}.json`), "utf8")) as Fixture;
  const file = SafetensorsFile.open(join(folder, `${name}.safetensors`));
  const model = new Transformer(fromHunyuanConfig(fixture.config, `${name}.json`));
  const initial = [...file.tensors.values()].filter((tensor) => !/^(grad|final)\./.test(tensor.name));
  loadOfficialTensors(
    model,
    initial.map((tensor) => ({ ...tensor, values: floats(file, tensor.name) })),
  );
  const execution = new Execution({ threads: 2, computeType: "f32" });
  const { training } = fixture;
  const optimizer = new AdamW(model, training);
  const batches = fixture.batches.map(
    (batch): MicroBatch => ({
      tokens: Int32Array.from(batch.tokens),
      targets: Int32Array.from(batch.targets),
      positions: Int32Array.from(batch.positions),
      sequences: Int32Array.from(batch.sequences.flat()),
    }),
  );
  const routing = {
    mode: "dropless" as const,
    capacityFactor: 1,
    balanceCoefficient: training.loadBalanceLossCoefficient,
    zCoefficient: training.zLossCoefficient,
  };
  const dispose = () => {
    for (const one of [optimizer, execution, model, file]) one[Symbol.dispose]();
  };
  return { fixture, file, model, execution, optimizer, batches, routing, [Symbol.dispose]: dispose };
}

for (const name of ["tiny-a", "tiny-b"]) {
  describe(`against PyTorch: ${name}`, () => {
    it("gives the same logits", () => {
      using opened = openFixture(name);
      const { execution, model, batches, fixture } = opened;
      const batch = batches[fixture.steps[0]!.batch]!;
      const { arena } = execution;
      const sequences = selfAttentionSequences(batch.sequences);
      const attend = new PackedAttention(execution, model.config, arena.integers(sequences, sequences.length / 4, 4));
      const input = { tokens: arena.integers(batch.tokens), positions: arena.integers(batch.positions) };
      const { hidden } = model.forward(execution, input, attend, dropless);
      const all = logits(execution, hidden, model.head);
      for (const { row, logits: expected } of fixture.firstLogits) {
        const error = relativeError(all.rows(row, 1).toFloat32Array(), expected);
        assert.ok(error < 1e-5, `row ${row}: ${error}`);
      }
    });

    it("gives the same gradient for every parameter at step 1", () => {
      using opened = openFixture(name);
      const { execution, model, batches, fixture, file, routing } = opened;
      accumulateGradients(execution, model, [batches[fixture.steps[0]!.batch]!], routing, { seed: 0, step: 1 });
      for (const { name: tensor, tensor: gradient } of model.officialTensors("gradient")) {
        const error = relativeError(gradient.toFloat32Array(), floats(file, `grad.${tensor}`));
        assert.ok(error < 1e-4, `${tensor}: ${error}`);
      }
    });

    it("gives the same losses over 50 steps, and the same weights after them", () => {
      const before = liveMemory();
      {
        using opened = openFixture(name);
        const { execution, model, optimizer, batches, fixture, file, routing } = opened;
        for (const expected of fixture.steps) {
          const { learningRate, step } = expected;
          const result = trainStep(execution, model, optimizer, [batches[expected.batch]!], {
            routing,
            maxGradientNorm: fixture.training.maxGradientNorm,
            rates: {
              learningRate,
              expertLearningRate: learningRate * fixture.training.specializedExpertLearningRateRatio,
            },
            random: { seed: 0, step },
          });
          const near = (actual: number, wanted: number, what: string) =>
            assert.ok(Math.abs(actual / wanted - 1) < 1e-3, `step ${step}: ${what} ${actual}, PyTorch ${wanted}`);
          near(result.totalLoss, expected.total, "loss");
          near(result.crossEntropy, expected.crossEntropy, "cross-entropy");
          near(result.gradientNorm, expected.gradientNorm, "gradient norm");
          assert.deepEqual(
            result.layers.map((layer) => layer.load),
            expected.tokensPerExpert,
            `loads at step ${step}`,
          );
        }
        for (const { name: tensor, tensor: weight } of model.officialTensors()) {
          if (!file.tensors.has(`final.${tensor}`)) continue;
          const error = relativeError(weight.toFloat32Array(), floats(file, `final.${tensor}`));
          assert.ok(error < 1e-2, `${tensor} after 50 steps: ${error}`);
        }
      }
      assert.deepEqual(liveMemory(), before);
    });
  });
}
