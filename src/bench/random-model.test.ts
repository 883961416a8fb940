import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { tinyConfig } from "../../test/tiny-model.ts";
import { loadModel } from "../interop/load.ts";
import { fillerTokenizer, writeRandomModel } from "./random-model.ts";

const folder = mkdtempSync(join(tmpdir(), "rookery-random-"));
after(() => rmSync(folder, { recursive: true }));

test("a filler tokenizer has exactly as many tokens as asked for, and gives texts back", async () => {
  for (const size of [277, 278, 900, 8192]) {
    const tokenizer = fillerTokenizer(size);
    assert.equal(tokenizer.vocabularySize, size);
    const text = "The rookery on the rock: 企鹅 !!";
    assert.equal(tokenizer.decode(await tokenizer.encodeText(text)), text);
  }
  assert.throws(() => fillerTokenizer(276), RangeError);
});

test("a random model can be loaded: norms are 1, weights are spread as asked for and differ", async () => {
  const config = { ...tinyConfig, initializerRange: 0.05 };
  const directory = join(folder, "model");
  writeRandomModel(directory, config);
  const { model } = await loadModel(directory);
  using loaded = model;
  const values = (name: string) => loaded.parameter(name).weight.toFloat32Array();
  assert.ok(values("model.norm.weight").every((value) => value === 1));
  for (const name of ["model.embed_tokens.weight", "model.layers.2.mlp.experts.gate_up_proj"]) {
    const weights = values(name);
    const deviation = Math.sqrt(weights.reduce((sum, value) => sum + value * value, 0) / weights.length);
    assert.ok(Math.abs(deviation / 0.05 - 1) < 0.05, `${name}: ${deviation}`);
  }
  const router = values("model.layers.0.mlp.gate.wg.weight");
  assert.notDeepEqual(router.subarray(0, 20), router.subarray(config.hiddenSize, config.hiddenSize + 20));
});
