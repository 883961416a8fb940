/**
 * The recorded runs of docs/recipe.md: `node scripts/recipe/run.ts [NAME …] [--threads 1]` in the folder that shall hold them; all of
 * them, or those that are named, so that two processes can share the work. What is there is not made again, and what was stopped goes
 * on; results are in recipe.jsonl, a line a run. At the end stand the report's three releases. `page.ts` writes the page from them.
 */
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { retrievalSchema, writeRetrievalTexts } from "../../src/cli/commands/tasks-retrieval.ts";
import { checkReleases, makeFp8Release } from "../../src/cli/releases.ts";
import { readJsonLines } from "../json-lines.ts";
import { writeOwnPairs } from "./own-pairs.ts";
import { lookBack, ownPairs, type RecipeRun, recipeRuns, released } from "./plan.ts";
import { type Answers, type RecipeRecord, readAnswers } from "./records.ts";

const rookery = path.join(import.meta.dirname, "../../bin/rookery.js");
const { positionals: named, values } = parseArgs({
  options: { threads: { type: "string" } },
  allowPositionals: true,
});
const more = values.threads === undefined ? [] : ["--threads", values.threads];
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

const modelOf = (name: string) => path.join("runs", name, "model");

/** Answers of a model to the questions of a file, by id: 1 for a right one. They are kept in the folder of its run. */
function score(model: string, shots: number, which: string): Answers {
  const out = path.join(path.dirname(model), `${path.basename(model).replace("model", which)}.answers.jsonl`);
  const shown = shots > 0 ? ["--shots", String(shots), "--shots-from", "tasks/train.jsonl"] : [];
  if (!fs.existsSync(out)) {
    run(["tasks", "score", model, "--data", `tasks/${which}.jsonl`, "--out", out, ...shown, ...more]);
  }
  return readAnswers(out);
}

const scoresOf = (model: string, examples: number) => ({
  test: score(model, examples, "test"),
  unseen: score(model, examples, "unseen"),
});

function write(record: RecipeRecord): void {
  fs.appendFileSync(resultsFile, `${JSON.stringify(record)}\n`);
}

function measurementsOf(name: string): RecipeRecord["measurements"] {
  const lines = readJsonLines<RecipeRecord["measurements"][number] & { kind: string }>(
    path.join("runs", name, "metrics.jsonl"),
  );
  return lines.filter(({ kind }) => kind === "stage-evaluation" || kind === "evaluation");
}

if (!fs.existsSync("tasks/test.jsonl"))
  run(["tasks", "generate", "tasks", "--count", "300000", "--test-count", "2600"]);
for (const [which, settings] of Object.entries(lookBack)) {
  const out = `tasks/${which}.jsonl`;
  if (!fs.existsSync(out)) await writeRetrievalTexts(retrievalSchema.parse({ ...settings, out }), {});
}
const done = fs.existsSync(resultsFile) ? readJsonLines<RecipeRecord>(resultsFile).map(({ name }) => name) : [];
for (const one of recipeRuns) {
  if (done.includes(one.name) || (named.length > 0 && !named.includes(one.name))) continue;
  if (one.args.some((word) => Object.values(ownPairs).includes(word)) && !fs.existsSync(ownPairs.balanced)) {
    writeOwnPairs("tasks/preferences.jsonl", ownPairs, (questions, answers) =>
      run(["tasks", "score", "tuned-1", "--data", questions, "--out", answers, ...more]),
    );
  }
  make(one);
  const { name, examples } = one;
  const scores = examples === null ? {} : scoresOf(modelOf(name), examples);
  write({ format: "rookery-recipe/1", name, measurements: measurementsOf(name), ...scores });
}

const { instructFp8 } = released;
if (!done.includes(instructFp8) && (named.length === 0 || named.includes(instructFp8))) {
  const threads = values.threads === undefined ? undefined : Number(values.threads);
  const { folder } = await makeFp8Release(released.instruct, { runsFolder: "runs", threads }, {});
  const releases = checkReleases({
    pretrained: modelOf(released.pretrained),
    instruct: modelOf(released.instruct),
    instructFp8: folder,
  });
  write({ format: "rookery-recipe/1", name: instructFp8, measurements: [], ...scoresOf(folder, 0) });
  process.stdout.write(`the three releases, each with its card:\n${Object.values(releases).join("\n")}\n`);
}
