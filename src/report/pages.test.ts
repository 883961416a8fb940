import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { wellFormedElements } from "../../test/well-formed.ts";
import { makeRunConfig } from "../base/config.ts";
import { RookeryError } from "../base/errors.ts";
import { fitScalingLaw } from "../scaling/fit.ts";
import { laws } from "../scaling/laws.ts";
import { plan } from "../scaling/plan.ts";
import { planOptionsSchema } from "../scaling/plan-options.ts";
import { syntheticPoints } from "../scaling/synthetic.ts";
import { fitPage } from "./fit-page.ts";
import { planPage } from "./plan-page.ts";
import { readRun } from "./run-data.ts";
import { runPage } from "./run-page.ts";

const folder = mkdtempSync(join(tmpdir(), "rookery-pages-"));
after(() => rmSync(folder, { recursive: true }));

const svgsOf = (page: string) => page.match(/<svg[\s\S]*?<\/svg>\n/g) ?? [];
const dataOf = (page: string) => JSON.parse(/id="data">(.*)<\/script>/.exec(page)![1]!) as Record<string, unknown>;

function checkPage(page: string, leastPlots: number): void {
  const svgs = svgsOf(page);
  assert.ok(svgs.length >= leastPlots, `${svgs.length} plots`);
  for (const svg of svgs) wellFormedElements(svg);
  assert.doesNotMatch(page.replace(/id="data">.*<\/script>/, ""), /NaN|Infinity|undefined/);
  // nothing is fetched from anywhere: the only address is the name of SVG's language
  assert.doesNotMatch(page.replaceAll("http://www.w3.org/2000/svg", ""), /(?:src|href|url\()\s*=?\s*["']?https?:/);
  assert.doesNotMatch(page, /<link|<img|<iframe|@import/);
  assert.match(page, /prefers-color-scheme:dark/);
  assert.match(page, /@media print/);
}

const options = planOptionsSchema.parse({ compute: 3.11e24 });

test("the page of a plan shows the choice of 52B on the curve, and holds what it plots", () => {
  const result = plan(options, laws["hunyuan-large"]);
  const page = planPage(result, "1.2.3");
  checkPage(page, 8);
  assert.match(page, /chosen: 52B/);
  assert.match(page, /52B instead of 58\.1B costs 0\.00012 nats/);
  const data = dataOf(page);
  assert.equal(data.format, "rookery-plan/1");
  assert.deepEqual(JSON.parse(JSON.stringify(result.curves)), data.curves);
  assert.deepEqual(JSON.parse(JSON.stringify(result.sensitivity)), data.sensitivity);
});

test("a law without a loss of N and D leaves its plots out", () =>
  checkPage(planPage(plan(options, laws.kaplan), "1"), 5));

test("the page of a fit, and of a plan by it", () => {
  const points = syntheticPoints({
    ...{ loss: laws["chinchilla-replication"].loss, compute: { perParameterToken: 6, perToken: 0 } },
    ...{ budgets: [1e17, 5e17, 2e18, 1e19], sizesPerBudget: 6, sizeRange: 8, seeds: 2, noise: 0.004, seed: 3 },
  });
  const fit = fitScalingLaw(points, { name: "</script><b>", source: "sweep <one>", resamples: 60, seed: 1 });
  const page = fitPage({ ...fit, predictions: [] }, "1.2.3");
  checkPage(page, 3);
  assert.doesNotMatch(page, /<one>|<\/script><b>/);
  assert.equal(dataOf(page).format, "rookery-scale-fit/1");
  const planned = planPage(plan({ ...options, compute: 1e20 }, fit.law), "1.2.3");
  checkPage(planned, 8);
  assert.match(planned, /95% band/);
});

/** A run as training leaves it: more steps than a plot has rows. */
function writeRun(name: string, steps: number): void {
  mkdirSync(join(folder, name, "model"), { recursive: true });
  const config = makeRunConfig("train", { name, steps, batchTokens: 100, data: ["a <b>"], computeType: "bf16" });
  writeFileSync(join(folder, name, "config.json"), JSON.stringify(config));
  const lines = Array.from({ length: steps }, (_, i) => {
    const layers = [0, 1].map((layer) => ({ load: [90 - layer, 10 + layer] }));
    const rates = { learningRate: 1e-3, expertLearningRate: 3e-4, recycledShare: 0.1, droppedShare: 0 };
    const numbers = {
      crossEntropy: 5 - i / steps,
      gradientNorm: i === 3 ? null : 1,
      tokensPerSecond: 1000,
      seconds: 0.1,
    };
    return { step: i + 1, kind: "step", tokens: 100 * (i + 1), ...numbers, ...rates, peakMemoryBytes: 1e9, layers };
  });
  const evaluation = { step: steps, kind: "evaluation", heldOutCrossEntropy: 4.2, heldOutBitsPerByte: 1.5 };
  const text = [...lines, evaluation].map((line) => JSON.stringify(line)).join("\n");
  writeFileSync(join(folder, name, "metrics.jsonl"), `${text}\n{"step": 9, "half a li`);
  const card =
    "# x\n\n| source | license | tokens | documents |\n| --- | --- | --- | --- |\n| book | MIT | 75 | 3 |\n| web | CC0 | 25 | 9 |\n\n";
  writeFileSync(join(folder, name, "model", "README.md"), card);
}

test("the page of a run: curves, loads, schedule, data, samples, cost", () => {
  writeRun("long", 3000);
  const data = readRun(folder, "long");
  assert.deepEqual([data.steps, data.tokens, data.stepsPerRow, data.rows.length], [3000, 300_000, 4, 750]);
  assert.ok(Math.abs(data.seconds - 300) < 1e-6);
  const { loads, values } = data.rows[100]!;
  assert.deepEqual(
    loads.map((experts) => experts.map((load) => load.toFixed(2))),
    [
      ["1.80", "0.20"],
      ["1.78", "0.22"],
    ],
  );
  assert.ok(values.loss! < 5 && values.loss! > 4.8);
  const samples = [{ prompt: "<once>", text: "upon & on" }];
  const page = runPage({ ...data, samples, cost: { pricePerHour: 2, total: 0.17 } }, "1.2.3");
  checkPage(page, 7);
  assert.match(page, /<td>book<\/td><td>MIT<\/td><td>75<\/td><td>75\.0%<\/td>/);
  assert.match(page, /&lt;once&gt;<\/b>upon &amp; on/);
  assert.match(page, /0\.17 at 2 an hour/);
  assert.doesNotMatch(page, /a <b>/);
  assert.equal((dataOf(page).rows as unknown[]).length, 750);
});

test("a run of one step shows it, and its numbers are not rounded away", () => {
  writeRun("short", 1);
  const page = runPage({ ...readRun(folder, "short"), samples: [], cost: { pricePerHour: 2, total: 5.6e-5 } }, "1");
  checkPage(page, 5);
  for (const svg of svgsOf(page).filter((one) => /(Loss|Speed|Learning rates)<\/text>/.test(one))) {
    assert.match(svg, /<circle/, svg.slice(0, 200));
  }
  assert.match(page, /0\.1 seconds, 1000 tokens a second/);
  assert.match(page, /0\.000056 at 2 an hour/);
});

test("a run of several stages has the steps of them all", () => {
  mkdirSync(join(folder, "staged"));
  const options = {
    steps: 2,
    stages: [
      { name: "long", steps: 3 },
      { name: "longer", steps: 4 },
    ],
  };
  writeFileSync(join(folder, "staged", "config.json"), JSON.stringify(makeRunConfig("train", options)));
  const lines = ["pre-training", "pre-training", "long", "long"].map((stage, i) =>
    JSON.stringify({ step: i + 1, kind: "step", stage, crossEntropy: 5, seconds: 1 }),
  );
  writeFileSync(join(folder, "staged", "metrics.jsonl"), `${lines.join("\n")}\n`);
  const data = readRun(folder, "staged");
  const page = runPage({ ...data, samples: [], cost: null }, "1");
  assert.match(page, /4 of 9, 0 skipped/);
  assert.match(page, /pre-training to step 2, long to step 4/);
  assert.doesNotMatch(runPage({ ...data, totalSteps: null, stages: [], samples: [], cost: null }, "1"), / to step /);
});

test("numbers that no training writes are as if they were not there", () => {
  mkdirSync(join(folder, "hostile"));
  writeFileSync(join(folder, "hostile", "config.json"), JSON.stringify(makeRunConfig("train", {})));
  const lines = [1e308, -1e308, 3].map((crossEntropy, i) => ({ step: i + 1, kind: "step", crossEntropy, seconds: 1 }));
  const evaluation = { step: 3, kind: "evaluation", heldOutCrossEntropy: 1e300, heldOutBitsPerByte: 1 };
  writeFileSync(
    join(folder, "hostile", "metrics.jsonl"),
    [...lines, evaluation]
      .map((line) => JSON.stringify(line))
      .join("\n")
      .concat("\n"),
  );
  const data = readRun(folder, "hostile");
  assert.deepEqual(
    data.rows.map(({ values }) => values.loss),
    [null, null, 3],
  );
  assert.deepEqual(data.evaluations, []);
  checkPage(runPage({ ...data, samples: [], cost: null }, "1"), 1);
});

test("a run that is none, or has no step yet, is one line", () => {
  mkdirSync(join(folder, "young"));
  writeFileSync(join(folder, "young", "config.json"), JSON.stringify(makeRunConfig("train", {})));
  writeFileSync(join(folder, "young", "metrics.jsonl"), "");
  const refused = (message: RegExp) => (error: unknown) => error instanceof RookeryError && message.test(error.message);
  assert.throws(() => readRun(folder, "young"), refused(/no step yet/));
  rmSync(join(folder, "young", "metrics.jsonl"));
  assert.throws(() => readRun(folder, "young"), refused(/no step yet/));
  assert.throws(() => readRun(folder, "missing"), refused(/there is no run/));
  assert.throws(() => readRun(folder, "../young"), refused(/cannot be the name/));
});
