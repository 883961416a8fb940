import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { makeRunConfig } from "../base/config.ts";
import { createRun } from "../train/run-directory.ts";
import { readRun } from "./run-data.ts";
import { heldOutText, runPage } from "./run-page.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-run-page-"));
after(() => fs.rmSync(folder, { recursive: true }));

test("a run of alignment shows what it measured: the reward beside the right answers", () => {
  using run = createRun(folder, "dpo-1", makeRunConfig("dpo", { name: "dpo-1", steps: 2 }));
  const measured = { kind: "stage-evaluation", divergence: 0, heldOutAccuracy: 0.5, sampledReward: null };
  run.appendMetrics({ step: 0, ...measured, examExactMatch: 0.27 });
  run.appendMetrics({ step: 1, kind: "step", crossEntropy: 1, tokens: 10, seconds: 1 });
  run.appendMetrics({ step: 1, ...measured, examExactMatch: 0.2, sampledReward: 0.4 });
  const data = readRun(folder, "dpo-1");
  assert.deepEqual(data.measurements, [
    { step: 0, figures: { divergence: 0, heldOutAccuracy: 0.5, examExactMatch: 0.27 } },
    { step: 1, figures: { divergence: 0, heldOutAccuracy: 0.5, examExactMatch: 0.2, sampledReward: 0.4 } },
  ]);
  const page = runPage({ ...data, samples: [], cost: null }, "1.2.3");
  for (const title of ["Reward and right answers", "Divergence from the reference", "Held-out pairs"]) {
    assert.ok(page.includes(title), title);
  }
  assert.ok(!page.includes("Length of answers"));
  // a loss of preferences is not one a token, and a stage has no table of sources to wait for
  assert.match(page, />nats<\/text>/);
  assert.doesNotMatch(page, /which this run does not have yet/);
  const figures = (heldOutLoss: number) => [{ step: 1, figures: { heldOutLoss } }];
  assert.equal(heldOutText({ evaluations: [], measurements: figures(0.75) }), "0.7500 nats a pair");
  assert.equal(heldOutText({ evaluations: [], measurements: [] }), "not measured");
  assert.ok(!runPage({ ...data, measurements: [], samples: [], cost: null }, "1.2.3").includes("Measured beside"));
});
