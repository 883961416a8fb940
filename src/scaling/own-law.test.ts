/** Plans by a law of one's own: asked at C_min by its own critical batch, from a program and from its file. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { expertLearningRateRatio } from "../train/schedule.ts";
import { criticalBatchAt, kaplanCriticalBatch } from "./batch.ts";
import { fitScalingLaw } from "./fit.ts";
import { resolveLaw, scaleFitFormat } from "./law-file.ts";
import { computeOf, frontierAt, laws, powerAt } from "./laws.ts";
import { logSpaced } from "./numeric.ts";
import { plan } from "./plan.ts";
import { predict } from "./predict.ts";
import { syntheticPoints } from "./synthetic.ts";

const folder = mkdtempSync(join(tmpdir(), "rookery-own-law-"));
after(() => rmSync(folder, { recursive: true }));

/** Runs whose batches are a third to all of their critical one, so that C_min is well below C. */
const points = syntheticPoints({
  ...{ loss: laws["chinchilla-replication"].loss, compute: { perParameterToken: 6, perToken: 0 } },
  ...{ budgets: logSpaced(1e17, 1e19, 5), sizesPerBudget: 7, sizeRange: 10, seeds: 1, noise: 0.003, seed: 1 },
}).map((point) => ({
  ...point,
  batchTokens: 1e5 * (point.budget / 1e17) ** 0.3,
  noiseTokens: 2e8 / point.loss ** 4.5,
}));
const fit = fitScalingLaw(points, { name: "own", source: "own.csv", resamples: 60, seed: 1 });
const options = { family: "mini", sequenceLength: 1024 } as const;
const near = (actual: number, wanted: number, share = 1e-6) =>
  assert.ok(Math.abs(actual / wanted - 1) < share, `${actual}, not about ${wanted}`);

test("a plan is what the fit foretells, and its N and D take the compute that was asked for", () => {
  const compute = 1e19;
  const { batchTokens, leastCompute } = predict(fit, compute);
  const { optimal, planned, recipe, extrapolation } = plan({ ...options, compute }, fit.law);
  // whole rows of a batch are all that differs
  near(recipe.batchTokens, batchTokens!, 0.01);
  near(optimal.leastCompute, leastCompute, 0.01);
  assert.ok(optimal.leastCompute < 0.85 * compute);
  near(optimal.activatedParameters, powerAt(fit.law.parameters, optimal.leastCompute));
  near(computeOf(fit.law.compute, planned.activatedParameters, planned.tokens), compute, 0.05);
  near(extrapolation.factor, Math.max(1, optimal.leastCompute / fit.law.computeRange[1]));
});

test("the critical batch and the experts' rate are by its own noise scales, and by Kaplan's constants where it has none", () => {
  const { recipe, model, planned } = plan({ ...options, compute: 1e19 }, fit.law);
  const { criticalBatch } = recipe;
  assert.ok(criticalBatch?.isMeasured && planned.loss !== null);
  near(criticalBatch.tokens, criticalBatchAt(fit.law.batch.critical!, planned.loss));
  near(criticalBatch.tokens, 2e8 / planned.loss ** 4.5, 0.05);
  near(recipe.batchToNoiseRatio, recipe.batchTokens / criticalBatch.tokens);
  near(
    recipe.expertLearningRateRatio,
    expertLearningRateRatio(model.config.numExperts, model.config.topK, recipe.batchToNoiseRatio),
  );
  assert.match(criticalBatch.source, /the noise scales of 35 runs/);
  assert.match(recipe.sources.join(), /batch: as the law's own runs had it.*by the noise scales of the law's own runs/);

  const without = fitScalingLaw(
    points.map((point) => ({ ...point, noiseTokens: null })),
    { name: "own", source: "own.csv", resamples: 60, seed: 1 },
  );
  const borrowed = plan({ ...options, compute: 1e19 }, without.law);
  assert.equal(borrowed.optimal.leastCompute, 1e19);
  assert.equal(borrowed.recipe.criticalBatch?.isMeasured, false);
  near(borrowed.recipe.criticalBatch!.tokens, criticalBatchAt(kaplanCriticalBatch, borrowed.planned.loss!));
  assert.match(borrowed.recipe.criticalBatch!.source, /Kaplan.*this law has none of its own/);
  assert.equal(borrowed.recipe.batchToNoiseRatio, 0.26);
  assert.match(borrowed.recipe.sources.join(), /as the report's own ratio implies/);
});

test("N alone, and D alone, lead to the compute that leads to them", () => {
  const { optimal } = plan({ ...options, compute: 1e19 }, fit.law);
  near(plan({ ...options, activatedParameters: optimal.activatedParameters }, fit.law).planned.compute, 1e19, 0.01);
  near(plan({ ...options, tokens: optimal.tokens }, fit.law).planned.compute, 1e19, 0.01);
  const given = plan({ ...options, compute: 1e19, batchTokens: 1024 }, fit.law);
  near(given.optimal.leastCompute, 1e19, 0.02);
  assert.match(given.recipe.sources.join(), /batch: as given/);
});

test("a law without a loss of N and D has its critical batch where its L(C) is", () => {
  const { recipe, optimal } = plan({ ...options, compute: 1e19 }, { ...fit.law, loss: null });
  near(
    recipe.criticalBatch!.tokens,
    criticalBatchAt(fit.law.batch.critical!, frontierAt(fit.law.frontier!, optimal.leastCompute)),
  );
});

function written(name: string, content: unknown): string {
  const file = join(folder, name);
  writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content));
  return file;
}
const whole = { format: scaleFitFormat, ...fit };

test("the file of a fit is its law, and so is one from before laws had their batch", () => {
  assert.deepEqual(resolveLaw(written("fit.json", whole)), JSON.parse(JSON.stringify(fit.law)));
  const { batch, ...law } = fit.law;
  const earlier = resolveLaw(written("earlier.json", { ...whole, law, criticalBatch: batch.critical }));
  near(powerAt(earlier.batch.tokens!, 1e18), powerAt(batch.tokens!, 1e18));
  assert.deepEqual(earlier.batch.critical, batch.critical);
  const recorded = resolveLaw(join(import.meta.dirname, "../../docs/scaling/fit.json"));
  // docs/scaling/README.md: 296K parameters on 14.7M tokens for 3e13 FLOPs
  const { optimal } = plan({ family: "pico", sequenceLength: 128, compute: 3e13 }, recorded);
  assert.equal((optimal.activatedParameters / 1e3).toFixed(0), "296");
  assert.equal((optimal.tokens / 1e6).toFixed(1), "14.7");
});

const changed = (change: object) => ({ ...whole, law: { ...fit.law, ...change } });
const refusals: Record<string, [content: unknown, message: RegExp]> = {
  "cut.json": [JSON.stringify(whole).slice(0, 4000), /no valid JSON/],
  "later.json": [
    { ...whole, format: "rookery-scale-fit/2" },
    /has the format "rookery-scale-fit\/2"; this Rookery reads/,
  ],
  "list.json": ["[]", /has the format none/],
  "no-law.json": [{ format: scaleFitFormat }, /: law invalid input/],
  "sweep.csv": ["budget,loss\n", /a table of runs, which has no law yet/],
  "falls.json": [changed({ tokens: { coefficient: 1, exponent: -0.1 } }), /law\.tokens\.exponent too small/],
  "range.json": [changed({ computeRange: [2, 1] }), /law\.computeRange is upside down/],
  "no-samples.json": [
    changed({ uncertainty: { ...fit.law.uncertainty, parameters: [] } }),
    /law\.uncertainty\.parameters too small/,
  ],
};

for (const [name, [content, message]] of Object.entries(refusals)) {
  test(`a file that is no law is one line: ${name}`, () => {
    const file = written(name, content);
    assert.throws(
      () => resolveLaw(file),
      (error: Error & { hint: string }) => message.test(error.message) && !/\n/.test(error.message + error.hint),
    );
  });
}

test("a law that leads nowhere is refused", () => {
  const { frontier } = fit.law;
  const law = { ...fit.law, frontier: { ...frontier!, floor: -100 } };
  assert.throws(() => plan({ ...options, compute: 1e19 }, law), { code: "INVALID_OPTION", message: /leads to/ });
});
