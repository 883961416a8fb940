import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import type { RookeryEvent } from "../base/events.ts";
import { streamKeys, uniform } from "../base/random.ts";
import { liveMemory } from "../kernels/bindings/memory.ts";
import { account } from "../model/accounting.ts";
import { countFlops } from "../model/flops.ts";
import { runTraining } from "../train/run.ts";
import { expertLearningRateRatio } from "../train/schedule.ts";
import { fitRates, rateFor } from "./learning-rate.ts";
import { measureNoise } from "./noise.ts";
import { runSweep } from "./sweep.ts";
import { createSweep } from "./sweep-folder.ts";
import { type SweepOptions, sweepOptionsSchema } from "./sweep-options.ts";
import { pointsOf, searchPointsOf } from "./sweep-plan.ts";
import { trainOptionsFor } from "./sweep-point.ts";
import { readTable } from "./table-file.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-sweep-"));
after(() => fs.rmSync(folder, { recursive: true, force: true }));
const text = path.join(folder, "text.txt");
let sweepsFolder = "";

before(() => {
  const words = "the penguin swims over cold water and under ice while snow falls on a quiet shore".split(" ");
  const keys = streamKeys(7, "words");
  const word = (index: number) => words[Math.floor(uniform(keys, index) * words.length)];
  fs.writeFileSync(text, Array.from({ length: 4000 }, (_, index) => word(index)).join(" "));
});
let liveAtStart = liveMemory();
beforeEach(() => {
  sweepsFolder = fs.mkdtempSync(path.join(folder, "sweeps-"));
  liveAtStart = liveMemory();
});
afterEach(() => assert.deepEqual(liveMemory(), liveAtStart, "all memory comes back"));

function options(given: Record<string, unknown> = {}): SweepOptions {
  const model = {
    ...{ vocabularySize: 300, hiddenSize: 64, intermediateSize: 48, numHiddenLayers: 4, numAttentionHeads: 4 },
    ...{ numKeyValueHeads: 2, headDim: 16, numExperts: 4, maxPositionEmbeddings: 64 },
  };
  return sweepOptionsSchema.parse({
    ...{ model, data: [text], maxDocumentCharacters: 512, heldOutShare: 0.1, sweepsFolder, sequenceLength: 32 },
    ...{ budgets: [8e8, 16e8], sizes: [21_000, 39_000], batchTokens: 32, seeds: 1, maxPasses: 1000, parallel: 1 },
    ...given,
  });
}

async function lossesOf(table: string | null): Promise<[number, number][]> {
  return (await readTable(table!)).map(({ parameters, loss }) => [parameters, loss]);
}

describe("the plan of a sweep", () => {
  it("gives each model the tokens of its budget, and a batch that grows with it", () => {
    const points = pointsOf(options({ budgets: [8e12, 1e12], sizes: undefined, sizesPerBudget: 5, seeds: 2 }));
    assert.equal(points.length, 20);
    for (const point of points) {
      const { config, budget, compute, tokens, steps, batchTokens } = point;
      assert.equal(point.activatedParameters, account(config).parameters.activated);
      assert.equal(compute, tokens * countFlops(config, { sequenceLength: 32 }).training);
      assert.equal(tokens, steps * batchTokens);
      assert.ok(Math.abs(compute / budget - 1) < 0.01, `${compute} for ${budget}`);
      assert.equal(batchTokens, budget === 1e12 ? 32 : 64);
      assert.equal(config.hiddenSize / config.numAttentionHeads, 16);
    }
    const sizes = points
      .filter(({ budget, seed }) => budget === 1e12 && seed === 1)
      .map((one) => one.activatedParameters);
    assert.deepEqual(
      sizes,
      sizes.toSorted((a, b) => a - b),
    );
    assert.equal(new Set(points.map(({ run }) => run)).size, 20);
    const [first, last] = [points[0]!, points.at(-1)!];
    assert.ok(Math.abs(last.learningRate / first.learningRate - 8 ** -0.125) < 1e-9);
  });

  it("searches rates at three sizes of the smallest budget", () => {
    const points = searchPointsOf(options({ budgets: [8e12, 1e12], sizes: undefined, sizesPerBudget: 5 }));
    assert.equal(points.length, 15);
    assert.ok(points.every(({ budget }) => budget === 1e12));
    assert.equal(new Set(points.map(({ activatedParameters }) => activatedParameters)).size, 3);
  });

  for (const [given, message] of [
    [{ budgets: [1e8] }, /budget 1.00e\+8 gives a model of \d+ activated parameters \d+ updates of 32 tokens/],
    [{ sizes: [10] }, /budget 8.00e\+8: no model of this family has about 1.00e\+1 activated parameters/],
  ] as const) {
    it(`refuses ${JSON.stringify(given)}`, () => {
      assert.throws(() => pointsOf(options(given)), { code: "INVALID_OPTION", message });
    });
  }

  it("takes no budget that is none", () => {
    for (const budgets of [[-1], [0], [Number.NaN], [Number.POSITIVE_INFINITY], []]) {
      assert.ok(!sweepOptionsSchema.safeParse({ budgets }).success, String(budgets));
    }
  });
});

describe("the learning rate of a search", () => {
  const tried = (size: number, best: number) =>
    [0.25, 0.5, 1, 2, 4].map((factor) => {
      const learningRate = 0.01 * factor;
      return { activatedParameters: size, learningRate, loss: 3 + 0.1 * Math.log(learningRate / best) ** 2 };
    });

  it("is a power of the size through each parabola's bottom", () => {
    const law = (size: number) => 0.3 * size ** -0.3;
    const search = fitRates([1e4, 3e4, 1e5].flatMap((size) => tried(size, law(size))));
    assert.ok(search.best.every(({ isEdge }) => !isEdge));
    assert.ok(Math.abs(search.law.exponent + 0.3) < 1e-9);
    assert.ok(Math.abs(rateFor(search, 2e4) / law(2e4) - 1) < 1e-9);
  });

  it("says where the range ends before the bottom, and follows the published exponent from one size", () => {
    const search = fitRates(tried(1e4, 1));
    assert.deepEqual(search.best, [{ activatedParameters: 1e4, learningRate: 0.04, isEdge: true }]);
    assert.equal(search.law.exponent, -0.25);
    assert.throws(() => fitRates([]), { code: "BAD_DATA" });
  });
});

describe("a sweep", () => {
  it("that was stopped goes on to the table of one that was not, which DuckDB reads", async () => {
    const whole = await runSweep(options({ name: "whole" }), {});
    assert.deepEqual([whole.done, whole.failed], [4, []]);
    const controller = new AbortController();
    const onEvent = (event: RookeryEvent) => {
      if (event.type === "progress" && event.what === "training the sweep" && event.done > 9e8) controller.abort();
    };
    const stopped = options({ name: "stopped" });
    await assert.rejects(runSweep(stopped, { signal: controller.signal, onEvent }), {
      code: "INTERRUPTED",
      hint: `go on with: rookery scale run --resume --name stopped --sweeps-folder ${sweepsFolder}`,
    });
    assert.equal((await lossesOf(path.join(sweepsFolder, "stopped", "table.parquet"))).length, 1);
    const resumed = await runSweep(
      sweepOptionsSchema.parse({ name: "stopped", resume: true, sweepsFolder, parallel: 2 }),
      {},
    );
    assert.deepEqual(await lossesOf(resumed.table), await lossesOf(whole.table));

    const { DuckDBInstance } = await import("@duckdb/node-api");
    const database = await DuckDBInstance.create();
    const connection = await database.connect();
    const reader = await connection.runAndReadAll(
      `SELECT count(*), count(DISTINCT budget), bool_and(loss > 0 AND noise_tokens > 0 AND seconds > 0 AND status = 'done'),
       bool_and(json_extract(architecture, '$.numExperts')::INT = 4) FROM '${resumed.table}'`,
    );
    assert.deepEqual(reader.getRows(), [[4n, 2n, true, true]]);
    connection.closeSync();
    database.closeSync();
  });

  it("names a point that fails, trains the rest, and tries it again when asked", async () => {
    const given = options({ name: "s", measureNoise: false });
    const [point] = pointsOf(given);
    const inTheWay = path.join(sweepsFolder, "s", "runs", point!.run);
    fs.mkdirSync(inTheWay, { recursive: true });
    fs.writeFileSync(path.join(inTheWay, "notes.txt"), "of someone else");
    const warnings: string[] = [];
    const onEvent = (event: RookeryEvent) => event.type === "warning" && warnings.push(event.message);
    const { done, failed, table } = await runSweep(given, { onEvent });
    assert.equal(done, 3);
    assert.deepEqual(
      failed.map(({ run }) => run),
      [point!.run],
    );
    assert.match(warnings.join(), new RegExp(`${point!.run} has failed: .* is no run, but holds files already`));
    assert.equal((await lossesOf(table)).length, 3, "a failed row is none that a fit takes");
    const again = { ...given, resume: true, retryFailed: true };
    assert.deepEqual((await runSweep(again, {})).failed, []);
    assert.equal((await lossesOf(table)).length, 4);
  });

  it("refuses text that is too little, names that are taken or none, and other settings when it goes on", async () => {
    await assert.rejects(runSweep(options({ maxPasses: 0.5 }), {}), { code: "BAD_DATA", message: /passes/ });
    assert.deepEqual(fs.readdirSync(sweepsFolder), [], "mended, the same command begins");
    createSweep(options());
    await assert.rejects(runSweep(options(), {}), { code: "RUN_EXISTS" });
    await assert.rejects(runSweep(options({ resume: true, budgets: [8e8] }), {}), {
      code: "INVALID_OPTION",
      message: /goes on with budgets/,
    });
    await assert.rejects(runSweep(options({ name: "none", resume: true }), {}), { code: "MODEL_NOT_FOUND" });
    await assert.rejects(runSweep(options({ name: "../x" }), {}), { code: "INVALID_OPTION" });
  });

  it("plans without training", async () => {
    const { table, estimate } = await runSweep(options({ planOnly: true, learningRate: "search" }), {});
    assert.equal(table, null);
    assert.deepEqual([estimate.runs, estimate.searchRuns], [4, 10]);
    assert.ok(estimate.seconds > 0 && estimate.compute > 2 * (8e8 + 16e8));
    assert.deepEqual(fs.readdirSync(sweepsFolder), []);
  });
});

describe("the noise of a run", () => {
  it("is measured at its checkpoint, the same on any number of threads", async () => {
    const [point] = pointsOf(options());
    const run = { ...trainOptionsFor(options(), point!), tokenizer: undefined, runsFolder: sweepsFolder, steps: 12 };
    await runTraining(run, {});
    const measure = (threads: number) =>
      measureNoise({ runsFolder: sweepsFolder, name: point!.run, batches: 16, threads });
    const measured = await measure(1);
    assert.deepEqual(await measure(2), measured);
    const { noiseTokens, batchToNoiseRatio, step, smallSquaredNorm, largeSquaredNorm } = measured;
    assert.equal(step, 12);
    assert.ok(noiseTokens > 0 && smallSquaredNorm > largeSquaredNorm);
    assert.equal(batchToNoiseRatio, 32 / noiseTokens);
    assert.equal(measured.expertLearningRateRatio, expertLearningRateRatio(4, 1, batchToNoiseRatio));
    await assert.rejects(measureNoise({ runsFolder: sweepsFolder, name: "none", batches: 8, threads: 1 }), {
      code: "MODEL_NOT_FOUND",
      message: /has no checkpoint/,
    });
  });
});
