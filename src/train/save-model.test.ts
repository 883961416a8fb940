import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { tinyModel, tinyTokenizer } from "../../test/tiny-model.ts";
import { toBf16Bits } from "../../test/twins/support.ts";
import { bitsOf } from "../../test/twins/tiny.ts";
import { SafetensorsFile } from "../formats/safetensors.ts";
import { readModelDirectory } from "../interop/model-directory.ts";
import type { ModelConfig } from "../model/config.ts";
import { Execution } from "../tensor/execution.ts";
import { saveModel } from "./save-model.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-save-"));
after(() => fs.rmSync(folder, { recursive: true, force: true }));

const tokenizer = tinyTokenizer();
const tokenizerFolder = path.join(folder, "tokenizer");
await tokenizer.save(tokenizerFolder);

/** Halfway between two bf16 numbers, with an even and an odd lower one; just beside it; and the ends of the range of normal numbers. */
const delicate = [
  ...[1 + 2 ** -8, 1 + 3 * 2 ** -8, 1 + 2 ** -8 + 2 ** -20, 1 + 2 ** -8 - 2 ** -20, -1 - 2 ** -8, -1 - 3 * 2 ** -8],
  ...[0, -0, 1, 2 ** -126, 3.3895e38, Math.fround(Math.PI)],
];

/** Saves the tiny model with delicate weights; answers with what it was and what was written. */
function save(name: string, changes: Partial<ModelConfig> = {}, modelCard = "# tiny\n") {
  const target = path.join(folder, name);
  using execution = new Execution({ threads: 1, computeType: "bf16" });
  using model = tinyModel(changes);
  for (const { tensor } of model.officialTensors()) {
    const values = tensor.toFloat32Array();
    values.set(delicate);
    tensor.setFloats(values);
  }
  saveModel(target, { execution, model, tokenizer, tokenizerFolder, modelCard });
  const tensors = model.officialTensors().map(({ name, tensor }) => ({ name, values: tensor.toFloat32Array() }));
  return { target, tensors };
}

const staysWide = (name: string) => /norm|mlp\.gate\.wg\./.test(name);

test("matrices are rounded to the nearest bf16, ties to even; norms and router keep every bit", () => {
  const { target, tensors } = save("rounded");
  using file = SafetensorsFile.open(path.join(target, "model.safetensors"));
  assert.equal(file.tensors.size, tensors.length);
  for (const { name, values } of tensors) {
    const wide = staysWide(name);
    assert.equal(file.tensors.get(name)?.dtype, wide ? "F32" : "BF16", name);
    const expected = wide ? values : new Uint8Array(Uint16Array.from(values, toBf16Bits).buffer);
    assert.equal(bitsOf(file.read(name)), bitsOf(expected), name);
  }
  const query = file.read("model.layers.0.self_attn.q_proj.weight").slice();
  const [first, second, above, below] = new Uint16Array(query.buffer);
  assert.deepEqual([first, second, above, below], [0x3f80, 0x3f82, 0x3f81, 0x3f80]);
});

test("a model with cross-layer attention or raw top-1 gates has the official layout", () => {
  const { target } = save("official");
  assert.equal(readModelDirectory(target).layout, "hunyuan");
  const config = JSON.parse(fs.readFileSync(path.join(target, "config.json"), "utf8"));
  assert.equal(config.torch_dtype, "bfloat16");
});

test("a portable model has the layout that other engines run", () => {
  const { target, tensors } = save("portable", { claShareFactor: 1, topK: 2 });
  const { layout, config } = readModelDirectory(target);
  assert.equal(layout, "hunyuan_v1_moe");
  assert.deepEqual([config.topK, config.claShareFactor, config.numHiddenLayers], [2, 1, 5]);
  const json = JSON.parse(fs.readFileSync(path.join(target, "config.json"), "utf8"));
  assert.deepEqual([json.model_type, json.architectures], ["hunyuan_v1_moe", ["HunYuanMoEV1ForCausalLM"]]);
  using file = SafetensorsFile.open(path.join(target, "model.safetensors"));
  assert.deepEqual([...file.tensors.keys()].toSorted(), tensors.map(({ name }) => name).toSorted());
  assert.ok(file.tensors.has("model.layers.4.self_attn.k_proj.weight"), "every layer has its own key");
});

test("a model directory is whole, stops where documents end, and takes the place of an older one", () => {
  save("again");
  const { target } = save("again", {}, "# newer\n");
  assert.deepEqual(fs.readdirSync(target).toSorted(), [
    ...["README.md", "config.json", "generation_config.json", "model.safetensors"],
    ...["tokenizer.json", "tokenizer_config.json"],
  ]);
  assert.equal(fs.readFileSync(path.join(target, "README.md"), "utf8"), "# newer\n");
  const { generation } = readModelDirectory(target);
  assert.equal(generation.bosTokenId, tokenizer.controlId("startOfText"));
  assert.deepEqual(generation.eosTokenIds, [tokenizer.controlId("endOfText"), tokenizer.controlId("eos")]);
  assert.equal(generation.temperature, undefined);
  const hidden = fs.readdirSync(folder).filter((name) => name.startsWith("."));
  assert.deepEqual(hidden, []);
});
