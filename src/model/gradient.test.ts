/** The gradient of whole tiny models against central differences of an f64 twin, the routing frozen. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { modelLoss, type TwinBatch } from "../../test/twins/model.ts";
import { frozenRouting } from "../../test/twins/ops.ts";
import { normals, relativeError } from "../../test/twins/support.ts";
import { liveMemory } from "../kernels/bindings/memory.ts";
import { Execution } from "../tensor/execution.ts";
import { linearCrossEntropy } from "../tensor/ops/cross-entropy.ts";
import { PackedAttention } from "./attention.ts";
import type { ModelConfig } from "./config.ts";
import type { RoutingPlan } from "./router.ts";
import { Transformer } from "./transformer.ts";

const tiny: ModelConfig = {
  vocabularySize: 23,
  hiddenSize: 12,
  intermediateSize: 6,
  numHiddenLayers: 5,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  headDim: 6,
  numExperts: 4,
  topK: 1,
  numSharedExperts: 1,
  claShareFactor: 2,
  useQkNorm: true,
  tieWordEmbeddings: true,
  rmsNormEps: 1e-5,
  ropeTheta: 10_000,
  ropeScaling: { type: "dynamic", alpha: 1, factor: 1 },
  maxPositionEmbeddings: 32,
  initializerRange: 0.3,
};

type Case = { change: Partial<ModelConfig>; mode: RoutingPlan["mode"] };

const cases: Case[] = [
  { change: {}, mode: "recycle" },
  {
    change: { claShareFactor: 3, useQkNorm: false, tieWordEmbeddings: false, numSharedExperts: 2, topK: 2 },
    mode: "dropless",
  },
  { change: { useQkNorm: false, numSharedExperts: 0, topK: 2, ropeScaling: null }, mode: "drop" },
  { change: { claShareFactor: 3, tieWordEmbeddings: false, numSharedExperts: 0 }, mode: "dropless" },
  { change: { claShareFactor: 3, numSharedExperts: 2, topK: 2 }, mode: "recycle" },
  { change: { claShareFactor: 1, numKeyValueHeads: 4, numHiddenLayers: 2 }, mode: "dropless" },
];

const lengths = [5, 1, 7];
const tokens = lengths.reduce((sum, length) => sum + length, 0);
const batch: TwinBatch & Record<"tokens" | "targets" | "positions" | "sequences", Int32Array> = {
  tokens: Int32Array.from({ length: tokens }, (_, i) => (i * 7 + (i % 3)) % 23),
  targets: Int32Array.from({ length: tokens }, (_, i) => (i % 6 === 4 ? -1 : (i * 5 + 1) % 23)),
  positions: Int32Array.from(lengths.flatMap((length) => Array.from({ length }, (_, i) => i))),
  sequences: Int32Array.of(0, 5, 5, 1, 6, 7),
};
const scale = 0.1;
const routerWeights = { balanceWeight: 0.5, zWeight: 0.125 };
const directionsEach = 4;
const step = 1e-5;

function inner(a: ArrayLike<number>, b: Float64Array): number {
  return b.reduce((sum, value, i) => sum + value * a[i]!, 0);
}

for (const { change, mode } of cases) {
  test(`gradient of a model: ${mode}, ${JSON.stringify(change)}`, () => {
    const before = liveMemory();
    {
      const config = { ...tiny, ...change };
      using model = new Transformer(config);
      using execution = new Execution({ threads: 2, computeType: "f32" });
      const { arena } = execution;
      const weights = new Map<string, Float64Array>();
      for (const [index, { name, role }] of model.descriptions.entries()) {
        const { weight } = model.parameter(name);
        const deviation = config.initializerRange;
        const values = normals(weight.elements, index + 1, "f32", deviation).map((value) =>
          Math.fround(role === "norm" ? 1 + value : value),
        );
        weight.setFloats(Float32Array.from(values));
        weights.set(name, values);
        model.parameter(name).startGradient();
      }
      const plan = { mode, capacityFactor: mode === "drop" ? 0.7 : 1, seed: 1, randomStream: [2], ...routerWeights };
      const rows = Int32Array.from([0, 5, 0, 5, 5, 1, 5, 1, 6, 7, 6, 7]);
      const { result, tape } = execution.record(() => {
        const input = { tokens: arena.integers(batch.tokens), positions: arena.integers(batch.positions) };
        const attend = new PackedAttention(execution, config, arena.integers(rows, 3, 4));
        const { hidden, routings } = model.forward(execution, input, attend, plan);
        const losses = linearCrossEntropy(execution, hidden, model.head, arena.integers(batch.targets), scale);
        return { losses, routings };
      });
      tape.runBackward();
      const routings = result.routings.map(frozenRouting);
      const changed = routings.flatMap(({ assigned, selected }) =>
        assigned.filter((expert, i) => expert !== selected[i]),
      );
      assert.equal(changed.length > 0, mode !== "dropless", "some tokens are over capacity");

      const loss = () => modelLoss(config, weights, batch, routings, routerWeights, scale);
      let ours = scale * result.losses.toFloat32Array().reduce((sum, one) => sum + one, 0);
      for (const { losses } of result.routings) {
        const [balance = 0, z = 0] = losses!.toFloat32Array();
        ours += routerWeights.balanceWeight * balance + routerWeights.zWeight * z;
      }
      assert.ok(Math.abs(ours / loss() - 1) < 1e-5, `loss ${ours}, the twin's ${loss()}`);

      for (const [index, { name }] of model.descriptions.entries()) {
        const gradient = model.parameter(name).gradient.toFloat32Array();
        const values = weights.get(name)!;
        const original = values.slice();
        const slope = (direction: Float64Array) => {
          const along = (distance: number) => {
            for (let i = 0; i < values.length; i++) values[i] = original[i]! + distance * direction[i]!;
            return loss();
          };
          const difference = (along(step) - along(-step)) / (2 * step);
          values.set(original);
          return difference;
        };
        const directions = Array.from({ length: directionsEach }, (_, i) => normals(values.length, 1000 * i + index));
        const error = relativeError(
          directions.map((direction) => inner(gradient, direction)),
          directions.map(slope),
        );
        assert.ok(error <= 1e-4, `${name}: relative error ${error}`);
      }
    }
    assert.deepEqual(liveMemory(), before);
  });
}
