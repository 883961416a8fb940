import assert from "node:assert/strict";
import { test } from "node:test";
import { dtypes, relativeError } from "../../test/twins/support.ts";
import { bitsOf, packedBatch, tinyConfig } from "../../test/twins/tiny.ts";
import { RookeryError } from "../base/errors.ts";
import { liveMemory } from "../kernels/bindings/memory.ts";
import { Execution } from "../tensor/execution.ts";
import { linearCrossEntropy } from "../tensor/ops/cross-entropy.ts";
import type { ComputeType } from "../tensor/tensor.ts";
import { account } from "./accounting.ts";
import { PackedAttention } from "./attention.ts";
import type { ModelConfig } from "./config.ts";
import { presets } from "./presets.ts";
import { dropless } from "./router.ts";
import { loadOfficialTensors, Transformer } from "./transformer.ts";

function initialized(config: ModelConfig, seed = 1): Transformer {
  const model = new Transformer(config);
  model.initialize(seed);
  return model;
}

function weightBits(model: Transformer): string {
  return bitsOf(...model.officialTensors().map(({ tensor }) => tensor.toBytes()));
}

/** Hidden states of a packed batch, [tokens, hidden], and the losses. */
function run(model: Transformer, batch: ReturnType<typeof packedBatch>, computeType: ComputeType, record = false) {
  using execution = new Execution({ threads: 2, computeType });
  const { arena } = execution;
  model.keepPacked(execution.pool, computeType);
  const rows: number[] = [];
  for (let i = 0; i < batch.sequences.length; i += 2) {
    rows.push(batch.sequences[i]!, batch.sequences[i + 1]!, batch.sequences[i]!, batch.sequences[i + 1]!);
  }
  const forward = () => {
    const attend = new PackedAttention(
      execution,
      model.config,
      arena.integers(Int32Array.from(rows), rows.length / 4, 4),
    );
    const input = { tokens: arena.integers(batch.tokens), positions: arena.integers(batch.positions) };
    const { hidden } = model.forward(execution, input, attend, dropless);
    if (!record) return { hidden: hidden.toFloat32Array(), losses: new Float32Array() };
    const losses = linearCrossEntropy(execution, hidden, model.head, arena.integers(batch.targets), 1);
    return { hidden: hidden.toFloat32Array(), losses: losses.toFloat32Array() };
  };
  if (!record) return forward();
  for (const parameter of model.parameters.values()) parameter.startGradient();
  const { result, tape } = execution.record(forward);
  tape.runBackward();
  for (const parameter of model.parameters.values()) parameter.finishGradient();
  return result;
}

test("the same seed makes the same model, another seed another; norms start at one, nothing else alike", () => {
  using first = initialized(tinyConfig, 1);
  using again = initialized(tinyConfig, 1);
  using other = initialized(tinyConfig, 2);
  assert.equal(weightBits(first), weightBits(again));
  assert.notEqual(weightBits(first), weightBits(other));
  const contents = first.descriptions
    .filter(({ role }) => role !== "norm")
    .map(({ name }) => {
      const values = first.parameter(name).weight.toFloat32Array();
      const deviation = Math.sqrt(values.reduce((sum, value) => sum + value ** 2, 0) / values.length);
      assert.ok(Math.abs(deviation / tinyConfig.initializerRange - 1) < 0.25, `${name}: deviation ${deviation}`);
      return values.subarray(0, 8).join();
    });
  assert.equal(new Set(contents).size, contents.length, "no two arrays hold the same numbers");
  for (const { name, role } of first.descriptions) {
    if (role === "norm")
      assert.ok(
        first
          .parameter(name)
          .weight.toFloat32Array()
          .every((value) => value === 1),
      );
  }
});

for (const [name, preset] of Object.entries(presets)) {
  test(`a model built like ${name} has the parameters that its accounting counts`, () => {
    const small = { vocabularySize: 37, hiddenSize: 24, intermediateSize: 10, headDim: 2, maxPositionEmbeddings: 8 };
    const config: ModelConfig = { ...preset, ...small };
    const before = liveMemory();
    {
      using model = new Transformer(config);
      const { total } = account(config).parameters;
      assert.equal(liveMemory().bytes - before.bytes, 4 * total, "f32 weights and nothing else");
      let elements = 0;
      for (const { tensor } of model.officialTensors()) elements += tensor.elements;
      assert.equal(elements, total);
      const kinds = model.descriptions.map((one) => [one.name, one.shape.join(), one.kind]);
      assert.deepEqual(
        kinds,
        [...model.parameters.values()].map((one) => [one.name, one.shape.join(), one.kind]),
      );
    }
    assert.deepEqual(liveMemory(), before);
  });
}

test("official tensors are views: writing one changes its rows of the array and no others", () => {
  using model = new Transformer({ ...tinyConfig, numExperts: 3 });
  const { intermediateSize: width, hiddenSize: hidden } = tinyConfig;
  const tensors = new Map(model.officialTensors().map(({ name, tensor }) => [name, tensor]));
  const up = tensors.get("model.layers.1.mlp.experts.2.up_proj.weight")!;
  assert.deepEqual(up.shape, [width, hidden]);
  up.setFloats(new Float32Array(width * hidden).fill(1));
  const all = model.parameter("model.layers.1.mlp.experts.gate_up_proj").weight.toFloat32Array();
  // expert 2's matrix has its gate's rows first
  const first = (2 * 2 * width + width) * hidden;
  assert.ok(all.every((value, i) => value === (i >= first && i < first + width * hidden ? 1 : 0)));
  const gradients = model.officialTensors("gradient");
  assert.deepEqual(
    gradients.map(({ name, tensor }) => [name, tensor.shape]),
    [...tensors].map(([name, tensor]) => [name, tensor.shape]),
  );
});

test("weights go through their official names unchanged, whatever the order", () => {
  using source = initialized(tinyConfig, 3);
  using target = new Transformer(tinyConfig);
  const saved = source.officialTensors().map(({ name, tensor }) => {
    return { name, shape: tensor.shape, values: tensor.toFloat32Array() };
  });
  loadOfficialTensors(target, saved.toReversed());
  assert.equal(weightBits(target), weightBits(source));
});

test("weights of another model are refused, naming the tensor", () => {
  using model = new Transformer(tinyConfig);
  const zeros = model.officialTensors().map(({ name, tensor }) => {
    return { name, shape: tensor.shape, values: new Float32Array(tensor.elements) };
  });
  const refused = (tensors: typeof zeros, message: RegExp) =>
    assert.throws(
      () => loadOfficialTensors(model, tensors),
      (error: RookeryError) =>
        error instanceof RookeryError && error.code === "FILE_DAMAGED" && message.test(error.message),
    );
  refused(zeros.slice(1), /model\.embed_tokens\.weight is missing \(1 tensors are\)/);
  refused([...zeros, { name: "lm_head.weight", shape: [1], values: new Float32Array(1) }], /no tensor lm_head\.weight/);
  refused([...zeros, zeros[0]!], /model\.embed_tokens\.weight is there twice/);
  const transposed = zeros.map((one) => ({ ...one, shape: [...one.shape].reverse() }));
  refused(transposed, /model\.embed_tokens\.weight is \[32, 61\], the model needs \[61, 32\]/);
});

for (const dtype of dtypes) {
  test(`a document's bits do not depend on what it is packed with, in ${dtype}`, () => {
    for (const change of [{}, { claShareFactor: 3, topK: 2, useQkNorm: false, ropeScaling: null }]) {
      using model = initialized({ ...tinyConfig, ...change });
      const together = packedBatch([5, 9, 3], 1);
      const { hidden } = run(model, together, dtype);
      const width = tinyConfig.hiddenSize;
      for (let i = 0; i < together.sequences.length; i += 2) {
        const [start, length] = [together.sequences[i]!, together.sequences[i + 1]!];
        const alone = {
          tokens: together.tokens.slice(start, start + length),
          targets: together.targets.slice(start, start + length),
          positions: together.positions.slice(start, start + length),
          sequences: Int32Array.of(0, length),
        };
        const expected = run(model, alone, dtype).hidden;
        const here = hidden.subarray(start * width, (start + length) * width);
        assert.equal(bitsOf(here), bitsOf(expected), `document ${i / 2}`);
      }
    }
  });

  test(`recording changes no bit of the forward pass, in ${dtype}`, () => {
    using model = initialized(tinyConfig);
    const batch = packedBatch([6, 6], 2);
    assert.equal(bitsOf(run(model, batch, dtype).hidden), bitsOf(run(model, batch, dtype, true).hidden));
  });
}

test("nothing a row sees lies ahead of it", () => {
  using model = initialized(tinyConfig);
  const batch = packedBatch([12], 3);
  const before = run(model, batch, "f32").hidden;
  batch.tokens[8] = (batch.tokens[8]! + 1) % tinyConfig.vocabularySize;
  const after = run(model, batch, "f32").hidden;
  const cut = 8 * tinyConfig.hiddenSize;
  assert.equal(bitsOf(after.subarray(0, cut)), bitsOf(before.subarray(0, cut)));
  for (let row = 8; row < 12; row++) {
    const [from, to] = [row * tinyConfig.hiddenSize, (row + 1) * tinyConfig.hiddenSize];
    assert.notEqual(bitsOf(after.subarray(from, to)), bitsOf(before.subarray(from, to)), `row ${row} sees the change`);
  }
});

for (const dtype of dtypes) {
  test(`a tied table's gradient is that of the embedding and that of the head together, in ${dtype}`, () => {
    using tied = initialized(tinyConfig);
    using separate = new Transformer({ ...tinyConfig, tieWordEmbeddings: false });
    const table = tied.parameter("model.embed_tokens.weight").weight.toFloat32Array();
    for (const [name, parameter] of separate.parameters) {
      parameter.weight.setFloats(name === "lm_head.weight" ? table : tied.parameter(name).weight.toFloat32Array());
    }
    const batch = packedBatch([8, 7], 4);
    const [one, other] = [run(tied, batch, dtype, true), run(separate, batch, dtype, true)];
    assert.equal(bitsOf(one.hidden, one.losses), bitsOf(other.hidden, other.losses), "the same model");
    const gradient = (model: Transformer, name: string) => model.parameter(name).gradient.toFloat32Array();
    const embedding = gradient(separate, "model.embed_tokens.weight");
    const sum = gradient(separate, "lm_head.weight").map((value, i) => value + embedding[i]!);
    assert.ok(embedding.some((value) => value !== 0));
    assert.ok(relativeError(gradient(tied, "model.embed_tokens.weight"), sum) < 1e-6);
    for (const { name } of tied.descriptions.filter(({ role }) => role !== "embedding")) {
      assert.equal(bitsOf(gradient(tied, name)), bitsOf(gradient(separate, name)), name);
    }
  });
}

test("a model gives back all it holds, also the tables of its first forward pass", () => {
  const before = liveMemory();
  {
    using model = initialized(tinyConfig);
    run(model, packedBatch([4], 5), "bf16", true);
    run(model, packedBatch([4], 5), "f32", true);
  }
  assert.deepEqual(liveMemory(), before);
  const model = initialized(tinyConfig);
  model[Symbol.dispose]();
  assert.throws(() => run(model, packedBatch([4], 5), "f32"), { code: "DISPOSED" });
});

test("a parameter that the model does not have is a fault with its name", () => {
  using model = new Transformer(tinyConfig);
  assert.throws(() => model.parameter("lm_head.weight"), /no parameter lm_head\.weight/);
});

test("queries before any keys are a fault", () => {
  using execution = new Execution({ threads: 1, computeType: "f32" });
  const attend = new PackedAttention(execution, tinyConfig, execution.arena.integers(Int32Array.of(0, 1, 0, 1), 1, 4));
  assert.throws(() => attend.attend(0, execution.arena.tensor("f32", 1, 32)), /no layer has stored keys/);
});

const dense = { ...tinyConfig, numExperts: 0, topK: 0, claShareFactor: 1 };

test("a dense model computes and learns like a mixture of one expert, whose gate is one, and counts no router", () => {
  const batch = packedBatch([9, 4], 3);
  using model = initialized(dense);
  using mixture = new Transformer({ ...dense, numExperts: 1, topK: 1, numSharedExperts: 0 });
  const named = new Map(model.officialTensors().map(({ name, tensor }) => [name, tensor]));
  for (const { name, tensor } of mixture.officialTensors()) {
    const values = named.get(name.replace(".experts.0.", "."))?.toFloat32Array();
    if (values) tensor.setFloats(values);
    else assert.match(name, /gate\.wg/);
  }
  const [expected, actual] = [run(mixture, batch, "f32", true), run(model, batch, "f32", true)];
  assert.ok(relativeError(actual.hidden, expected.hidden) < 1e-6);
  const gradientOf = (of: Transformer, layer: string) =>
    of.parameter(`model.layers.1.mlp.${layer}gate_up_proj`).gradient.toFloat32Array();
  assert.ok(relativeError(gradientOf(model, ""), gradientOf(mixture, "experts.")) < 1e-5);
  const { total, activated } = account(model.config).parameters;
  assert.equal(total, activated);
  assert.equal(account(mixture.config).parameters.total - total, dense.numHiddenLayers * dense.hiddenSize);
});

test("a top-1 gate of one weighs the expert fully and teaches the router nothing", () => {
  const batch = packedBatch([9, 4], 3);
  using raw = initialized({ ...tinyConfig, topK: 1 });
  using one = initialized({ ...tinyConfig, topK: 1, topOneGate: "one" });
  const [expected, actual] = [run(raw, batch, "f32", true), run(one, batch, "f32", true)];
  assert.ok(relativeError(actual.hidden, expected.hidden) > 1e-2);
  const routerGradient = (of: Transformer) =>
    of.parameter("model.layers.0.mlp.gate.wg.weight").gradient.toFloat32Array();
  assert.ok(routerGradient(raw).some((value) => value !== 0));
  assert.ok(routerGradient(one).every((value) => value === 0));
});
