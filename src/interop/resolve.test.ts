import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { nameOfModel } from "./folders.ts";
import { resolveModel } from "./resolve.ts";

let root = "";
let runsFolder = "";
before(() => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-resolve-"));
  runsFolder = path.join(root, "runs");
  for (const name of ["shakespeare", "unfinished", "nano"]) {
    fs.mkdirSync(path.join(runsFolder, name, "model"), { recursive: true });
    fs.writeFileSync(path.join(runsFolder, name, "config.json"), '{"format":"rookery-run/1"}');
    if (name !== "unfinished") fs.writeFileSync(path.join(runsFolder, name, "model", "config.json"), "{}");
  }
  fs.mkdirSync(path.join(root, "downloaded"));
  fs.writeFileSync(path.join(root, "downloaded", "config.json"), '{"model_type":"hunyuan"}');
});
after(() => fs.rmSync(root, { recursive: true, force: true }));

const inRuns = (...parts: string[]): string => path.join(runsFolder, ...parts);

describe("resolveModel", () => {
  it("knows presets, runs and directories", () => {
    assert.deepEqual(resolveModel("hunyuan-large", { runsFolder }), { kind: "preset", name: "hunyuan-large" });
    const run = { kind: "run", name: "shakespeare", path: inRuns("shakespeare", "model") };
    assert.deepEqual(resolveModel("shakespeare", { runsFolder }), run);
    assert.deepEqual(resolveModel(inRuns("shakespeare"), { runsFolder }), run);
    const downloaded = path.join(root, "downloaded");
    assert.deepEqual(resolveModel(downloaded, { runsFolder }), { kind: "directory", path: downloaded });
  });

  it("puts a preset before a run of its name, which a path still reaches", () => {
    assert.equal(resolveModel("nano", { runsFolder }).kind, "preset");
    assert.deepEqual(resolveModel(inRuns("nano"), { runsFolder }), {
      kind: "run",
      name: "nano",
      path: inRuns("nano", "model"),
    });
  });

  it("says what to do about the rest", () => {
    assert.throws(() => resolveModel("unfinished", { runsFolder }), {
      code: "MODEL_NOT_FOUND",
      message: /no model yet/,
    });
    assert.throws(() => resolveModel("shakespaere", { runsFolder }), {
      code: "MODEL_NOT_FOUND",
      hint: 'did you mean "shakespeare"?',
    });
    assert.throws(() => resolveModel("../shakespeare", { runsFolder }), { code: "MODEL_NOT_FOUND" });
    assert.throws(() => resolveModel("", { runsFolder: path.join(root, "none") }), {
      code: "MODEL_NOT_FOUND",
      hint: /presets: .*nano/,
    });
    assert.throws(() => resolveModel("hf:tencent/Tencent-Hunyuan-Large@main", { runsFolder }), {
      code: "MODEL_NOT_FOUND",
      hint: /download the model with another tool/,
    });
    assert.throws(() => resolveModel("hf:nonsense", { runsFolder }), { code: "INVALID_OPTION" });
  });

  it("calls a model by its run, however it is reached, or by its folder", () => {
    for (const model of [
      "shakespeare",
      inRuns("shakespeare"),
      inRuns("shakespeare", "model"),
      `${inRuns("shakespeare")}/`,
    ])
      assert.equal(nameOfModel(model), "shakespeare");
    assert.equal(nameOfModel(inRuns("shakespeare", "model-fp8")), "model-fp8");
    assert.equal(nameOfModel("model"), "model");
  });
});
