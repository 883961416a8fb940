import assert from "node:assert/strict";
import { test } from "node:test";
import { account } from "./accounting.ts";
import type { ModelConfig } from "./config.ts";
import { type PresetName, presets } from "./presets.ts";

test("hunyuan-large is 389B parameters, 52B of them activated, and keeps 5% of multi-head attention's cache", () => {
  const { parameters, kvCache } = account(presets["hunyuan-large"]);
  assert.equal((parameters.total / 1e9).toFixed(2), "388.70");
  assert.equal((parameters.activated / 1e9).toFixed(2), "51.32");
  assert.equal(kvCache.bytesPerToken, 81_920);
  assert.equal(kvCache.shareOfMultiHead, 0.05);
});

const sizes: Record<PresetName, [total: number, activated: number]> = {
  pico: [5.27e6, 2.61e6],
  nano: [31.2e6, 8.5e6],
  "nano-portable": [31.4e6, 11.9e6],
  mini: [107e6, 32e6],
  "mini-portable": [107.7e6, 44e6],
  "bench-1b": [0.97e9, 0.35e9],
  "hunyuan-large": [388.7e9, 51.3e9],
};

for (const [name, [total, activated]] of Object.entries(sizes)) {
  test(`${name} has the size that it is known by`, () => {
    const { parameters } = account(presets[name as PresetName]);
    const near = (actual: number, wanted: number) =>
      assert.ok(Math.abs(actual / wanted - 1) < 0.02, `${actual} parameters, not about ${wanted}`);
    near(parameters.total, total);
    near(parameters.activated, activated);
  });
}

/** Every term of the architecture that changes a count, with sizes that no two share. */
const odd: ModelConfig = {
  ...presets.nano,
  vocabularySize: 101,
  hiddenSize: 24,
  intermediateSize: 10,
  numHiddenLayers: 5,
  numAttentionHeads: 6,
  numKeyValueHeads: 2,
  headDim: 8,
  numExperts: 7,
  topK: 3,
  numSharedExperts: 2,
  claShareFactor: 3,
  tieWordEmbeddings: false,
};

test("counts agree with the architecture, written out by hand", () => {
  const head = 101 * 24;
  const norms = 5 * (24 + 24 + 8 + 8) + 24;
  const attention = 5 * 2 * (6 * 8 * 24) + 2 * 2 * (2 * 8 * 24);
  const expert = 3 * 10 * 24;
  const [router, sharedExperts] = [5 * 7 * 24, 5 * 2 * expert];
  const { parameters, flopsPerToken, kvCache } = account(odd, 9);
  assert.equal(parameters.total, 2 * head + norms + attention + router + sharedExperts + 5 * 7 * expert);
  assert.equal(parameters.activated, 2 * head + norms + attention + router + sharedExperts + 5 * 3 * expert);
  // the table is looked up, not multiplied; a token of nine sees five on average, once by keys and once by values
  const multiplied = head + attention + router + sharedExperts + 5 * 3 * expert;
  assert.equal(flopsPerToken.forward, 2 * multiplied + 5 * 2 * (2 * 6 * 8 * 5));
  assert.equal(flopsPerToken.training, 3 * flopsPerToken.forward);
  // layers 0-2 share one K and V, 3-4 another; bf16
  assert.equal(kvCache.bytesPerToken, 2 * 2 * (2 * 2 * 8));
  assert.equal(kvCache.multiHeadBytesPerToken, 5 * 2 * (2 * 6 * 8));
});

test("a tied head costs its products though not its parameters", () => {
  const [separate, tied] = [account(odd), account({ ...odd, tieWordEmbeddings: true })];
  assert.equal(separate.parameters.total - tied.parameters.total, 101 * 24);
  assert.equal(separate.flopsPerToken.forward, tied.flopsPerToken.forward);
});

test("memory: bf16 weights to serve; weights, gradients and two moments in f32 to train", () => {
  const { parameters, memory } = account(odd);
  assert.equal(memory.servingWeightBytes, 2 * parameters.total);
  assert.equal(memory.trainingStateBytes, 16 * parameters.total);
});
