import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { type SafetensorsDtype, type TensorToWrite, writeSafetensors } from "../formats/safetensors.ts";
import type { ModelConfig } from "../model/config.ts";
import { presets } from "../model/presets.ts";
import { type ModelDirectoryContents, readModelDirectory, writeModelDirectory } from "./model-directory.ts";
import { expectedTensors } from "./model-tensors.ts";

let root = "";
let folder = "";
beforeEach(() => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-model-"));
  folder = path.join(root, "model");
});
afterEach(() => fs.rmSync(root, { recursive: true, force: true }));

const tiny: ModelConfig = {
  ...presets.nano,
  vocabularySize: 16,
  hiddenSize: 8,
  intermediateSize: 6,
  numHiddenLayers: 2,
  numAttentionHeads: 2,
  numKeyValueHeads: 1,
  headDim: 4,
  numExperts: 2,
  topK: 1,
};

function tensorsOf(config: ModelConfig, dtype: SafetensorsDtype = "F32"): TensorToWrite[] {
  return [...expectedTensors(config)].map(([name, shape], index) => {
    const byteLength = shape.reduce((product, size) => product * size, dtype === "F32" ? 4 : 2);
    return { name, dtype, shape, bytes: new Uint8Array(byteLength).fill(index) };
  });
}

function contents(config: ModelConfig, changes: Partial<ModelDirectoryContents> = {}): ModelDirectoryContents {
  return {
    config,
    tensors: tensorsOf(config),
    generation: {
      bosTokenId: 1,
      eosTokenIds: [2, 3],
      padTokenId: 0,
      temperature: 0.7,
      topK: 20,
      topP: 0.6,
      repetitionPenalty: 1.05,
    },
    modelCard: "# A model\n",
    writeTokenizer: (target) => fs.writeFileSync(path.join(target, "tokenizer.json"), "{}"),
    ...changes,
  };
}

/** Writes a good directory and then other weights into it. */
function withWeights(config: ModelConfig, change: (tensors: TensorToWrite[]) => TensorToWrite[]): void {
  writeModelDirectory(folder, contents(config, { replace: true }));
  writeSafetensors(path.join(folder, "model.safetensors"), change(tensorsOf(config)), { format: "pt" });
}

const extra = (name: string): TensorToWrite => ({ name, dtype: "F32", shape: [1], bytes: new Uint8Array(4) });

describe("writeModelDirectory", () => {
  it("writes what readModelDirectory reads", () => {
    assert.equal(writeModelDirectory(folder, contents(tiny)), "hunyuan");
    assert.deepEqual(fs.readdirSync(folder).sort(), [
      "README.md",
      "config.json",
      "generation_config.json",
      "model.safetensors",
      "tokenizer.json",
    ]);
    const directory = readModelDirectory(folder);
    assert.deepEqual(directory.config, tiny);
    assert.deepEqual(directory.generation, contents(tiny).generation);
    using tensors = directory.openTensors();
    assert.deepEqual(tensors.notes, []);
    for (const { name, bytes } of tensorsOf(tiny)) assert.deepEqual(tensors.read(name), bytes, name);
    const config = JSON.parse(fs.readFileSync(path.join(folder, "config.json"), "utf8"));
    assert.deepEqual([config.torch_dtype, config.eos_token_id, config.auto_map], ["float32", [2, 3], undefined]);
  });

  it("has official names and shapes: no k_proj where CLA shares it, a key norm everywhere", () => {
    const names = [...expectedTensors(tiny).keys()];
    assert.ok(names.includes("model.layers.0.self_attn.k_proj.weight"));
    assert.ok(!names.includes("model.layers.1.self_attn.k_proj.weight"));
    assert.ok(names.includes("model.layers.1.self_attn.key_layernorm.weight"));
    assert.ok(names.includes("model.layers.1.mlp.experts.1.up_proj.weight"));
    assert.ok(!names.includes("lm_head.weight"));
    assert.deepEqual(expectedTensors({ ...tiny, tieWordEmbeddings: false }).get("lm_head.weight"), [16, 8]);
    assert.equal(expectedTensors(presets["hunyuan-large"]).size, 3778);
  });

  it("writes shards and their index over the limit", () => {
    const portable = { ...tiny, topK: 2, claShareFactor: 1, tieWordEmbeddings: false };
    const written = contents(portable, { tensors: tensorsOf(portable, "BF16"), maxShardBytes: 500 });
    assert.equal(writeModelDirectory(folder, written), "hunyuan_v1_moe");
    assert.ok(fs.existsSync(path.join(folder, "model.safetensors.index.json")));
    const directory = readModelDirectory(folder);
    assert.equal(directory.layout, "hunyuan_v1_moe");
    assert.deepEqual(directory.config, portable);
    using tensors = directory.openTensors();
    for (const { name, bytes } of written.tensors) assert.deepEqual(tensors.read(name), bytes, name);
  });

  it("leaves nothing when anything fails, and replaces only when told", () => {
    const failing = (): never => {
      throw new Error("tokenizer");
    };
    assert.throws(() => writeModelDirectory(folder, contents(tiny, { writeTokenizer: failing })), /tokenizer/);
    assert.deepEqual(fs.readdirSync(root), []);
    writeModelDirectory(folder, contents(tiny));
    assert.throws(() => writeModelDirectory(folder, contents(tiny)), { code: "FILE_UNWRITABLE" });
    writeModelDirectory(folder, contents(tiny, { modelCard: "new", replace: true }));
    assert.equal(fs.readFileSync(path.join(folder, "README.md"), "utf8"), "new");
    assert.throws(
      () => writeModelDirectory(folder, contents(tiny, { writeTokenizer: failing, replace: true })),
      /tokenizer/,
    );
    assert.equal(fs.readFileSync(path.join(folder, "README.md"), "utf8"), "new");
  });

  it("checks before it writes", () => {
    const without = tensorsOf(tiny).slice(1);
    assert.throws(() => writeModelDirectory(folder, contents(tiny, { tensors: without })), {
      message: /missing: "model.embed/,
    });
    const more = [...tensorsOf(tiny), extra("lm_head.weight")];
    assert.throws(
      () => writeModelDirectory(folder, contents(tiny, { tensors: more })),
      /must not have the tensor lm_head/,
    );
    assert.throws(() => writeModelDirectory(folder, contents(tiny, { layout: "hunyuan_v1_moe" })), {
      code: "UNSUPPORTED_MODEL",
    });
    assert.deepEqual(fs.readdirSync(root), []);
  });
});

describe("readModelDirectory", () => {
  it("reads a directory by transformers", () => {
    const fixture = path.join(import.meta.dirname, "../../test/oracle/pytorch/hunyuan-v1-moe-tiny");
    const directory = readModelDirectory(fixture);
    assert.deepEqual(directory.generation, { bosTokenId: 93, eosTokenIds: [94], padTokenId: 95 });
    using tensors = directory.openTensors();
    assert.deepEqual(tensors.tensors.get("model.layers.1.mlp.experts.3.down_proj.weight")?.shape, [64, 40]);
  });

  it("passes over biases, rotary tables and a tied head, and says so", () => {
    withWeights(tiny, (tensors) => [
      ...tensors,
      extra("model.layers.0.self_attn.q_proj.bias"),
      extra("model.layers.1.mlp.experts.0.up_proj.bias"),
      extra("model.layers.0.self_attn.rotary_emb.inv_freq"),
      extra("lm_head.weight"),
    ]);
    using tensors = readModelDirectory(folder).openTensors();
    assert.deepEqual([...tensors.tensors.keys()].sort(), [...expectedTensors(tiny).keys()].sort());
    assert.equal(tensors.notes.length, 3);
    assert.match(tensors.notes.join(), /2 bias tensors.*1 rotary.*lm_head/);
  });

  it("names tensors that are missing, unexpected, of another shape or type", () => {
    const cases: [RegExp, (tensors: TensorToWrite[]) => TensorToWrite[]][] = [
      [/missing: "model\.norm\.weight"$/, (tensors) => tensors.filter(({ name }) => name !== "model.norm.weight")],
      [/missing: .*, .*, .* and \d+ more$/, (tensors) => tensors.filter(({ name }) => !name.includes("experts"))],
      [/does not know: "model\.extra\.weight"/, (tensors) => [...tensors, extra("model.extra.weight")]],
      [/does not know: "other\.bias"/, (tensors) => [...tensors, extra("other.bias")]],
      [
        /wrong shape: "model\.norm\.weight" is \[4, 2\] instead of \[8\]/,
        (tensors) =>
          tensors.map((tensor) => (tensor.name === "model.norm.weight" ? { ...tensor, shape: [4, 2] } : tensor)),
      ],
      [
        /"model\.norm\.weight" is I32/,
        (tensors) =>
          tensors.map((tensor) => (tensor.name === "model.norm.weight" ? { ...tensor, dtype: "I32" } : tensor)),
      ],
    ];
    for (const [message, change] of cases) {
      withWeights(tiny, change);
      assert.throws(() => readModelDirectory(folder).openTensors(), { code: "FILE_DAMAGED", message });
    }
  });

  it("never reads pickles", () => {
    writeModelDirectory(folder, contents(tiny));
    fs.renameSync(path.join(folder, "model.safetensors"), path.join(folder, "pytorch_model.bin"));
    assert.throws(() => readModelDirectory(folder).openTensors(), { code: "FILE_UNREADABLE", hint: /pickle/ });
    assert.throws(() => readModelDirectory(root), { code: "MODEL_NOT_FOUND", message: /no config\.json/ });
  });

  it("takes a directory without generation settings, and settings in any dress", () => {
    writeModelDirectory(folder, contents(tiny));
    const file = path.join(folder, "generation_config.json");
    const cases: [string, unknown][] = [
      [
        '{"eos_token_id":[127960,127967],"pad_token_id":127961,"do_sample":true,"top_k":0,"top_p":0.6,"temperature":null}',
        {
          bosTokenId: null,
          eosTokenIds: [127960, 127967],
          padTokenId: 127961,
          topP: 0.6,
        },
      ],
      [
        '{"eos_token_id":5,"do_sample":false,"temperature":0.5,"top_k":50}',
        { bosTokenId: null, eosTokenIds: [5], padTokenId: null },
      ],
    ];
    for (const [text, expected] of cases) {
      fs.writeFileSync(file, text);
      assert.deepEqual(readModelDirectory(folder).generation, expected);
    }
    for (const text of [
      '{"eos_token_id":[-1]}',
      '{"eos_token_id":"2"}',
      '{"temperature":-1}',
      '{"pad_token_id":1.5}',
    ]) {
      fs.writeFileSync(file, text);
      assert.throws(() => readModelDirectory(folder), { code: "INVALID_CONFIG" }, text);
    }
    fs.rmSync(file);
    assert.deepEqual(readModelDirectory(folder).generation, { bosTokenId: null, eosTokenIds: [], padTokenId: null });
  });
});
