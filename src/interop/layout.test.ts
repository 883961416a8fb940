import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { describe, it } from "node:test";
import fc from "fast-check";
import { RookeryError } from "../base/errors.ts";
import type { ModelConfig } from "../model/config.ts";
import { presets } from "../model/presets.ts";
import { chooseLayout, fromLayoutConfig, layouts, requireLayout, toLayoutConfig } from "./layout.ts";

const { nano, "nano-portable": portable } = presets;

const configArbitrary: fc.Arbitrary<ModelConfig> = fc
  .record({
    headDim: fc.integer({ min: 2, max: 64 }).map((half) => half * 2),
    hiddenPerHead: fc.option(fc.integer({ min: 1, max: 100 }), { nil: undefined }),
    numKeyValueHeads: fc.integer({ min: 1, max: 8 }),
    group: fc.integer({ min: 1, max: 8 }),
    numExperts: fc.oneof(fc.constant(0), fc.integer({ min: 2, max: 64 })),
    gateIsOne: fc.boolean(),
    topShare: fc.double({ min: 0, max: 1, noNaN: true }),
    alpha: fc.option(fc.constantFrom(1, 1000, 50.5), { nil: null }),
    useQkNorm: fc.constantFrom(true, true, false),
    numSharedExperts: fc.constantFrom(1, 1, 0, 2, 3),
    claShareFactor: fc.constantFrom(1, 1, 2, 3),
    tieWordEmbeddings: fc.boolean(),
    numHiddenLayers: fc.integer({ min: 1, max: 12 }),
  })
  .map(({ hiddenPerHead, group, topShare, alpha, gateIsOne, ...rest }) => ({
    ...rest,
    ...(gateIsOne && rest.numExperts > 0 && topShare < 1 / 8 ? { topOneGate: "one" as const } : {}),
    numSharedExperts: rest.numExperts === 0 ? 1 : rest.numSharedExperts,
    vocabularySize: 1000,
    numAttentionHeads: rest.numKeyValueHeads * group,
    hiddenSize: (hiddenPerHead ?? rest.headDim) * rest.numKeyValueHeads * group,
    intermediateSize: 48,
    topK: Math.min(rest.numExperts, 1 + Math.floor(topShare * 8)),
    ropeTheta: 10_000,
    ropeScaling: alpha === null ? null : { type: "dynamic" as const, alpha, factor: 1 },
    rmsNormEps: 1e-5,
    maxPositionEmbeddings: 512,
    initializerRange: 0.02,
  }));

describe("the layout of a configuration", () => {
  it("is the one that other engines run unless the model has what they lack", () => {
    assert.equal(chooseLayout(portable), "hunyuan_v1_moe");
    assert.equal(chooseLayout(nano), "hunyuan");
    assert.equal(chooseLayout({ ...portable, claShareFactor: 2 }), "hunyuan");
    assert.equal(chooseLayout({ ...portable, topK: 1 }), "hunyuan");
    assert.equal(chooseLayout({ ...portable, useQkNorm: false }), "hunyuan");
    assert.equal(chooseLayout({ ...portable, numSharedExperts: 2 }), "hunyuan");
    assert.equal(chooseLayout({ ...portable, ropeScaling: null }), "hunyuan");
    assert.equal(chooseLayout({ ...portable, headDim: 128 }), "hunyuan_v1_moe");
    assert.equal(chooseLayout({ ...portable, topK: 1, topOneGate: "one" }), "hunyuan_v1_moe");
    assert.equal(chooseLayout({ ...portable, numExperts: 0, topK: 0 }), "hunyuan_v1_dense");
    assert.equal(chooseLayout({ ...portable, numExperts: 0, topK: 0, claShareFactor: 2 }), "hunyuan");
  });

  it("is refused with every reason when there is none", () => {
    assert.throws(() => chooseLayout({ ...nano, headDim: 128 }), {
      code: "UNSUPPORTED_MODEL",
      message: /cross-layer attention \(claShareFactor 2\).*raw probability.*no key for headDim.*256 \/ 4 is not 128/,
      hint: /nano-portable/,
    });
    assert.throws(() => requireLayout(nano, "hunyuan_v1_moe"), {
      code: "UNSUPPORTED_MODEL",
      message: /top-1 gate is always 1/,
    });
    assert.throws(() => requireLayout(portable, "hunyuan_v1_dense"), {
      message: /its layers are dense \(numExperts 8\)/,
      hint: /numExperts 0/,
    });
    assert.throws(() => requireLayout({ ...portable, topK: 1, topOneGate: "one" }, "hunyuan"), {
      message: /never by 1/,
    });
    requireLayout(portable, "hunyuan");
  });

  it("gives every configuration back that it can say", () => {
    const counts: Partial<Record<string, number>> = {};
    fc.assert(
      fc.property(configArbitrary, (config) => {
        for (const layout of layouts) {
          let written: unknown;
          try {
            written = toLayoutConfig(config, layout);
          } catch (error) {
            assert.ok(error instanceof RookeryError && error.code === "UNSUPPORTED_MODEL");
            continue;
          }
          // What JSON makes of it, since that is what is read.
          const read = fromLayoutConfig(JSON.parse(JSON.stringify(written)), "config.json");
          assert.deepEqual(read, { layout, config });
          counts[layout] = (counts[layout] ?? 0) + 1;
        }
      }),
      { seed: 3, numRuns: 500 },
    );
    for (const layout of layouts) assert.ok((counts[layout] ?? 0) > 5, `${layout} was hardly tried`);
  });
});

/** Values of the released Hunyuan-A13B, shortened; its repository calls the type "hunyuan". */
const a13b = {
  architectures: ["HunYuanMoEV1ForCausalLM"],
  model_type: "hunyuan",
  auto_map: { AutoModel: "modeling_hunyuan.HunyuanModel" },
  vocab_size: 128_167,
  hidden_size: 4096,
  intermediate_size: 3072,
  moe_intermediate_size: [3072, 3072],
  num_hidden_layers: 2,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  attention_head_dim: 128,
  hidden_act: "silu",
  max_position_embeddings: 32_768,
  rms_norm_eps: 1e-5,
  rope_theta: 10_000,
  rope_scaling: { alpha: 1000, beta_fast: 32, beta_slow: 1, factor: 1, mscale: 1, mscale_all_dim: 1, type: "dynamic" },
  use_qk_norm: true,
  use_cla: false,
  cla_share_factor: 2,
  num_experts: 64,
  moe_topk: [8, 8],
  num_shared_expert: [1, 1],
  norm_topk_prob: true,
  routed_scaling_factor: 1,
  moe_layer_num_skipped: 0,
  use_mixed_mlp_moe: true,
  tie_word_embeddings: true,
  kv_lora_rank: null,
  use_mla: false,
};

/** What is known of the released Hunyuan-Large. */
const large = {
  architectures: ["HunYuanForCausalLM"],
  model_type: "hunyuan",
  auto_map: {
    AutoConfig: "configuration_hunyuan.HunYuanConfig",
    AutoModelForCausalLM: "modeling_hunyuan.HunYuanForCausalLM",
  },
  vocab_size: 129_024,
  hidden_size: 6400,
  intermediate_size: 18_304,
  num_hidden_layers: 64,
  num_attention_heads: 80,
  num_key_value_heads: 8,
  hidden_act: "silu",
  max_position_embeddings: 131_072,
  rms_norm_eps: 1e-5,
  rope_theta: 10_000,
  rope_scaling: { type: "dynamic", factor: 1, alpha: 1000 },
  attention_bias: false,
  use_qk_norm: true,
  use_cla: true,
  cla_share_factor: 2,
  num_experts: 16,
  moe_topk: 1,
  use_mixed_mlp_moe: true,
  num_shared_expert: 1,
  capacity_factor: 1,
  moe_drop_tokens: false,
  moe_random_routing_dropped_token: false,
  tie_word_embeddings: true,
  pretraining_tp: 1,
  torch_dtype: "bfloat16",
};

/** A dense model of the family with the keys of mixtures that such files carry along. */
const dense = {
  architectures: ["HunYuanDenseV1ForCausalLM"],
  model_type: "hunyuan_v1_dense",
  vocab_size: 120_818,
  hidden_size: 2048,
  intermediate_size: 6144,
  num_hidden_layers: 4,
  num_attention_heads: 16,
  num_key_value_heads: 4,
  attention_head_dim: 128,
  head_dim: 128,
  max_position_embeddings: 262_144,
  rope_scaling: { alpha: 1000, factor: 1, type: "dynamic" },
  use_qk_norm: true,
  use_cla: false,
  cla_share_factor: 2,
  num_experts: 1,
  moe_topk: 1,
  num_shared_expert: 1,
  use_mixed_mlp_moe: false,
  tie_word_embeddings: true,
};

describe("config.json of others", () => {
  it("of Hunyuan-Large is read", () => {
    const { layout, config } = fromLayoutConfig(large, "config.json");
    assert.equal(layout, "hunyuan");
    assert.deepEqual([config.headDim, config.claShareFactor, config.topK, config.numSharedExperts], [80, 2, 1, 1]);
    assert.deepEqual(config.ropeScaling, { type: "dynamic", alpha: 1000, factor: 1 });
  });

  it("of Hunyuan-A13B is read, although its type says hunyuan", () => {
    const { layout, config } = fromLayoutConfig(a13b, "config.json");
    assert.equal(layout, "hunyuan_v1_moe");
    assert.deepEqual([config.headDim, config.claShareFactor, config.topK, config.numExperts], [128, 1, 8, 64]);
  });

  it("of a dense model is read, in the V1 family and in the official layout", () => {
    const { layout, config } = fromLayoutConfig(dense, "config.json");
    assert.equal(layout, "hunyuan_v1_dense");
    assert.deepEqual([config.numExperts, config.topK, config.numSharedExperts, config.headDim], [0, 0, 1, 128]);
    const official = fromLayoutConfig({ ...large, num_experts: 1, use_cla: false }, "config.json");
    assert.equal(official.layout, "hunyuan");
    assert.deepEqual([official.config.numExperts, official.config.topK], [0, 0]);
  });

  it("with a top-1 gate of one is read as such", () => {
    const { config } = fromLayoutConfig({ ...a13b, moe_topk: [1, 1] }, "config.json");
    assert.deepEqual([config.topK, config.topOneGate], [1, "one"]);
    const aliased = {
      ...a13b,
      moe_topk: undefined,
      num_experts_per_tok: 4,
      num_experts: undefined,
      num_local_experts: 8,
    };
    const { topK, numExperts } = fromLayoutConfig(JSON.parse(JSON.stringify(aliased)), "config.json").config;
    assert.deepEqual([topK, numExperts], [4, 8]);
  });

  it("by transformers 5 is read", () => {
    const file = path.join(import.meta.dirname, "../../test/oracle/pytorch/hunyuan-v1-moe-tiny/config.json");
    const { layout, config } = fromLayoutConfig(JSON.parse(fs.readFileSync(file, "utf8")), file);
    assert.equal(layout, "hunyuan_v1_moe");
    assert.deepEqual([config.headDim, config.topK, config.ropeTheta], [16, 2, 10_000]);
    assert.deepEqual(config.ropeScaling, { type: "dynamic", alpha: 1000, factor: 1 });
  });

  it("of transformers without rotary scaling does not round frequencies", () => {
    const v1 = toLayoutConfig(portable, "hunyuan_v1_moe");
    for (const keys of [
      { rope_scaling: null },
      { rope_scaling: undefined, rope_parameters: { rope_type: "default", rope_theta: 5000 } },
    ]) {
      const { config } = fromLayoutConfig({ ...v1, ...keys }, "config.json");
      assert.equal(config.ropeScaling?.alpha, 1);
      assert.equal(config.ropeTheta, "rope_parameters" in keys ? 5000 : 10_000);
    }
    assert.equal(fromLayoutConfig({ ...large, rope_scaling: null }, "config.json").config.ropeScaling, null);
  });

  const refused: [what: string, base: object, changes: object, message: RegExp, code?: string][] = [
    ["an unknown key", large, { residual_scale: 2 }, /the key "residual_scale" is unknown/],
    [
      "an unknown key of the scaling",
      large,
      { rope_scaling: { ...large.rope_scaling, ramp: 1 } },
      /the key "ramp" is unknown/,
    ],
    [
      "another architecture",
      large,
      { architectures: ["LlamaForCausalLM"] },
      /"LlamaForCausalLM" with model_type "hunyuan"/,
    ],
    ["another type", large, { architectures: undefined, model_type: "llama" }, /none with model_type "llama"/],
    ["a mixture that says it is dense", dense, { num_experts: 4 }, /this layout is dense/],
    ["another scaling there", dense, { rope_scaling: { type: "yarn", factor: 4 } }, /of the type "yarn"/],
    ["cross-layer attention in a dense model", dense, { use_cla: true }, /use_cla/],
    ["biases", large, { attention_bias: true }, /biases/],
    ["another activation", large, { hidden_act: "gelu" }, /silu/],
    ["linear scaling", large, { rope_scaling: { type: "linear", factor: 2, alpha: 1 } }, /only NTK/],
    ["scaling by length", large, { rope_scaling: { type: "dynamic", factor: 2 } }, /changes with the length/],
    ["a head of its own width", large, { head_dim: 128 }, /hidden_size \/ num_attention_heads = 80/],
    ["renormalised top-1", large, { norm_topk_prob: true }, /exactly when moe_topk > 1/],
    ["layers that differ", a13b, { moe_topk: [8, 4] }, /differs between layers/],
    ["cross-layer attention there", a13b, { use_cla: true }, /use_cla/],
    ["no QK-norm there", a13b, { use_qk_norm: false }, /always on/],
    ["another expert width", a13b, { moe_intermediate_size: [3072, 1024] }, /as wide as/],
    ["latent attention", a13b, { use_mla: true }, /latent/],
    ["no object", [], {}, /no object/, "INVALID_CONFIG"],
    ["a missing size", large, { hidden_size: undefined }, /"hidden_size" is missing|must be/, "INVALID_CONFIG"],
    ["a fraction", large, { num_hidden_layers: 1.5 }, /"num_hidden_layers" is 1.5/, "INVALID_CONFIG"],
    ["a huge size", large, { hidden_size: 1e15 }, /"hidden_size" is 1000000000000000/, "INVALID_CONFIG"],
    ["a size as text", large, { vocab_size: "129024" }, /"vocab_size" is "129024"/, "INVALID_CONFIG"],
    ["uneven heads", large, { num_attention_heads: 81 }, /multiple of num_attention_heads/, "INVALID_CONFIG"],
    ["uneven KV heads", large, { num_key_value_heads: 7 }, /numKeyValueHeads 7/, "INVALID_CONFIG"],
    ["more choices than experts", large, { moe_topk: 17 }, /topK 17/, "INVALID_CONFIG"],
    [
      "an alpha of 0",
      large,
      { rope_scaling: { type: "dynamic", alpha: 0, factor: 1 } },
      /"alpha" is 0/,
      "INVALID_CONFIG",
    ],
    ["too short a list", a13b, { moe_topk: [8] }, /at least 2 entries/, "INVALID_CONFIG"],
    [
      "heads of two that are scaled",
      dense,
      { head_dim: 2, attention_head_dim: null },
      /width 2 cannot be scaled/,
      "INVALID_CONFIG",
    ],
    [
      "more experts than memory has room for names",
      large,
      { num_hidden_layers: 1024, num_experts: 1024 },
      /1024 layers of 1024 experts/,
      "INVALID_CONFIG",
    ],
    ["no head width", a13b, { attention_head_dim: null }, /"head_dim" is missing/, "INVALID_CONFIG"],
  ];
  for (const [what, base, changes, message, code = "UNSUPPORTED_MODEL"] of refused) {
    it(`with ${what} is refused`, () => {
      const values = Array.isArray(base) ? base : JSON.parse(JSON.stringify({ ...base, ...changes }));
      assert.throws(
        () => fromLayoutConfig(values, "some/config.json"),
        (error: unknown) => {
          assert.ok(error instanceof RookeryError);
          assert.match(error.message, message);
          assert.match(error.message, /^some\/config\.json/);
          assert.equal(error.code, code);
          return true;
        },
      );
    });
  }
});
