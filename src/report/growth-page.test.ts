import assert from "node:assert/strict";
import { test } from "node:test";
import type { BenchGrowthResult, GrowthPoint } from "../bench/growth.ts";
import type { Spread } from "../bench/statistics.ts";
import { growthPlots, growthSection, replaceGrowthSection } from "./growth-page.ts";

const spread = (median: number): Spread => ({ median, min: 0.9 * median, max: 1.1 * median });

function point(axis: GrowthPoint["axis"], value: number): GrowthPoint {
  return {
    ...{ axis, value, threads: 2, tokensPerStep: 2048, parameters: 31e6 },
    ...{ secondsPerStep: spread(0.1), tokensPerSecond: spread(20_480) },
    predicted: { products: 0.03, attention: 0.01, state: 0.02, activations: 0.02, total: 0.08 },
    ...{ predictedTokensPerSecond: 25_600, shareOfPeak: 0.2, peakMemoryBytes: 2 ** 29, sameBits: true },
    profile: { secondsPerStep: 0.1, classes: [], kernels: [] },
  };
}

const result: BenchGrowthResult = {
  ...{ bench: "growth", machine: "A CPU, 24 GiB", threads: 2, level: "amx", computeType: "bf16" },
  base: {
    ...{ kind: "train", computeType: "bf16", layers: 6, hidden: 256, heads: 8, keyValueHeads: 2, ffn: 704 },
    ...{ experts: 8, vocabulary: 4096, batch: 8, sequenceLength: 256, seed: 1, recomputation: "none" },
  },
  rates: [{ threads: 2, peakFlops: 6e12, products: 3e12, attention: 5e11, bytes: 35e9 }],
  points: [point("layers", 2), point("layers", 4), point("experts", 8), point("experts", 64)],
  skipped: [{ axis: "layers", value: 24, skipped: "needs 99.0 GiB, and --memory is 6.0" }],
  expertCost: {
    ...{ from: 8, to: 64, tokensPerStep: 16_384, moreBytes: 1e10, explainedSeconds: 0.3 },
    ...{ bytesPerSecond: spread(35e9), explainedTokensPerSecond: 15_000, lossBeyondTraffic: spread(0.125) },
    secondsPerStep: { from: spread(0.8), to: spread(1.2) },
    tokensPerSecond: { from: spread(20_480), to: spread(13_653) },
    classes: [{ name: "optimizer", from: 0.03, to: 0.2, difference: 0.17 }],
  },
  ...{ ratioToPeer: null, shareOfPeak: spread(0.2), peakMemoryBytes: { ours: 2 ** 29, peer: null }, sameBits: true },
};

test("the section has measured beside predicted, what was skipped, and what experts cost", () => {
  const section = growthSection(result, "performance", "1.2.3");
  assert.match(section, /!\[tokens a second by layers\]\(performance\/growth-layers\.svg\)/);
  assert.match(
    section,
    /\| 2 \| 31\.0M \| 2048 \| 20480 \(18432–22528\) \| 25600 \(0\.80 of it\) \| 100 against 30 \+ 10 \+ 20 \+ 20 \|/,
  );
  assert.match(section, /Skipped: layers 24, needs 99\.0 GiB/);
  assert.match(section, /\*\*12\.5% \(11\.3% to 13\.8%\) of those are lost beyond it\.\*\*/);
  assert.match(section, /\| optimizer \| 30 \| 200 \| 170 \|/);
  assert.deepEqual(
    growthPlots(result).map((plot) => plot.name),
    ["growth-layers.svg", "growth-experts.svg"],
  );
});

test("the section takes the place of the one before, and nothing else changes", () => {
  const first = replaceGrowthSection("# A page\n\nwords\n", "old");
  const second = replaceGrowthSection(first, "new");
  assert.match(second, /^# A page\n\nwords\n\n<!-- growth/);
  assert.match(second, /new/);
  assert.doesNotMatch(second, /old/);
  assert.equal(replaceGrowthSection(second, "old"), first);
  const inside = second.replace("# A page", "# A page\n\nabove").concat("\nbelow\n");
  assert.match(replaceGrowthSection(inside, "third"), /above[\s\S]*third[\s\S]*below\n$/);
});
