import assert from "node:assert/strict";
import { test } from "node:test";
import { stepEvent, stepMetrics } from "./step-metrics.ts";
import type { StepReport } from "./trainer.ts";

const report: StepReport = {
  ...{ step: 3, tokens: 96, learningRate: 0.01, expertLearningRate: 0.004 },
  ...{
    crossEntropy: 2,
    balanceLoss: 1.5,
    zLoss: 0.25,
    totalLoss: 2.015,
    gradientNorm: 0.5,
    targets: 30,
    updated: true,
  },
  layers: [
    { load: [8, 16, 0, 8], slots: 32, overCapacity: 6, recycled: 6, dropped: 0 },
    { load: [8, 8, 8, 8], slots: 32, overCapacity: 2, recycled: 1, dropped: 1 },
  ],
};

test("shares are of all slots of all layers, the load is that of the worst expert", () => {
  const run = {
    stage: "4x",
    steps: 10,
    tokensPerSecond: 1000,
    shareOfPeak: 0.25,
    peakMemoryBytes: 5e8,
    secondsLeft: 7,
  };
  assert.deepEqual(stepEvent(report, run), {
    ...{ type: "training-step", stage: "4x", step: 3, steps: 10, tokens: 96, crossEntropy: 2, gradientNorm: 0.5 },
    ...{ learningRate: 0.01, tokensPerSecond: 1000, shareOfPeak: 0.25, peakMemoryBytes: 5e8, secondsLeft: 7 },
    ...{ maxLoad: 2, overCapacityShare: 8 / 64, recycledShare: 7 / 64, droppedShare: 1 / 64 },
  });
});

test("a line of metrics has every number of the step and each layer's routing", () => {
  const { targets: _targets, ...numbers } = report;
  const speed = { stage: "4x", seconds: 0.1, tokensPerSecond: 320, shareOfPeak: 0.3, peakMemoryBytes: 5e8 };
  const shares = { recycledShare: 7 / 64, droppedShare: 1 / 64 };
  assert.deepEqual(stepMetrics(report, speed), { kind: "step", ...numbers, ...speed, ...shares });
});

test("a step without tokens divides by nothing", () => {
  const idle = { ...report, layers: [{ load: [0, 0], slots: 0, overCapacity: 0, recycled: 0, dropped: 0 }] };
  const still = { stage: "4x", steps: 10, tokensPerSecond: 1, shareOfPeak: 0, peakMemoryBytes: 0, secondsLeft: 0 };
  const event = stepEvent(idle, still);
  assert.deepEqual([event.maxLoad, event.recycledShare, event.droppedShare], [0, 0, 0]);
});
