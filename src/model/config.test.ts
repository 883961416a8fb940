import assert from "node:assert/strict";
import { test } from "node:test";
import { RookeryError } from "../base/errors.ts";
import { checkModelConfig, keyValueOwner, type ModelConfig, modelConfigSchema, numKeyValueGroups } from "./config.ts";
import { isPresetName, presets } from "./presets.ts";
import { Transformer } from "./transformer.ts";

test("every preset is a valid configuration", () => {
  for (const config of Object.values(presets)) {
    assert.deepEqual(modelConfigSchema.parse(config), config);
    assert.equal(checkModelConfig(config), config);
  }
});

test("preset names are those of the list, not those of every object", () => {
  assert.ok(isPresetName("nano"));
  for (const name of ["toString", "__proto__", "constructor", "Nano", ""]) assert.equal(isPresetName(name), false);
});

test("values that do not go together are refused by name and number", () => {
  const wrong: [Partial<ModelConfig>, RegExp][] = [
    [{ numAttentionHeads: 5, numKeyValueHeads: 2 }, /numAttentionHeads 5 is no multiple of numKeyValueHeads 2/],
    [{ topK: 9, numExperts: 8 }, /topK 9 is more than numExperts 8/],
    [{ headDim: 63 }, /headDim 63 is odd/],
    [{ numExperts: 0 }, /numExperts 0 does not go with topK 1/],
    [{ topK: 0 }, /numExperts 8 does not go with topK 0/],
    [{ numExperts: 0, topK: 0, numSharedExperts: 2 }, /numSharedExperts 2 with numExperts 0/],
    [{ topK: 2, topOneGate: "one" }, /topOneGate does not go with topK 2/],
  ];
  for (const [change, message] of wrong) {
    const config = { ...presets.nano, ...change };
    for (const refuse of [() => checkModelConfig(config), () => new Transformer(config)]) {
      assert.throws(refuse, (error: RookeryError) => {
        return error instanceof RookeryError && error.code === "INVALID_CONFIG" && message.test(error.message);
      });
    }
  }
});

test("one field out of its range, of another kind, unknown or missing is refused", () => {
  const wrong: Record<string, unknown>[] = [
    { numHiddenLayers: 0 },
    { hiddenSize: 1.5 },
    { hiddenSize: "256" },
    { vocabularySize: 2 ** 25 },
    { numSharedExperts: -1 },
    { rmsNormEps: 0 },
    { ropeTheta: Number.NaN },
    { ropeScaling: { type: "linear", alpha: 1, factor: 1 } },
    { ropeScaling: { type: "dynamic", alpha: 0, factor: 1 } },
    { ropeScaling: { type: "dynamic", alpha: 1 } },
    { numLayers: 6 },
    { topK: undefined },
  ];
  for (const change of wrong) {
    assert.equal(modelConfigSchema.safeParse({ ...presets.nano, ...change }).success, false, JSON.stringify(change));
  }
  assert.ok(modelConfigSchema.safeParse({ ...presets.nano, ropeScaling: null }).success);
});

test("a CLA group belongs to its first layer, and the last group may be short", () => {
  const config = { ...presets.nano, numHiddenLayers: 5, claShareFactor: 3 };
  assert.deepEqual(
    [0, 1, 2, 3, 4].map((layer) => keyValueOwner(config, layer)),
    [0, 0, 0, 3, 3],
  );
  assert.equal(numKeyValueGroups(config), 2);
  const alone = { ...config, claShareFactor: 1 };
  assert.deepEqual(
    [0, 1, 2].map((layer) => keyValueOwner(alone, layer)),
    [0, 1, 2],
  );
  assert.equal(numKeyValueGroups({ ...config, claShareFactor: 9 }), 1);
});
