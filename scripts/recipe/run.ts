/**
 * The recorded runs of docs/recipe.md: `node scripts/recipe/run.ts [NAME …] [--threads 1]` in the folder that shall hold them; all of
 * them, or those that are named, so that two processes can share the work. What is there is not made again, and what was stopped goes
 * on; results are in recipe.jsonl, a line a run. `page.ts` writes the page from them.
 */
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { writeOwnPairs } from "./own-pairs.ts";
import { lookBack, ownPairs, type RecipeRun, recipeRuns } from "./plan.ts";
import type { RecipeRecord } from "./records.ts";

const rookery = path.join(import.meta.dirname, "../../bin/rookery.js");
const words = process.argv.slice(2);
const firstFlag = words.findIndex((word) => word.startsWith("--"));
const named = firstFlag < 0 ? words : words.slice(0, firstFlag);
const more = firstFlag < 0 ? [] : words.slice(firstFlag);
const resultsFile = "recipe.jsonl";

/** Runs a command; what it shows is shown, what it prints is answered. */
function run(words: readonly string[]): string {
  const { status, stdout } = spawnSync(process.execPath, [rookery, ...words], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
    maxBuffer: 2 ** 28,
  });
  if (status === 0) return stdout;
  throw new Error(`rookery ${words.join(" ")} ended with ${status}`);
}

function make({ name, command, args }: RecipeRun): void {
  const folder = path.join("runs", name);
  if (fs.existsSync(path.join(folder, "model", "config.json"))) return;
  const isBegun = fs.existsSync(path.join(folder, "config.json"));
  run(isBegun ? [command, "--resume", "--name", name, ...more] : [command, ...args, "--name", name, ...more]);
}

/** Answers to the questions of a file, by id: 1 for a right one. */
function score(name: string, examples: number, which: string): Record<string, 0 | 1> {
  const out = path.join("runs", name, `${which}.answers.jsonl`);
  const shown = examples > 0 ? ["--examples", String(examples), "--examples-from", "tasks/train.jsonl"] : [];
  if (!fs.existsSync(out)) {
    run(["tasks", "score", name, "--data", `tasks/${which}.jsonl`, "--out", out, ...shown, ...more]);
  }
  const lines = fs.readFileSync(out, "utf8").trim().split("\n");
  return Object.fromEntries(
    lines.map((line) => {
      const { id, isRight } = JSON.parse(line) as { id: string; isRight: boolean };
      return [id, isRight ? 1 : 0];
    }),
  );
}

function measurementsOf(name: string): RecipeRecord["measurements"] {
  const lines = fs
    .readFileSync(path.join("runs", name, "metrics.jsonl"), "utf8")
    .trim()
    .split("\n");
  return lines
    .map((line) => JSON.parse(line) as RecipeRecord["measurements"][number] & { kind: string })
    .filter(({ kind }) => kind === "stage-evaluation" || kind === "evaluation");
}

if (!fs.existsSync("tasks/test.jsonl"))
  run(["tasks", "generate", "tasks", "--count", "300000", "--test-count", "2600"]);
if (!fs.existsSync("tasks/tiny.jsonl")) run(["tasks", "retrieval", "tasks/tiny.jsonl", ...lookBack.tiny]);
if (!fs.existsSync("tasks/short.jsonl")) run(["tasks", "retrieval", "tasks/short.jsonl", ...lookBack.short]);
const done = fs.existsSync(resultsFile)
  ? fs
      .readFileSync(resultsFile, "utf8")
      .trim()
      .split("\n")
      .map((line) => (JSON.parse(line) as RecipeRecord).name)
  : [];
for (const one of recipeRuns) {
  if (done.includes(one.name) || (named.length > 0 && !named.includes(one.name))) continue;
  if (one.args.some((word) => Object.values(ownPairs).includes(word)) && !fs.existsSync(ownPairs.balanced)) {
    writeOwnPairs("tasks/preferences.jsonl", ownPairs, (questions, answers) =>
      run(["tasks", "score", "tuned-1", "--data", questions, "--out", answers, ...more]),
    );
  }
  make(one);
  const { name, examples } = one;
  const record: RecipeRecord = {
    format: "rookery-recipe/1",
    name,
    measurements: measurementsOf(name),
    ...(examples === null ? {} : { test: score(name, examples, "test"), unseen: score(name, examples, "unseen") }),
  };
  fs.appendFileSync(resultsFile, `${JSON.stringify(record)}\n`);
}
