import assert from "node:assert/strict";
import { after, beforeEach, describe, it } from "node:test";
import { tinyModel } from "../../test/tiny-model.ts";
import { normals, relativeError } from "../../test/twins/support.ts";
import { liveMemory } from "../kernels/bindings/memory.ts";
import { PackedAttention } from "../model/attention.ts";
import { dropless } from "../model/router.ts";
import type { Transformer } from "../model/transformer.ts";
import { Execution } from "../tensor/execution.ts";
import { logits } from "../tensor/ops/linear.ts";
import { forwardLoss, type MicroBatch, selfAttentionSequences } from "../train/step.ts";
import { Adapters } from "./lora.ts";

const settings = { rank: 4, alpha: 8, projections: ["q", "k", "v", "o"] as const, seed: 2 };
const length = 60;
const tokens = Int32Array.from({ length }, (_, i) => (i * 37 + 11) % 290);
const batch: MicroBatch = {
  tokens,
  targets: Int32Array.from(tokens, (_, i) => tokens[i + 1] ?? -1),
  positions: Int32Array.from(tokens.keys()),
  sequences: Int32Array.of(0, length),
};

function adapt(model: Transformer): Adapters {
  const adapters = new Adapters(model, settings);
  for (const { parameter } of adapters.trainedParameters()) {
    if (!parameter.name.includes("lora_B")) continue;
    parameter.weight.setFloats(Float32Array.from(normals(parameter.weight.elements, 5, "f32", 0.1)));
  }
  return adapters;
}

function logitsOf(execution: Execution, model: Transformer): Float32Array {
  const { arena } = execution;
  const sequences = arena.integers(selfAttentionSequences(batch.sequences), 1, 4);
  const input = { tokens: arena.integers(batch.tokens), positions: arena.integers(batch.positions) };
  const attend = new PackedAttention(execution, model.config, sequences);
  const { hidden } = model.forward(execution, input, attend, dropless);
  const values = logits(execution, hidden, model.head).toFloat32Array();
  arena.reset();
  return values;
}

function gradients(execution: Execution, model: Transformer, adapters?: Adapters): void {
  const all = [
    ...model.parameters.values(),
    ...(adapters?.trainedParameters() ?? []).map(({ parameter }) => parameter),
  ];
  for (const parameter of all) parameter.startGradient();
  const { tape } = execution.record(() => forwardLoss(execution, model, batch, dropless, 1 / length));
  tape.runBackward();
  for (const parameter of all) parameter.finishGradient();
  execution.arena.reset();
}

describe("low-rank adapters", () => {
  const started = liveMemory();
  let model: Transformer;
  beforeEach(() => {
    model?.[Symbol.dispose]();
    model = tinyModel();
  });
  after(() => {
    model[Symbol.dispose]();
    assert.deepEqual(liveMemory(), started);
  });

  for (const [computeType, tolerance] of [
    ["f32", 1e-5],
    ["bf16", 3e-2],
  ] as const) {
    it(`merged give the logits of the unmerged model, in ${computeType}`, () => {
      using execution = new Execution({ threads: 2, computeType });
      const before = logitsOf(execution, model);
      const adapters = adapt(model);
      const unmerged = logitsOf(execution, model);
      adapters.merge(execution);
      const merged = logitsOf(execution, model);
      assert.ok(relativeError(unmerged, before) > 0.1, "adapters do something");
      const error = relativeError(merged, unmerged);
      assert.ok(error < tolerance, `${error}`);
    });
  }

  it("begin by changing nothing", () => {
    using execution = new Execution({ threads: 1, computeType: "f32" });
    const before = logitsOf(execution, model);
    using _adapters = new Adapters(model, settings);
    assert.equal(Buffer.compare(Buffer.from(logitsOf(execution, model).buffer), Buffer.from(before.buffer)), 0);
  });

  it("have the gradients that those of the merged matrices lead to: s upᵀ dW, and s dW downᵀ", () => {
    using execution = new Execution({ threads: 2, computeType: "f32" });
    using other = tinyModel();
    adapt(other).merge(execution);
    gradients(execution, other);
    const adapters = adapt(model);
    gradients(execution, model, adapters);
    for (const parameter of model.parameters.values()) {
      const { adapter } = parameter;
      if (!adapter) continue;
      const whole = other.parameter(parameter.name).gradient.toFloat32Array();
      const [down, up] = [adapter.down, adapter.up].map(({ weight }) => weight.toFloat32Array());
      const [inputs, outputs, { rank }] = [parameter.in, parameter.out, settings];
      const [ddown, dup] = [new Float64Array(rank * inputs), new Float64Array(outputs * rank)];
      for (let o = 0; o < outputs; o++) {
        for (let r = 0; r < rank; r++) {
          for (let i = 0; i < inputs; i++) {
            ddown[r * inputs + i]! += adapter.scale * up![o * rank + r]! * whole[o * inputs + i]!;
            dup[o * rank + r]! += adapter.scale * whole[o * inputs + i]! * down![r * inputs + i]!;
          }
        }
      }
      assert.ok(relativeError(adapter.down.gradient.toFloat32Array(), ddown) < 1e-4, adapter.down.name);
      assert.ok(relativeError(adapter.up.gradient.toFloat32Array(), dup) < 1e-4, adapter.up.name);
    }
    adapters[Symbol.dispose]();
  });

  it("are of the projections that were asked for", () => {
    using adapters = new Adapters(model, { ...settings, projections: ["q", "v"] });
    const names = adapters.trainedParameters().map(({ parameter }) => parameter.name);
    assert.ok(names.every((name) => /(q|v)_proj\.lora_[AB]\.weight$/.test(name)));
    // K and V belong to the first of the layers that share them
    assert.equal(names.length, 2 * (5 + 3));
  });
});
