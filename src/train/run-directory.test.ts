import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, it, mock } from "node:test";
import { makeRunConfig } from "../base/config.ts";
import { createRun, openRun, readRunConfig, runExists, runPaths } from "./run-directory.ts";

let runs = "";
beforeEach(() => {
  runs = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-runs-"));
});
afterEach(() => {
  mock.restoreAll();
  fs.rmSync(runs, { recursive: true, force: true });
});

const config = makeRunConfig("train", { steps: 10, rate: 0.1 });

describe("runs", () => {
  it("are made with their configuration, and opened again", () => {
    assert.equal(runExists(runs, "a"), false);
    {
      using run = createRun(runs, "a", config);
      assert.deepEqual(run.config, config);
    }
    assert.equal(runExists(runs, "a"), true);
    assert.deepEqual(fs.readdirSync(path.join(runs, "a")).sort(), ["checkpoints", "config.json", "metrics.jsonl"]);
    using again = openRun(runs, "a");
    assert.deepEqual(again.config, config);
    assert.deepEqual(readRunConfig(again.paths.config), again.config);
  });

  it("refuse a name that is taken, and one that is in use", () => {
    const run = createRun(runs, "a", config);
    assert.throws(() => openRun(runs, "a"), { code: "RUN_LOCKED", message: new RegExp(String(process.pid)) });
    run.release();
    assert.throws(() => createRun(runs, "a", config), { code: "RUN_EXISTS", hint: /--resume/ });
    openRun(runs, "a").release();
  });

  it("never take over a folder of something else", () => {
    fs.mkdirSync(path.join(runs, "a"));
    fs.writeFileSync(path.join(runs, "a", "thesis.txt"), "mine");
    assert.throws(() => createRun(runs, "a", config), { code: "RUN_EXISTS", message: /thesis\.txt/ });
    assert.deepEqual(fs.readdirSync(path.join(runs, "a")), ["thesis.txt"]);
  });

  it("start over what was killed before it had a configuration", () => {
    fs.mkdirSync(path.join(runs, "a", "checkpoints"), { recursive: true });
    fs.writeFileSync(path.join(runs, "a", "metrics.jsonl"), "");
    fs.writeFileSync(path.join(runs, "a", ".config.json.tmp-1-1-1-1"), "half");
    createRun(runs, "a", config).release();
  });

  it("do not leave the folder of runs", () => {
    for (const name of ["..", "../x", "a/b", "/etc", "", ".hidden", "a\0", "a\\b"]) {
      assert.throws(() => createRun(runs, name, config), { code: "INVALID_OPTION" }, name);
      assert.throws(() => openRun(runs, name), { code: "INVALID_OPTION" }, name);
    }
    assert.deepEqual(fs.readdirSync(runs), []);
  });

  it("name what is missing, of another version, or damaged", () => {
    assert.throws(() => openRun(runs, "none"), { code: "MODEL_NOT_FOUND", message: /"none"/ });
    createRun(runs, "a", config).release();
    const { config: configPath } = runPaths(runs, "a");
    for (const [text, code] of [
      ['{"format":"rookery-run/2"}', "UNKNOWN_FORMAT"],
      ["[]", "UNKNOWN_FORMAT"],
      ['{"format":"rookery-run/1","rookeryVersion":"1","command":"train"}', "FILE_DAMAGED"],
      ["{", "FILE_DAMAGED"],
    ] as const) {
      fs.writeFileSync(configPath, text);
      assert.throws(() => openRun(runs, "a"), { code });
    }
    assert.ok(!fs.existsSync(runPaths(runs, "a").lock), "a run that cannot be opened is not locked");
  });

  it("refuse options that JSON would change", () => {
    for (const value of [Number.NaN, -0, Number.POSITIVE_INFINITY]) {
      assert.throws(() => createRun(runs, "a", { ...config, options: { value } }), /config\.json\.options\.value/);
    }
    assert.deepEqual(fs.readdirSync(runs), []);
  });
});

describe("metrics", () => {
  const lines = (): string[] => fs.readFileSync(runPaths(runs, "a").metrics, "utf8").split("\n");

  it("are appended, and cut after a step", () => {
    using run = createRun(runs, "a", config);
    for (let step = 1; step <= 4; step++) {
      run.appendMetrics({ step, loss: 1 / step });
      run.appendMetrics({ step, heldOut: step });
    }
    fs.appendFileSync(run.paths.metrics, '{"step":2,"half');
    run.truncateMetrics(2);
    run.appendMetrics({ step: 3 });
    run.syncMetrics();
    assert.deepEqual(lines(), [
      '{"step":1,"loss":1}',
      '{"step":1,"heldOut":1}',
      '{"step":2,"loss":0.5}',
      '{"step":2,"heldOut":2}',
      '{"step":3}',
      "",
    ]);
    run.truncateMetrics(0);
    assert.deepEqual(lines(), [""]);
  });

  it("drop a half-written last line of a step that stays", () => {
    using run = createRun(runs, "a", config);
    run.appendMetrics({ step: 1 });
    for (const tail of ['{"step":1,"lo', "null\n", '{"step":"1"}\n', "\n"]) {
      fs.appendFileSync(run.paths.metrics, tail);
      run.truncateMetrics(5);
      assert.deepEqual(lines(), ['{"step":1}', ""]);
    }
  });

  it("are cut right where lines cross the buffer", () => {
    using run = createRun(runs, "a", config);
    const padding = "x".repeat(1_000_000);
    let expectedBytes = 0;
    for (let step = 1; step <= 20; step++) {
      run.appendMetrics({ step, padding });
      if (step === 13) expectedBytes = fs.statSync(run.paths.metrics).size;
    }
    run.truncateMetrics(13);
    assert.equal(fs.statSync(run.paths.metrics).size, expectedBytes);
  });

  it("say when the disk is full", () => {
    using run = createRun(runs, "a", config);
    mock.method(fs, "writeSync", () => {
      throw Object.assign(new Error("ENOSPC"), { code: "ENOSPC", syscall: "write" });
    });
    assert.throws(() => run.appendMetrics({ step: 1 }), { code: "FILE_UNWRITABLE", message: /metrics\.jsonl/ });
  });
});
