import assert from "node:assert/strict";
import { test } from "node:test";
import { criticalBatchAt } from "./batch.ts";
import { fitScalingLaw } from "./fit.ts";
import { laws } from "./laws.ts";
import { logSpaced } from "./numeric.ts";
import { check, predict } from "./predict.ts";
import { type SyntheticSweep, syntheticPoints } from "./synthetic.ts";

const sweep: SyntheticSweep = {
  loss: laws["chinchilla-replication"].loss,
  compute: { perParameterToken: 6, perToken: 0 },
  budgets: logSpaced(1e17, 1e19, 6),
  sizesPerBudget: 7,
  sizeRange: 10,
  seeds: 2,
  noise: 0.003,
  seed: 1,
};
const settings = { name: "s", source: "s", resamples: 200, seed: 1 };

test("a budget that was held out is foretold, from its whole curve and from a single size", () => {
  const fit = fitScalingLaw(syntheticPoints(sweep), settings);
  const larger = syntheticPoints({ ...sweep, budgets: [8e19], seed: 2 });
  for (const points of [larger, larger.slice(6, 8)]) {
    const [prediction] = check(fit, points, "larger.csv");
    const { loss, measured, extrapolation, batchTokens, leastCompute } = prediction!;
    assert.ok(loss.interval && measured);
    const [low, high] = loss.interval;
    assert.ok(high - low < 0.1 && low <= measured.loss && measured.loss <= high, JSON.stringify(prediction));
    assert.equal(measured.error, loss.value - measured.loss);
    assert.equal(measured.runs, points.length);
    assert.ok(Math.abs(extrapolation.factor - 8) < 1e-6);
    assert.deepEqual([batchTokens, leastCompute], [null, 8e19]);
  }
});

test("with batches and noise scales, the law is asked at C_min", () => {
  const points = syntheticPoints(sweep).map((point) => ({
    ...point,
    batchTokens: 1e3 * (point.budget / 1e17) ** 0.5,
    noiseTokens: 2e8 / point.loss ** 5,
  }));
  const fit = fitScalingLaw(points, settings);
  const { batchTokens, leastCompute, compute, loss } = predict(fit, 1e20);
  assert.ok(Math.abs(batchTokens! / 1e3 / 1e3 ** 0.5 - 1) < 1e-6);
  const critical = criticalBatchAt(fit.law.batch.critical!, loss.value);
  assert.ok(Math.abs(leastCompute / (compute / (1 + batchTokens! / critical)) - 1) < 1e-9);
});

test("no budget that is none is foretold", () => {
  const fit = fitScalingLaw(syntheticPoints(sweep), settings);
  for (const compute of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
    assert.throws(() => predict(fit, compute), { code: "INVALID_OPTION", message: /cannot be foretold/ });
  }
});
