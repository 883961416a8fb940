import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { RookeryError } from "../../base/errors.ts";
import { type Jobs, openJobs } from "../../jobs/jobs.ts";
import type { EvalModel, GenerationRequest } from "../model.ts";
import { evenDepths, evenLengths, gridCells, needleKinds } from "./grid.ts";
import { type RulerSettings, rulerAnswers, runRuler } from "./run.ts";
import { type GridSettings, runNeedleGrid } from "./run-grid.ts";

/** Reads needles word by word, but none that lies deeper than `sight` characters. A token is two characters. */
class Reader implements EvalModel {
  readonly name = "reader";
  readonly maxLength = 100_000;
  readonly concurrency = 4;
  readonly prompts: string[] = [];
  sight = Number.POSITIVE_INFINITY;
  /** Asked so often, it fails. */
  failsAfter = Number.POSITIVE_INFINITY;

  async encode(texts: readonly string[]): Promise<Int32Array[]> {
    return texts.map((text) => new Int32Array(Math.ceil(text.length / 2)));
  }

  async generate({ prompt, maxTokens }: GenerationRequest) {
    const text = typeof prompt === "string" ? prompt : prompt.map(({ content }) => content).join("");
    const promptTokens = Math.ceil(text.length / 2) + 1;
    assert.ok(promptTokens + maxTokens <= this.maxLength);
    if (maxTokens > 1) {
      if (this.prompts.length >= this.failsAfter) throw new RookeryError("ENDPOINT_FAILED", "gone", "start it");
      this.prompts.push(text);
    }
    return { text: this.#read(text), finishReason: "stop" as const, promptTokens, answerTokens: 1, cutTokens: 0 };
  }

  #read(text: string): string {
    const seen = text.slice(0, this.sight);
    const value = [...text.matchAll(/have the value (\d+)/g)].at(-1)?.[1]; // after a solved example
    if (value !== undefined) {
      const names: string[] = [];
      for (const [, name, given] of seen.matchAll(/VAR (\w+) = (?:VAR )?(\w+)\./g)) {
        if (given === value || names.includes(given!)) names.push(name!);
      }
      return names.join(" ");
    }
    const key = /(?:number|numbers) for ([\w-]+) mentioned/.exec(text)?.[1];
    return [...seen.matchAll(/numbers for ([\w-]+) is: (\d+)\./g)]
      .flatMap((one) => (one[1] === key ? [one[2]] : []))
      .join();
  }

  likelihood = async () => assert.fail("not asked");
  rolling = async () => assert.fail("not asked");
  prefixStats = async () => null;
  close = async () => {};
}

let folder = "";
let jobs: Jobs;
let reader: Reader;
beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-ruler-run-"));
  jobs = openJobs(path.join(folder, "jobs.sqlite"), "the grid");
  reader = new Reader();
});
afterEach(() => {
  jobs[Symbol.dispose]();
  fs.rmSync(folder, { recursive: true });
});

const grid: GridSettings = {
  ...{ modelName: "reader", kind: "single", language: "en", seed: 1, needles: 3 },
  ...{ lengths: [1024, 2048, 4096], depths: evenDepths(4), samples: 1, mode: "text", concurrency: 1, threshold: 85.6 },
};

describe("a needle grid", () => {
  for (const kind of needleKinds) {
    it(`finds every ${kind} needle with a reader that reads, at every depth`, async () => {
      const run = await runNeedleGrid(reader, { ...grid, kind, samples: 2 }, { jobs, proseDigest: null }, {});
      assert.deepEqual([run.mean, run.effectiveLength, run.missed], [100, 4096, []]);
      assert.ok(run.rows.every(({ scores }) => scores.length === 4 && scores.every((score) => score === 100)));
      assert.ok(reader.prompts.every((prompt) => prompt.length <= 2 * 4096));
    });
  }

  it("puts the needle where the depth says, into texts that begin alike", async () => {
    await runNeedleGrid(reader, grid, { jobs, proseDigest: null }, {});
    const [deepest, middle, , first] = reader.prompts.slice(-4) as [string, string, string, string];
    const at = (prompt: string) => prompt.indexOf("One of the special") / prompt.length;
    assert.ok(at(deepest) > 0.9 && Math.abs(at(middle) - 2 / 3) < 0.05 && at(first) < 0.05);
    const common = [...deepest].findIndex((character, index) => character !== middle[index]);
    assert.ok(common > 0.6 * deepest.length);
  });

  it("shows where a reader stops to see", async () => {
    reader.sight = 4000;
    const run = await runNeedleGrid(reader, grid, { jobs, proseDigest: null }, {});
    assert.equal(run.rows[0]!.mean, 100);
    assert.deepEqual(run.rows[2]!.scores, [100, 100, 0, 0]);
    assert.equal(run.effectiveLength, 2048);
    assert.ok(run.missed.length > 0 && run.missed.every(({ score, said }) => score < 1 && said === ""));
  });

  it("goes on where it was when the model failed, and asks nothing twice", async () => {
    for (const concurrency of [1, 3]) {
      reader.failsAfter = reader.prompts.length + 3;
      const settings = { ...grid, concurrency };
      await assert.rejects(runNeedleGrid(reader, settings, { jobs, proseDigest: null }, {}), { message: "gone" });
    }
    reader.failsAfter = Number.POSITIVE_INFINITY;
    const run = await runNeedleGrid(reader, grid, { jobs, proseDigest: null }, {});
    assert.equal(run.mean, 100);
    assert.equal(new Set(reader.prompts).size, 12);
    assert.equal(reader.prompts.length, 12);
    const more = { ...grid, lengths: [...grid.lengths, 8192] };
    assert.equal((await runNeedleGrid(reader, more, { jobs, proseDigest: null }, {})).rows.length, 4);
    assert.equal(reader.prompts.length, 16);
    const other = runNeedleGrid(reader, { ...grid, seed: 2 }, { jobs, proseDigest: null }, {});
    await assert.rejects(other, { code: "INVALID_OPTION", message: /was begun with settings/ });
  });

  it("stops when it is told to, and leaves lengths blank that are too short", async () => {
    const signal = AbortSignal.abort(new Error("enough"));
    await assert.rejects(runNeedleGrid(reader, grid, { jobs, proseDigest: null }, { signal }), /enough/);
    const short = { ...grid, lengths: [70, 1024] };
    const run = await runNeedleGrid(reader, short, { jobs, proseDigest: null }, {});
    assert.deepEqual([run.rows[0]!.scores, run.rows[0]!.mean, run.mean], [[null, null, null, null], null, 100]);
    assert.match(run.left[0]!.reason, /a length of 70 tokens is too short/);
    const long = runNeedleGrid(reader, { ...grid, lengths: [200_000] }, { jobs, proseDigest: null }, {});
    await assert.rejects(long, { code: "INVALID_OPTION", message: /200000 tokens is over the 100000/ });
  });
});

it("cells go from short to long and from deep to shallow; lengths and depths are even", () => {
  assert.deepEqual(
    gridCells([20, 10], [0, 1], 1).map(({ length, depth }) => [length, depth]),
    [
      [10, 1],
      [10, 0],
      [20, 1],
      [20, 0],
    ],
  );
  assert.deepEqual(evenDepths(5), [0, 0.25, 0.5, 0.75, 1]);
  assert.deepEqual(evenDepths(1), [0.5]);
  assert.deepEqual(evenLengths(32_768, 2), [16_384, 32_768]);
});

it("RULER's items are asked once each, and more can be asked for later", async () => {
  const settings: RulerSettings = {
    ...{ modelName: "reader", tasks: ["niah_multikey_2", "vt"], lengths: [1024], languages: ["en"], samples: 3 },
    ...{ seed: 1, mode: "chat", concurrency: 2, threshold: 85.6 },
  };
  const store = { jobs, sources: {}, sourceDigests: {} };
  const run = await runRuler(reader, settings, store, {});
  assert.deepEqual(run.summaries[0]!.rows[0]!.scores, { niah_multikey_2: 100, vt: 100 });
  const more = await runRuler(reader, { ...settings, tasks: ["vt", "fwe"], lengths: [1024, 2048] }, store, {});
  assert.deepEqual(more.summaries[0]!.rows[1]!.scores, { vt: 100, fwe: 0 });
  assert.equal(reader.prompts.length, 6 + 3 + 6);
  assert.equal([...rulerAnswers(jobs)].length, 15);
  await assert.rejects(runRuler(reader, { ...settings, mode: "text" }, store, {}), { code: "INVALID_OPTION" });
});
