import assert from "node:assert/strict";
import { test } from "node:test";
import { RookeryError } from "../base/errors.ts";
import { estimateLoss, estimateOptimum } from "./bands.ts";
import { type FitSettings, fitComputeLaw, fitScalingLaw } from "./fit.ts";
import { laws, lossAt, optimumOf, powerAt } from "./laws.ts";
import { logSpaced } from "./numeric.ts";
import { bestParameters, type SyntheticSweep, syntheticPoints } from "./synthetic.ts";
import type { Point } from "./table.ts";

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
const settings: FitSettings = { name: "sweep", source: "sweep.parquet", resamples: 200, seed: 1 };
const truth = optimumOf(sweep.loss, sweep.compute);

/** How many of `repeats` sweeps have the truth inside their intervals; each exponent must be within 2%. */
function countCovered(repeats: number): { parameters: number; tokens: number } {
  const covered = { parameters: 0, tokens: 0 };
  for (let seed = 0; seed < repeats; seed++) {
    const { law, intervals } = fitScalingLaw(syntheticPoints({ ...sweep, seed }), settings);
    for (const what of ["parameters", "tokens"] as const) {
      const exponent = truth[what].exponent;
      assert.ok(
        Math.abs(law[what].exponent / exponent - 1) < 0.02,
        `seed ${seed}: ${law[what].exponent}, not ${exponent}`,
      );
      const [low, high] = intervals[`${what}Exponent`];
      if (low <= exponent && exponent <= high) covered[what]++;
    }
  }
  return covered;
}

test("on a known law with noise, exponents are within 2% and intervals hold the truth", () => {
  // test/end-to-end/scaling-recovery.test.ts has 200
  const repeats = 10;
  const covered = countCovered(repeats);
  assert.ok(covered.parameters >= 0.9 * repeats && covered.tokens >= 0.9 * repeats, JSON.stringify(covered));
});

test("without noise the whole law comes back, and a second way says the same", () => {
  const { law, secondOpinion, budgets, leftOut } = fitScalingLaw(
    syntheticPoints({ ...sweep, noise: 0, seeds: 1 }),
    settings,
  );
  const near = (actual: number, wanted: number, share = 0.01) =>
    assert.ok(Math.abs(actual / wanted - 1) < share, `${actual}, not ${wanted}`);
  near(law.parameters.exponent, truth.parameters.exponent, 1e-3);
  // the quadratic's bottom lies a little off the curve's, at every budget alike
  near(powerAt(law.parameters, 1e18), powerAt(truth.parameters, 1e18), 0.05);
  near(law.compute.perParameterToken, 6, 1e-6);
  assert.ok(secondOpinion);
  near(secondOpinion.parametersExponent, truth.parameters.exponent, 0.002);
  near(secondOpinion.loss.floor, sweep.loss.floor, 0.005);
  assert.ok(budgets.every(({ minimum, intervals }) => intervals.parameters[0] <= minimum.parameters));
  assert.ok(leftOut.every(({ logParametersError }) => Math.abs(logParametersError) < 0.02));
  const [predicted, best] = [estimateLoss(law, 1e20), bestParameters(sweep.loss, sweep.compute, 1e20)];
  near(predicted!.value, lossAt(sweep.loss, best, 1e20 / (6 * best)), 0.01);
});

test("beyond the data the band grows with every decade", () => {
  const { law } = fitScalingLaw(syntheticPoints(sweep), settings);
  const widths = [1e18, 1e19, 1e21, 1e23].map((compute) => {
    const { value, interval } = estimateOptimum(law, "parameters", compute);
    assert.ok(interval && interval[0] < value && value < interval[1]);
    return Math.log(interval[1] / interval[0]);
  });
  assert.ok(widths[0]! < widths[1]! && widths[1]! < widths[2]! && widths[2]! < widths[3]!, widths.join());
  const { uncertainty } = law;
  const bare = {
    ...law,
    uncertainty: { ...uncertainty!, errorPerDecade: { logParameters: 0, logTokens: 0, loss: 0 } },
  };
  const { interval } = estimateOptimum(bare, "parameters", 1e23);
  assert.ok(Math.log(interval![1] / interval![0]) < widths[3]!, "what extrapolation has cost widens it further");
});

test("the same table gives the same numbers", () => {
  const points = syntheticPoints(sweep);
  const [once, again] = [1, 2].map(() => JSON.stringify(fitScalingLaw(points, settings)));
  assert.ok(once === again);
});

test("a measured noise scale turns C into C_min", () => {
  const points = syntheticPoints({ ...sweep, noise: 0, seeds: 1 });
  // every run at its critical batch: C_min is half of C
  const noisy = points.map((point): Point => {
    const critical = 2e8 / point.loss ** 4;
    return { ...point, batchTokens: critical, noiseTokens: critical };
  });
  const { law, warnings } = fitScalingLaw(noisy, settings);
  const { critical } = law.batch;
  assert.ok(critical);
  assert.ok(Math.abs(critical.exponent / 4 - 1) < 0.01, String(critical.exponent));
  const ratio = law.computeRange[0] / sweep.budgets[0]!;
  assert.ok(Math.abs(ratio / 0.5 - 1) < 0.02, String(ratio));
  assert.ok(!warnings.some((warning) => warning.includes("noise_tokens")));
});

test("a batch that one budget alone tells holds for all of them, and without any batch C stays C", () => {
  const points = syntheticPoints({ ...sweep, noise: 0, seeds: 1 });
  const fitWith = (batchTokens: (point: Point) => number | null) =>
    fitScalingLaw(
      points.map((point) => ({ ...point, noiseTokens: 1e5, batchTokens: batchTokens(point) })),
      settings,
    );
  const [first] = sweep.budgets;
  const { law } = fitWith(({ budget }) => (budget === first ? 1e5 : null));
  assert.ok(law.batch.tokens && Math.abs(powerAt(law.batch.tokens, 1e20) / 1e5 - 1) < 1e-9);
  assert.ok(law.minima.every(({ compute }, i) => Math.abs((2 * compute) / sweep.budgets[i]! - 1) < 1e-9));
  const unknown = fitWith(() => null);
  assert.equal(unknown.law.computeRange[0], first);
  assert.match(unknown.warnings.join(), /no batch_tokens/);
});

test("what cannot be relied on is said: sizes that may not grow, a critical batch that falls with the loss", () => {
  const points = syntheticPoints(sweep);
  const shrinking = points.map((point) => {
    const shift = (point.budget / sweep.budgets[0]!) ** -0.6;
    return { ...point, parameters: shift * point.parameters, batchTokens: 10, noiseTokens: 1e3 * point.loss };
  });
  const { warnings, law } = fitScalingLaw(shrinking, settings);
  assert.match(warnings.join(), /N\(C\) may not grow at all/);
  assert.match(law.notes.join(), /fall as the loss falls/);
});

test("minima that scatter more than their noise widen the intervals", () => {
  const points = syntheticPoints(sweep);
  const uneven = points.map((point) => {
    // every other budget as if its models were half as large again
    const shift = sweep.budgets.indexOf(point.budget) % 2 === 0 ? 1.5 : 1;
    return { ...point, parameters: shift * point.parameters };
  });
  const width = (of: Point[]) => {
    const { intervals, warnings } = fitScalingLaw(of, settings);
    return { width: intervals.parametersExponent[1] - intervals.parametersExponent[0], warnings };
  };
  const [even, scattered] = [width(points), width(uneven)];
  assert.ok(scattered.width > 3 * even.width, `${scattered.width} against ${even.width}`);
  assert.match(scattered.warnings.join(), /scatter/);
});

test("C(N, D) by counting: both terms, or one where the other cannot be told", () => {
  const points = syntheticPoints({ ...sweep, compute: { perParameterToken: 9.59, perToken: 2.3e8 } });
  const { perParameterToken, perToken } = fitComputeLaw(points);
  assert.ok(Math.abs(perParameterToken / 9.59 - 1) < 1e-6 && Math.abs(perToken / 2.3e8 - 1) < 1e-6);
  assert.equal(fitComputeLaw(points.slice(0, 1)).perToken, 0);
});

const refusals: Record<string, [change: (points: Point[]) => Point[], message: RegExp]> = {
  "one budget": [
    (points) => points.filter(({ budget }) => budget === points[0]!.budget),
    /one budget.*3 budgets or more/s,
  ],
  "two sizes": [
    (points) =>
      points.filter(({ budget, parameters }) => budget !== points[0]!.budget || parameters === points[0]!.parameters),
    /one size is too few.*at least 4/s,
  ],
  "sizes that are all too small": [
    (points) => points.filter(({ budget, parameters }) => parameters < 0.8 * powerAt(truth.parameters, budget)),
    /outside the sizes.*add larger models/s,
  ],
  "sizes that are all too large": [
    (points) => points.filter(({ budget, parameters }) => parameters > 1.2 * powerAt(truth.parameters, budget)),
    /outside the sizes.*add smaller models/s,
  ],
  "budgets that all took the same": [
    (points) => points.map((one) => ({ ...one, compute: 1e18 })),
    /come to 1\.00e\+18 and 1\.00e\+18 FLOPs.*check compute/s,
  ],
  "budgets a hair apart": [
    (points) =>
      points.map((one) => ({ ...one, budget: one.budget / one.compute + 1e-6 * Math.log(one.compute), compute: 1 })),
    /does not grow.*the same value of budget/s,
  ],
  "losses upside down": [
    (points) => points.map((one) => ({ ...one, loss: 10 - one.loss })),
    /bend downward.*both ends/s,
  ],
};

for (const [name, [change, message]] of Object.entries(refusals)) {
  test(`${name}: one line that says what to change`, () => {
    const points = change(syntheticPoints({ ...sweep, sizesPerBudget: 13, noise: 0 }));
    assert.throws(
      () => fitScalingLaw(points, settings),
      (error) =>
        error instanceof RookeryError &&
        !error.message.includes("\n") &&
        message.test(`${error.message}\n${error.hint}`),
    );
  });
}
