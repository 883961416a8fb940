import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { presets } from "../model/presets.ts";
import { modulePattern } from "./module-pattern.ts";
import { type Quantization, quantizedTensors, readQuantization, toQuantizationConfig } from "./quantization.ts";

const read = (quantization_config: unknown) => readQuantization({ quantization_config }, "config.json");

/** As llm-compressor writes it. */
const compressed = {
  quant_method: "compressed-tensors",
  format: "float-quantized",
  quantization_status: "compressed",
  global_compression_ratio: 1.5,
  kv_cache_scheme: null,
  ignore: ["lm_head", "re:.*mlp\\.gate\\.wg$"],
  config_groups: {
    group_0: {
      targets: ["Linear"],
      weights: {
        num_bits: 8,
        type: "float",
        symmetric: true,
        strategy: "channel",
        group_size: null,
        dynamic: false,
        actorder: null,
        block_structure: null,
        observer: "minmax",
        observer_kwargs: {},
      },
      input_activations: { num_bits: 8, type: "float", symmetric: true, strategy: "token", dynamic: true },
      output_activations: null,
    },
  },
};

/** The same with other weights, activations or keys. */
function changed(change: { weights?: object; activations?: object | null; keys?: object }): unknown {
  const { group_0: group } = compressed.config_groups;
  const activations = change.activations === null ? null : { ...group.input_activations, ...change.activations };
  return {
    ...compressed,
    config_groups: {
      group_0: { ...group, weights: { ...group.weights, ...change.weights }, input_activations: activations },
    },
    ...change.keys,
  };
}

describe("quantization_config", () => {
  it("of compressed-tensors in FP8 is read, with its patterns of what is not quantized", () => {
    const found = read(compressed)!;
    assert.equal(found.codes, "fp8");
    assert.equal(found.activations, "dynamic");
    assert.equal(found.scales, "channel");
    assert.ok(found.isIgnored("lm_head") && found.isIgnored("model.layers.3.mlp.gate.wg"));
    assert.ok(!found.isIgnored("model.layers.3.mlp.gate.wg2") && !found.isIgnored("model.layers.0.self_attn.q_proj"));
    const fixed = read(
      changed({ activations: { strategy: "tensor", dynamic: false }, weights: { strategy: "tensor" } }),
    )!;
    assert.equal(fixed.activations, "static");
    assert.equal(fixed.scales, "tensor");
  });

  it("of AutoFP8 is read", () => {
    const found = read({ quant_method: "fp8", activation_scheme: "static", ignored_layers: ["lm_head"] })!;
    assert.deepEqual([found.codes, found.scales, found.activations], ["fp8", "tensor", "static"]);
    assert.ok(found.isIgnored("lm_head"));
  });

  it("is absent from a model in bf16", () => {
    assert.equal(readQuantization({}, "config.json"), null);
    assert.equal(read(null), null);
  });

  for (const [codes, groupSize, activations] of [
    ["fp8", null, "dynamic"],
    ["fp8", null, "static"],
    ["int8", null, "none"],
    ["int4", 64, "none"],
  ] as const) {
    it(`of ${codes} with ${activations} activations is written as it is read`, () => {
      const written = { codes, groupSize, activations, scales: "channel" } as const;
      const config = toQuantizationConfig(written, ["lm_head"]);
      const { isIgnored, ...found } = read(JSON.parse(JSON.stringify(config)))!;
      assert.deepEqual(found, written);
      assert.ok(isIgnored("lm_head") && !isIgnored("model.layers.0.self_attn.q_proj"));
    });
  }

  const refused: [string, unknown, RegExp][] = [
    ["another method", { quant_method: "gptq", bits: 4 }, /"quant_method" is "gptq"/],
    ["no method", {}, /"quant_method" is missing/],
    ["an unknown key", changed({ keys: { rotation: true } }), /the key "rotation" is unknown/],
    ["a transform", changed({ keys: { transform_config: { a: 1 } } }), /transform_config/],
    ["several groups", changed({ keys: { config_groups: { a: {}, b: {} } } }), /2 config_groups/],
    ["zero points", changed({ weights: { symmetric: false } }), /zero points/],
    ["an order of columns", changed({ weights: { actorder: "group" } }), /actorder/],
    ["FP8 weights alone", changed({ activations: null }), /without FP8 activations/],
    ["FP8 in groups", changed({ weights: { strategy: "group", group_size: 128 } }), /scales of groups/],
    ["INT8 activations", changed({ activations: { type: "int" } }), /activations are FP8/],
    ["dynamic scales by tensor", changed({ activations: { strategy: "tensor" } }), /dynamic true by tensor/],
    ["groups of 48", changed({ weights: { strategy: "group", group_size: 48 } }), /a multiple of 32/],
    [
      "3 bits",
      changed({ weights: { num_bits: 3, type: "int" }, activations: null, keys: { format: "pack-quantized" } }),
      /3-bit/,
    ],
    ["another format", changed({ keys: { format: "marlin-24" } }), /marlin-24/],
    ["a pattern that is none of ours", changed({ keys: { ignore: ["re:(a+)+$"] } }), /the pattern/],
    ["a list that is none", changed({ keys: { ignore: "lm_head" } }), /a list of module names/],
    ["blocks", { quant_method: "fp8", activation_scheme: "dynamic", weight_block_size: [128, 128] }, /blocks/],
    ["no scheme of activations", { quant_method: "fp8" }, /activation_scheme/],
  ];
  for (const [what, value, message] of refused) {
    it(`is refused with the reason: ${what}`, () => {
      assert.throws(() => read(value), { message });
    });
  }

  it("names the matrices of layers, and neither router nor embedding", () => {
    const all: Quantization = {
      codes: "int8",
      groupSize: null,
      scales: "channel",
      activations: "none",
      isIgnored: () => false,
    };
    const names = quantizedTensors(presets.nano, all);
    assert.ok(names.has("model.layers.0.mlp.experts.7.down_proj.weight"));
    assert.ok([...names.keys()].every((name) => /(_proj)\.weight$/.test(name)));
  });
});

describe("a pattern of modules", () => {
  it("matches as Python's re.match does", () => {
    const cases: [string, string, boolean][] = [
      ["lm_head", "lm_head", true],
      ["lm_head", "lm_head.more", true],
      ["lm_head$", "lm_head.more", false],
      [".*gate$", "mlp.gate", true],
      [".*gate$", "gate.gate.up", false],
      [".*a.*a$", "a", false],
      [".*a.*a$", "aba", true],
      ["a.c", "abc", true],
      ["a\\.c", "abc", false],
      ["^model.*\\.wg", "model.layers.1.mlp.gate.wg", true],
    ];
    for (const [pattern, name, expected] of cases)
      assert.equal(modulePattern(pattern)!(name), expected, `${pattern} ${name}`);
  });

  it("matches as a regular expression does, whatever the pattern", () => {
    const piece = fc.constantFrom("a", "b", ".", "\\.", ".*");
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 8 }),
        fc.boolean(),
        fc.stringMatching(/^[ab.]{0,8}$/),
        (pieces, isWhole, name) => {
          const source = pieces.join("") + (isWhole ? "$" : "");
          assert.equal(modulePattern(source)!(name), new RegExp(`^(?:${source})`).test(name));
        },
      ),
      { seed: 5, numRuns: 2000 },
    );
  });

  it("is nothing else, and takes no longer for a nasty one", () => {
    for (const source of ["(a)", "a+", "[ab]", "a|b", "a{2}", "a*", "x".repeat(300)])
      assert.equal(modulePattern(source), null);
    assert.equal(modulePattern(`${".*a".repeat(80)}$`)!("a".repeat(79)), false);
  });
});
