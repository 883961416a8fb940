/** The losses and gradients of TRL's DPO and reward trainers (test/oracle/trl), on the tiny model that transformers has made. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { dpoGradients } from "../../src/align/dpo.ts";
import type { Unit } from "../../src/align/packing.ts";
import { packUnits } from "../../src/align/pairs.ts";
import { rewardGradients } from "../../src/align/reward.ts";
import { countTargets, sampleOf } from "../../src/align/samples.ts";
import { SafetensorsFile } from "../../src/formats/safetensors.ts";
import { loadTransformer } from "../../src/interop/load.ts";
import { readModelDirectory } from "../../src/interop/model-directory.ts";
import { dropless } from "../../src/model/router.ts";
import type { Transformer } from "../../src/model/transformer.ts";
import { Execution } from "../../src/tensor/execution.ts";
import { linearCrossEntropy } from "../../src/tensor/ops/cross-entropy.ts";
import { score } from "../../src/tensor/ops/score.ts";
import { Parameter } from "../../src/tensor/parameter.ts";
import { forwardHidden, forwardLoss, goThroughMicroBatches } from "../../src/train/step.ts";
import { relativeError } from "../twins/support.ts";

type Measured = { loss: number; gradientNorms: Record<string, number> };
type Fixture = {
  beta: number;
  sftCoefficient: number;
  factor: number;
  pairs: { prompt: number[]; chosen: number[]; rejected: number[] }[];
  dpo: Measured;
  dpoWithSft: Measured;
  reward: Measured;
};

const folder = join(import.meta.dirname, "trl");
const fixture = JSON.parse(readFileSync(join(folder, "preferences.json"), "utf8")) as Fixture;
const file = SafetensorsFile.open(join(folder, "preferences.safetensors"));
const padToken = 95;
const routing = { mode: "dropless", capacityFactor: 1, balanceCoefficient: 0, zCoefficient: 0 } as const;
const random = { seed: 0, step: 1 };

const units: Unit[] = fixture.pairs.map(({ prompt, chosen, rejected }) =>
  [chosen, rejected].map((answer) => {
    const ids = Int32Array.from([...prompt, ...answer]);
    return sampleOf(
      ids,
      Uint8Array.from(ids, (_, i) => (i < prompt.length ? 0 : 1)),
    );
  }),
);

function near(actual: number, expected: number, what: string): void {
  assert.ok(
    Math.abs(actual - expected) < 1e-4 * Math.max(1, Math.abs(expected)),
    `${what}: ${actual}, TRL ${expected}`,
  );
}

/** Compares every gradient's norm, and those that the fixture has as a whole. */
function compareGradients(name: "dpo" | "dpoWithSft" | "reward", gradients: Map<string, Float32Array>): void {
  for (const [tensor, expected] of Object.entries(fixture[name].gradientNorms)) {
    const values = gradients.get(tensor);
    assert.ok(values, tensor);
    const norm = Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
    assert.ok(Math.abs(norm - expected) <= 1e-4 * expected + 1e-9, `${tensor}: norm ${norm}, TRL ${expected}`);
    const key = `${name}.${tensor}`;
    if (!file.tensors.has(key)) continue;
    const error = relativeError(values, new Float32Array(file.read(key).slice().buffer));
    assert.ok(error < 1e-4, `${tensor}: ${error}`);
  }
}

const gradientsOf = (model: Transformer) =>
  new Map(model.officialTensors("gradient").map(({ name, tensor }) => [name, tensor.toFloat32Array()]));

describe("against TRL", () => {
  let execution: Execution;
  let policy: Transformer;
  let reference: Transformer;
  before(async () => {
    execution = new Execution({ threads: 2, computeType: "f32" });
    const directory = readModelDirectory(join(import.meta.dirname, "pytorch", "hunyuan-v1-moe-tiny"));
    reference = (await loadTransformer(directory)).model;
    policy = (await loadTransformer(directory)).model;
    // rows of 160 are longer than what this tiny model was made for
    for (const model of [reference, policy]) model.reservePositions(160);
    for (const { name, tensor } of policy.officialTensors()) {
      if (!/o_proj|down_proj/.test(name)) continue;
      tensor.setFloats(tensor.toFloat32Array().map((value) => value * fixture.factor));
    }
  });
  after(() => {
    for (const one of [execution, policy, reference]) one[Symbol.dispose]();
  });

  // rows of one, two or all pairs, in one micro-batch or several: the same loss
  for (const [sequenceLength, microBatchRows] of [
    [36, 8],
    [40, 1],
    [160, 8],
  ] as const) {
    for (const name of ["dpo", "dpoWithSft"] as const) {
      it(`${name}, rows of ${sequenceLength}, ${microBatchRows} a micro-batch: the same loss and the same gradients`, () => {
        const settings = {
          beta: fixture.beta,
          sftCoefficient: name === "dpo" ? 0 : fixture.sftCoefficient,
          ignoredTarget: -1,
          pairs: units.length,
          chosenTargets: units.reduce((sum, [chosen]) => sum + countTargets(chosen!), 0),
        };
        const batches = packUnits(units, { sequenceLength, microBatchRows }, padToken);
        const parameters = [...policy.parameters.values()];
        const { results } = goThroughMicroBatches(
          execution,
          parameters,
          batches,
          { routing, random },
          (batch, plan) => {
            const before = execution.unrecorded(() => forwardLoss(execution, reference, batch, dropless, 1).losses);
            const { result, routings } = forwardHidden(execution, policy, batch, plan, "none", (hidden) => {
              const targets = execution.arena.integers(batch.targets);
              const losses = execution.unrecorded(() => linearCrossEntropy(execution, hidden, policy.head, targets, 1));
              const made = dpoGradients(batch, losses.toFloat32Array(), before.toFloat32Array(), settings);
              const scales = execution.arena.tensor("f32", made.rowScales.length);
              scales.setFloats(made.rowScales);
              linearCrossEntropy(execution, hidden, policy.head, targets, 1, scales);
              return { result: made, keeps: [] };
            });
            return { routings, read: () => result };
          },
        );
        const preference =
          results.flatMap(({ pairs }) => pairs).reduce((sum, { loss }) => sum + loss, 0) / units.length;
        const sft = results.reduce((sum, { chosenLoss }) => sum + chosenLoss, 0) / settings.chosenTargets;
        near(preference + settings.sftCoefficient * sft, fixture[name].loss, "loss");
        compareGradients(name, gradientsOf(policy));
      });
    }
  }

  it("reward: the same loss and the same gradients", () => {
    using head = new Parameter("score.weight", [1, policy.config.hiddenSize], "matrix");
    const { hiddenSize } = policy.config;
    head.weight.setFloats(Float32Array.from({ length: hiddenSize }, (_, i) => -1 + (2 * i) / (hiddenSize - 1)));
    const pairs: { loss: number; margin: number }[] = [];
    const batches = packUnits(units, { sequenceLength: 40, microBatchRows: 2 }, padToken);
    const parameters = [...policy.parameters.values(), head];
    goThroughMicroBatches(execution, parameters, batches, { routing, random }, (batch, plan) => {
      const { routings } = forwardHidden(execution, policy, batch, plan, "none", (hidden) => {
        score(execution, hidden, head, (scores) => rewardGradients(batch, scores, units.length, pairs));
        return { result: undefined, keeps: [] };
      });
      return { routings, read: () => undefined };
    });
    near(pairs.reduce((sum, { loss }) => sum + loss, 0) / units.length, fixture.reward.loss, "loss");
    compareGradients("reward", gradientsOf(policy).set("score.weight", head.gradient.toFloat32Array()));
  });
});
