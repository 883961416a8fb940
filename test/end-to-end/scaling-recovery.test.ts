/** The whole count of what src/scaling/fit.test.ts tries a few times: fits of 200 sweeps whose law is known. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fitScalingLaw } from "../../src/scaling/fit.ts";
import { laws, optimumOf } from "../../src/scaling/laws.ts";
import { logSpaced } from "../../src/scaling/numeric.ts";
import { syntheticPoints } from "../../src/scaling/synthetic.ts";

const isLong = process.env.ROOKERY_LONG_TESTS === "1";
const repeats = 200;

test("of 200 noisy sweeps, exponents are within 2% and intervals hold the truth in 90% or more", {
  skip: !isLong,
}, () => {
  const { loss, compute } = laws["chinchilla-replication"];
  const truth = optimumOf(loss, compute);
  const budgets = logSpaced(1e17, 1e19, 6);
  const covered = { parameters: 0, tokens: 0 };
  for (let seed = 0; seed < repeats; seed++) {
    const sweep = { loss, compute, budgets, sizesPerBudget: 7, sizeRange: 10, seeds: 2, noise: 0.003, seed };
    const settings = { name: "sweep", source: "sweep", resamples: 200, seed: 1 };
    const { law, intervals } = fitScalingLaw(syntheticPoints(sweep), settings);
    for (const what of ["parameters", "tokens"] as const) {
      const { exponent } = truth[what];
      assert.ok(Math.abs(law[what].exponent / exponent - 1) < 0.02, `seed ${seed}: ${law[what].exponent}`);
      const [low, high] = intervals[`${what}Exponent`];
      if (low <= exponent && exponent <= high) covered[what]++;
    }
  }
  assert.ok(covered.parameters >= 0.9 * repeats && covered.tokens >= 0.9 * repeats, JSON.stringify(covered));
});
