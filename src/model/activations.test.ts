import assert from "node:assert/strict";
import { test } from "node:test";
import { predictTrainingMemory } from "../train/memory.ts";
import { countActivations } from "./activations.ts";
import type { ModelConfig } from "./config.ts";
import { presets } from "./presets.ts";

const changes: Partial<ModelConfig>[] = [
  {},
  { claShareFactor: 1, topK: 2 },
  { numExperts: 0, topK: 0 },
  { useQkNorm: false, numKeyValueHeads: 4 },
  { numSharedExperts: 0 },
];

for (const change of changes) {
  test(`what more layers keep is what is counted: ${JSON.stringify(change)}`, () => {
    const config = { ...presets.nano, vocabularySize: 512, ...change };
    const tokens = 4 * 512;
    for (const [computeType, bytes] of [["bf16", 2] as const, ["f32", 4] as const]) {
      const planned = (numHiddenLayers: number, recomputation: "none" | "block") => {
        const settings = { rows: 4, sequenceLength: 512, computeType, threads: 1, recomputation };
        return predictTrainingMemory({ ...config, numHiddenLayers }, settings).arenaBytes / tokens;
      };
      const counted = (numHiddenLayers: number) => countActivations({ ...config, numHiddenLayers }, bytes);
      const near = (actual: number, wanted: number) =>
        assert.ok(Math.abs(actual / wanted - 1) < 0.01, `${actual} bytes a token, not about ${wanted}`);
      near(counted(12).kept - counted(8).kept, planned(12, "none") - planned(8, "none"));
      near(counted(12).betweenGroups - counted(8).betweenGroups, planned(12, "block") - planned(8, "block"));
    }
  });
}
