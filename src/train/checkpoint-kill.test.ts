import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { latestCheckpoint, openCheckpoint } from "./checkpoint.ts";
import { openRun } from "./run-directory.ts";

// The real thing, besides the exhaustive simulation in checkpoint.test.ts: a process that saves in a loop is killed by
// SIGKILL somewhere, and a new one goes on.

const moduleUrl = (name: string): string => new URL(name, import.meta.url).href;

/** Prints one dot for each piece it writes, and `[step]` once a step's checkpoint is saved. */
const program = `
  import fs from "node:fs";
  import { latestCheckpoint, openCheckpoint, saveCheckpoint } from ${JSON.stringify(moduleUrl("./checkpoint.ts"))};
  import { createRun, openRun, runExists } from ${JSON.stringify(moduleUrl("./run-directory.ts"))};
  import { makeRunConfig } from ${JSON.stringify(moduleUrl("../base/config.ts"))};
  const runs = process.argv[1];
  const run = runExists(runs, "a")
    ? openRun(runs, "a")
    : createRun(runs, "a", makeRunConfig("train", {}));
  const newest = latestCheckpoint(run.paths.checkpoints);
  let step = 0;
  if (newest !== null) {
    using opened = openCheckpoint(newest.path);
    step = opened.step;
  }
  run.truncateMetrics(step);
  const tensors = (name) => [{
    name, dtype: "U8", shape: [8, 4096],
    bytes: { *[Symbol.iterator]() {
      for (let row = 0; row < 8; row++) { fs.writeSync(1, "."); yield new Uint8Array(4096).fill(step); }
    } },
  }];
  for (;;) {
    step += 1;
    run.appendMetrics({ step });
    run.syncMetrics();
    saveCheckpoint(run.paths.checkpoints,
      { step, weights: tensors("w"), optimizer: tensors("o"), state: { step } }, 2);
    fs.writeSync(1, "[" + step + "]");
  }
`;

let runs = "";
before(() => {
  runs = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-kill-"));
});
after(() => fs.rmSync(runs, { recursive: true, force: true }));

/** Runs the program, kills it once it printed `characters` characters, and returns all it printed. */
async function runAndKill(characters: number): Promise<string> {
  const child = spawn(process.execPath, ["--input-type=module-typescript", "--eval", program, runs], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let printed = "";
  let errors = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    printed += text;
    if (printed.length >= characters) child.kill("SIGKILL");
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    errors += text;
  });
  const [, signal] = await once(child, "close");
  assert.equal(signal, "SIGKILL", errors);
  return printed;
}

describe("a run killed by SIGKILL", () => {
  it("never loses the last checkpoint it announced, and goes on from there", async () => {
    let announced = 0;
    for (const characters of [1, 13, 22, 47, 60, 85]) {
      const printed = await runAndKill(characters);
      for (const [, step] of printed.matchAll(/\[(\d+)\]/g)) announced = Number(step);
      using run = openRun(runs, "a");
      const newest = latestCheckpoint(run.paths.checkpoints);
      if (newest === null) {
        assert.equal(announced, 0);
        continue;
      }
      using opened = openCheckpoint(newest.path);
      assert.ok(opened.step >= announced && opened.step > 0, `${opened.step} after [${announced}]`);
      assert.equal(opened.state.step, opened.step);
      for (const [source, name] of [
        [opened.weights, "w"],
        [opened.optimizer, "o"],
      ] as const) {
        assert.ok(source.read(name).every((byte) => byte === (opened.step & 255)));
      }
      run.truncateMetrics(opened.step);
      const lines = fs.readFileSync(run.paths.metrics, "utf8").trimEnd().split("\n");
      assert.deepEqual(
        lines,
        Array.from({ length: opened.step }, (_, index) => `{"step":${index + 1}}`),
      );
    }
    assert.ok(announced > 3);
  });
});
