import assert from "node:assert/strict";
import { test } from "node:test";
import { compareProfiles } from "./expert-cost.ts";
import { predictStep, stepCosts, totalOf } from "./growth-model.ts";
import { growthAxes, growthPoints } from "./growth-points.ts";
import type { TrainWork } from "./protocol.ts";

const base: TrainWork = {
  ...{ kind: "train", computeType: "bf16", layers: 6, hidden: 256, heads: 8, keyValueHeads: 2, ffn: 704 },
  ...{ experts: 8, vocabulary: 4096, batch: 8, sequenceLength: 256, seed: 1, recomputation: "none" },
};

test("the products of a step are counted by hand: three passes over what a token is multiplied with", () => {
  const attention = 6 * 2 * 256 * 256 + 3 * 2 * 64 * 256;
  const experts = 6 * 2 * 3 * 704 * 256;
  const routers = 6 * 8 * 256;
  const weights = attention + experts + routers + 4096 * 256;
  const costs = stepCosts(base);
  assert.equal(costs.products, 3 * 2 * weights * 2048);
  assert.equal(costs.attention, 6 * 8 * 8 * 7 * 2 * 32 * ((256 * 257) / 2));
});

test("seconds are costs by rates; more experts move more weights, and nothing else", () => {
  const rates = { products: 1e12, attention: 2e11, bytes: 1e10 };
  const few = predictStep(base, rates);
  const many = predictStep({ ...base, experts: 64 }, rates);
  assert.equal(few.products, stepCosts(base).products / 1e12);
  assert.equal(many.attention, few.attention);
  assert.equal(many.activations, few.activations);
  const moreWeights = 6 * 56 * (3 * 704 * 256 + 256);
  assert.ok(Math.abs(many.state - few.state - (moreWeights * 44) / 1e10) < 1e-9);
  assert.equal(totalOf(few), few.products + few.attention + few.state + few.activations);
});

test("one size grows and the others stay, with 256 tokens an expert at least", () => {
  for (const axis of growthAxes) {
    const points = growthPoints(axis, base, { threads: 3, quick: false });
    assert.ok(points.every((point, i) => i === 0 || point.value > points[i - 1]!.value));
    for (const { work } of points) assert.equal(work.hidden % work.heads, 0);
  }
  const experts = growthPoints("experts", base, { threads: 2, quick: false });
  assert.deepEqual([experts[0]!.value, experts.at(-1)!.value], [4, 128]);
  const tokens = experts.map(({ work }) => work.batch * work.sequenceLength);
  assert.ok(experts.every(({ value }, i) => tokens[i]! >= 256 * value));
  assert.equal(new Set(tokens.slice(0, -1)).size, 1, "the same tokens up to 64 experts");
  const sequences = growthPoints("sequence", base, { threads: 2, quick: false });
  assert.deepEqual([sequences[0]!.value, sequences.at(-1)!.value], [256, 32_768]);
  assert.equal(new Set(sequences.map(({ work }) => work.batch * work.sequenceLength)).size, 1);
  const threads = growthPoints("threads", base, { threads: 3, quick: false });
  assert.deepEqual(
    threads.map((point) => [point.value, point.threads]),
    [
      [1, 1],
      [2, 2],
      [3, 3],
    ],
  );
  const chosen = growthPoints("batch", base, { threads: 2, quick: false, values: [3] });
  assert.deepEqual([chosen.length, chosen[0]!.work.batch], [1, 3]);
});

test("profiles are compared class by class, the largest difference first", () => {
  const profile = (classes: [string, number][]) => ({
    secondsPerStep: 1,
    kernels: [],
    classes: classes.map(([name, secondsPerStep]) => ({ name, secondsPerStep, share: 0 })),
  });
  const few = profile([
    ["products", 0.5],
    ["routing", 0.25],
  ]);
  const many = profile([
    ["products", 0.5],
    ["optimizer", 1],
  ]);
  assert.deepEqual(compareProfiles(few, many), [
    { name: "optimizer", from: 0, to: 1, difference: 1 },
    { name: "products", from: 0.5, to: 0.5, difference: 0 },
    { name: "routing", from: 0.25, to: 0, difference: -0.25 },
  ]);
});
