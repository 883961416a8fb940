import assert from "node:assert/strict";
import { test } from "node:test";
import { RookeryError } from "../base/errors.ts";
import { expertLearningRateRatio } from "../train/schedule.ts";
import {
  criticalBatchAt,
  fitCriticalBatch,
  kaplanCriticalBatch,
  leastCompute,
  noiseScaleOfRuns,
  simpleNoiseScale,
} from "./batch.ts";

test("the noise scale comes back from norms at two batch sizes", () => {
  const [squared, variance] = [0.04, 900];
  const norm = (batchTokens: number) => ({ batchTokens, squaredNorm: squared + variance / batchTokens });
  assert.ok(Math.abs(simpleNoiseScale(norm(1024), norm(65_536)) / (variance / squared) - 1) < 1e-9);
  assert.throws(() => simpleNoiseScale(norm(65_536), norm(1024)), RookeryError);
  assert.throws(
    () => simpleNoiseScale({ batchTokens: 8, squaredNorm: 1 }, { batchTokens: 64, squaredNorm: 2 }),
    /give no noise scale/,
  );
});

test("B_noise from runs to one loss, and the experts' rate that follows", () => {
  const [noise, leastSteps] = [1e6, 2000];
  const runs = [1e5, 4e5, 1.6e6].map((batch) => {
    const steps = leastSteps * (1 + noise / batch);
    return { steps, tokens: steps * batch };
  });
  const found = noiseScaleOfRuns(runs);
  assert.ok(Math.abs(found.noiseTokens / noise - 1) < 1e-9 && Math.abs(found.leastSteps / leastSteps - 1) < 1e-9);
  // the report's 0.31 with 16 experts is a batch of 0.26 B_noise
  assert.equal(expertLearningRateRatio(16, 1, 2.6e5 / found.noiseTokens).toFixed(2), "0.31");
  assert.throws(() => noiseScaleOfRuns(runs.slice(0, 1)), /no trade of steps for tokens/);
});

test("the critical batch follows the loss, and at it a run costs twice its least", () => {
  const millions = [2.93, 2.36, 2].map((loss) => (criticalBatchAt(kaplanCriticalBatch, loss) / 1e6).toFixed(1));
  assert.deepEqual(millions, ["1.2", "3.4", "7.4"]);
  assert.equal(leastCompute(10, 5, 5), 5);
  const points = [2, 3, 4].map((loss) => ({ loss, noiseTokens: 1e8 / loss ** 5 }));
  const fitted = fitCriticalBatch([...points, { loss: 9, noiseTokens: null }]);
  assert.ok(fitted && Math.abs(fitted.exponent - 5) < 1e-9 && Math.abs(fitted.tokensAtOneNat / 1e8 - 1) < 1e-9);
  assert.equal(fitCriticalBatch([{ loss: 3, noiseTokens: 7 }])?.exponent, 0);
  assert.equal(fitCriticalBatch([{ loss: 3, noiseTokens: null }]), null);
});
