import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { ModelConfig } from "./config.ts";
import { describeParameters, elementCount } from "./parameters.ts";
import { presets } from "./presets.ts";

const configs: fc.Arbitrary<ModelConfig> = fc
  .record({
    vocabularySize: fc.integer({ min: 1, max: 50 }),
    hiddenSize: fc.integer({ min: 1, max: 20 }),
    intermediateSize: fc.integer({ min: 1, max: 20 }),
    numHiddenLayers: fc.integer({ min: 1, max: 7 }),
    numKeyValueHeads: fc.integer({ min: 1, max: 4 }),
    group: fc.integer({ min: 1, max: 3 }),
    halfHeadDim: fc.integer({ min: 1, max: 5 }),
    numExperts: fc.integer({ min: 1, max: 9 }),
    numSharedExperts: fc.integer({ min: 0, max: 3 }),
    claShareFactor: fc.integer({ min: 1, max: 8 }),
    useQkNorm: fc.boolean(),
    tieWordEmbeddings: fc.boolean(),
  })
  .map(({ group, halfHeadDim, ...rest }) => ({
    ...presets.nano,
    ...rest,
    numAttentionHeads: rest.numKeyValueHeads * group,
    headDim: 2 * halfHeadDim,
    topK: 1,
  }));

test("official tensors partition each array: every row once, in order, and no name twice", () => {
  fc.assert(
    fc.property(configs, (config) => {
      const names = new Set<string>();
      const ours = new Set<string>();
      for (const { name, shape, official } of describeParameters(config)) {
        assert.ok(!ours.has(name), `${name} twice`);
        ours.add(name);
        let row = 0;
        for (const tensor of official) {
          assert.ok(!names.has(tensor.name), `${tensor.name} twice`);
          names.add(tensor.name);
          assert.equal(tensor.firstRow, row, `${tensor.name} starts where the one before ends`);
          assert.equal(tensor.rows, elementCount(tensor.shape.slice(0, -1)));
          assert.equal(tensor.shape.at(-1), shape.at(-1));
          row += tensor.rows;
        }
        assert.equal(row, elementCount(shape.slice(0, -1)), `${name} is covered to its end`);
      }
    }),
    { seed: 3 },
  );
});

test("there are as many official tensors as the architecture has", () => {
  fc.assert(
    fc.property(configs, (config) => {
      const { numHiddenLayers: layers, numExperts, numSharedExperts, claShareFactor, useQkNorm } = config;
      const owners = Math.ceil(layers / claShareFactor);
      const inLayer = 2 + 2 + (useQkNorm ? 2 : 0) + 1 + 3 * numExperts + (numSharedExperts > 0 ? 3 : 0);
      const expected = layers * inLayer + 2 * owners + 2 + (config.tieWordEmbeddings ? 0 : 1);
      assert.equal(describeParameters(config).flatMap(({ official }) => official).length, expected);
    }),
    { seed: 4 },
  );
});

test("hunyuan-large has 3778 tensors under the official names and shapes", () => {
  const tensors = new Map(
    describeParameters(presets["hunyuan-large"]).flatMap(({ official }) =>
      official.map(({ name, shape }) => [name, shape]),
    ),
  );
  assert.equal(tensors.size, 3778);
  const expected: Record<string, number[]> = {
    "model.embed_tokens.weight": [128_512, 6400],
    "model.norm.weight": [6400],
    "model.layers.0.input_layernorm.weight": [6400],
    "model.layers.0.post_attention_layernorm.weight": [6400],
    "model.layers.0.self_attn.q_proj.weight": [6400, 6400],
    "model.layers.0.self_attn.k_proj.weight": [640, 6400],
    "model.layers.62.self_attn.v_proj.weight": [640, 6400],
    "model.layers.63.self_attn.o_proj.weight": [6400, 6400],
    "model.layers.1.self_attn.query_layernorm.weight": [80],
    "model.layers.1.self_attn.key_layernorm.weight": [80],
    "model.layers.63.mlp.gate.wg.weight": [16, 6400],
    "model.layers.63.mlp.experts.15.gate_proj.weight": [18_304, 6400],
    "model.layers.63.mlp.experts.15.up_proj.weight": [18_304, 6400],
    "model.layers.63.mlp.experts.15.down_proj.weight": [6400, 18_304],
    "model.layers.63.mlp.shared_mlp.gate_proj.weight": [18_304, 6400],
    "model.layers.63.mlp.shared_mlp.down_proj.weight": [6400, 18_304],
  };
  for (const [name, shape] of Object.entries(expected)) assert.deepEqual(tensors.get(name), shape, name);
  for (const name of [
    "lm_head.weight",
    "model.layers.1.self_attn.k_proj.weight",
    "model.layers.63.self_attn.v_proj.weight",
  ]) {
    assert.equal(tensors.has(name), false, `${name} is not there: tied, or another layer's`);
  }
});

test("roles: what decays, what takes the experts' rate, what stays f32", () => {
  const roles = new Map(
    describeParameters({ ...presets.nano, tieWordEmbeddings: false }).map((one) => [one.name, one]),
  );
  const of = (name: string) => [roles.get(name)?.role, roles.get(name)?.kind];
  assert.deepEqual(of("model.embed_tokens.weight"), ["embedding", "array"]);
  assert.deepEqual(of("lm_head.weight"), ["head", "matrix"]);
  assert.deepEqual(of("model.norm.weight"), ["norm", "array"]);
  assert.deepEqual(of("model.layers.0.self_attn.key_layernorm.weight"), ["norm", "array"]);
  assert.deepEqual(of("model.layers.0.mlp.gate.wg.weight"), ["router", "array"]);
  assert.deepEqual(of("model.layers.0.mlp.shared_mlp.down_proj"), ["sharedExpert", "matrix"]);
  assert.deepEqual(of("model.layers.0.mlp.experts.gate_up_proj"), ["expert", "matrix"]);
});
