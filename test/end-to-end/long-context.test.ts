/** Needle grids and scrolls by the command line, with a tiny model: killed, gone on with, graded. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, it } from "node:test";
import { openJobs } from "../../src/jobs/jobs.ts";
import { writeTinyModel } from "../tiny-model.ts";

const rookery = path.join(import.meta.dirname, "../../bin/rookery.js");
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-long-context-"));
let model = "";
before(async () => {
  model = await writeTinyModel(folder);
});
after(() => fs.rmSync(folder, { recursive: true, force: true }));

/** Kills the command once its output says so; else waits for its end. */
async function run(words: string[], killAt?: RegExp): Promise<{ stdout: string; stderr: string; code: number | null }> {
  const child = spawn(process.execPath, [rookery, ...words], { cwd: folder });
  const told = { stdout: "", stderr: "" };
  child.stdout.on("data", (bytes) => {
    told.stdout += bytes;
  });
  child.stderr.on("data", (bytes) => {
    told.stderr += bytes;
    if (killAt?.test(told.stderr)) child.kill("SIGKILL");
  });
  const [code] = (await once(child, "close")) as [number | null];
  return { ...told, code };
}

it("a needle grid survives a kill, asks no cell twice, and draws its heat map", async () => {
  const words = [
    "eval",
    "needle",
    model,
    "--lengths",
    "600,800",
    "--depths",
    "6",
    "--samples",
    "10",
    "--out",
    "grid",
    "--threads",
    "1",
  ];
  const killed = await run(words, /cells/);
  assert.equal(killed.code, null, killed.stderr);
  const statesOf = () => {
    using jobs = openJobs(path.join(folder, "grid", "cells.sqlite"), "the grid");
    return [...jobs.list()].map(({ key, state, updatedAt }) => ({ key, state, updatedAt }));
  };
  const before = statesOf();
  const done = before.filter(({ state }) => state === "done");
  assert.ok(done.length > 0 && done.length < 120, `${done.length} of ${before.length}`);
  const { code, stdout, stderr } = await run([...words, "--json"]);
  assert.equal(code, 0, stderr);
  const result = JSON.parse(stdout) as { format: string; rows: { scores: number[] }[]; heatMap: string };
  assert.equal(result.format, "rookery-eval-needle/1");
  assert.deepEqual(
    result.rows.map(({ scores }) => scores.length),
    [6, 6],
  );
  const all = statesOf();
  assert.ok(all.every(({ state }) => state === "done") && all.length === 120);
  const still = new Set(all.map((one) => JSON.stringify(one)));
  assert.ok(done.every((one) => still.has(JSON.stringify(one))));
  assert.match(fs.readFileSync(path.join(folder, result.heatMap), "utf8"), /^<svg/);
});

it("a benchmark is built of documents, answered, and graded by its own checks", async () => {
  const towns = ["harbor", "market", "bridge", "school"];
  const sections = towns.map(
    (town, at) => `## The ${town}\n\nThe old ${town} of the town was built by ${at + 12} workers in a single summer.\n`,
  );
  fs.writeFileSync(path.join(folder, "town.md"), `# Town\n\n${sections.join("\n")}`);
  const built = await run(["scroll", "build", "town.md", "--out", "bench", "--json"]);
  assert.equal(built.code, 0, built.stderr);
  const { left } = JSON.parse(built.stdout) as { left: number };
  assert.ok(left > 4);
  const data = ["--data", "bench/records.jsonl"];
  const answered = await run([
    "scroll",
    "run",
    model,
    ...data,
    "--max-model-len",
    "900",
    "--truncate",
    "middle",
    "--max-tokens",
    "40",
    "--out",
    "answers",
    "--json",
  ]);
  assert.equal(answered.code, 0, answered.stderr);
  assert.equal((JSON.parse(answered.stdout) as { records: number }).records, left);
  const graded = await run(["scroll", "judge", "answers", ...data, "--json"]);
  assert.equal(graded.code, 0, graded.stderr);
  assert.equal((JSON.parse(graded.stdout) as { overall: { items: number } }).overall.items, left);
  assert.match(fs.readFileSync(path.join(folder, "answers", "scores.html"), "utf8"), /Penguin Scrolls/);
});
