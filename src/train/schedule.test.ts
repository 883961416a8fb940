import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { annealingStart, expertLearningRateRatio, learningRate, phaseOf, type ScheduleSettings } from "./schedule.ts";

const report: ScheduleSettings = {
  peakLearningRate: 2e-3,
  totalSteps: 1000,
  warmupSteps: 100,
  annealingShare: 0.05,
  finalShare: 0.1,
};
const near = (actual: number, expected: number, within = 1e-12) =>
  assert.ok(Math.abs(actual - expected) <= within, `${actual}, not ${expected}`);

test("up linearly to the peak, down by a cosine, the last 5% at a tenth of the peak", () => {
  near(learningRate(1, report), 2e-5);
  near(learningRate(50, report), 1e-3);
  near(learningRate(100, report), 2e-3);
  // half way from 100 to 950 the cosine stands in the middle between the peak and its tenth
  near(learningRate(525, report), (2e-3 + 2e-4) / 2);
  near(learningRate(950, report), 2e-4);
  for (let step = 951; step <= 1000; step++) assert.equal(learningRate(step, report), 2e-3 * 0.1);
  const phases = Array.from({ length: 1000 }, (_, i) => phaseOf(i + 1, report));
  const count = (phase: string) => phases.filter((one) => one === phase).length;
  assert.deepEqual([count("warmup"), count("decay"), count("annealing")], [100, 850, 50]);
});

const anySettings: fc.Arbitrary<ScheduleSettings> = fc.record({
  peakLearningRate: fc.double({ min: 1e-6, max: 1, noNaN: true }),
  totalSteps: fc.integer({ min: 1, max: 3000 }),
  warmupSteps: fc.nat(300),
  annealingShare: fc.double({ min: 0, max: 0.5, noNaN: true }),
  finalShare: fc.double({ min: 0, max: 1, noNaN: true }),
});

test("phases follow each other, and the rate rises, falls and stays: never over the peak, without a jump", () => {
  fc.assert(
    fc.property(anySettings, (settings) => {
      const { peakLearningRate: peak, totalSteps, warmupSteps, finalShare } = settings;
      const order = ["warmup", "decay", "annealing"];
      const decaySteps = annealingStart(settings) - warmupSteps;
      let [previousPhase, previous] = [0, 0];
      for (let step = 1; step <= totalSteps; step++) {
        const phase = order.indexOf(phaseOf(step, settings));
        const rate = learningRate(step, settings);
        assert.ok(phase >= previousPhase);
        assert.ok(rate >= 0 && rate <= peak * (1 + 1e-12));
        if (phase === 0) assert.ok(rate > previous);
        else {
          assert.ok(rate >= peak * finalShare * (1 - 1e-12));
          if (step > 1) assert.ok(rate <= previous * (1 + 1e-12) || previousPhase === 0);
        }
        // a run whose warm-up leaves no room for a decay goes straight to the annealing rate
        const steepest = Math.max(1 / Math.max(warmupSteps, 1), Math.PI / 2 / Math.max(decaySteps, 1));
        if (decaySteps > 1 && step > 1) assert.ok(Math.abs(rate - previous) <= peak * steepest * (1 + 1e-9));
        [previousPhase, previous] = [phase, rate];
      }
    }),
    { seed: 6, numRuns: 60 },
  );
});

test("without warm-up, without annealing, and with one step only", () => {
  const plain = { ...report, warmupSteps: 0, annealingShare: 0 };
  assert.equal(annealingStart(plain), 1000);
  assert.equal(phaseOf(1, plain), "decay");
  assert.ok(learningRate(1, plain) > 0.99 * report.peakLearningRate);
  near(learningRate(1000, plain), 2e-4);
  const single = { ...report, totalSteps: 1, warmupSteps: 0, annealingShare: 0 };
  assert.ok(learningRate(1, single) > 0);
});

test("the experts' ratio at the figures of the report", () => {
  const at = (experts: number, topK: number, x: number) => expertLearningRateRatio(experts, topK, x);
  near(at(16, 1, 0.26), 0.31, 5e-4);
  near(at(16, 1, 1e-9), 0.25, 1e-8);
  near(at(16, 1, 0.1), 0.273, 5e-4);
  near(at(16, 1, 1), 0.471, 5e-4);
  near(at(16, 1, 4), 1);
  assert.ok(at(16, 1, 5) > 1);
  near(at(4, 1, 0), 0.5);
  near(at(8, 1, 0), 0.354, 5e-4);
  near(at(32, 1, 0), 0.177, 5e-4);
  near(at(32, 2, 0.26), at(16, 1, 0.26));
  near(at(8, 8, 0.7), 1);
});

test("the ratio is the batch-size law at an n-th of the batch over the law at the batch", () => {
  const law = (batch: number, noise: number) => 2 / (Math.sqrt(noise / batch) + Math.sqrt(batch / noise));
  const positive = fc.double({ min: 1e-3, max: 1e3, noNaN: true });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 64 }), positive, positive, (n, batch, noise) => {
      const expected = law(batch / n, noise) / law(batch, noise);
      near(expertLearningRateRatio(n, 1, batch / noise), expected, expected * 1e-9);
    }),
    { seed: 7 },
  );
});
