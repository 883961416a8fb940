/**
 * What synthetic data gains. SFT with natural records alone, with unfiltered and with filtered synthetic ones beside them, and with
 * answers that are all right; and pretraining with 0 and with 21% synthetic tokens, at equal tokens. As many updates in each.
 *
 *     node scripts/synthetic-gain/gain.ts BASE FOLDER [SEEDS]
 *
 * BASE is a pretrained model. What is done stands in FOLDER/results.jsonl and is not done again; page.ts writes it up.
 * "Natural" records are tasks of the checkable families with their right answers, few of them; the teacher is one of known faults.
 */
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { writeJsonLines } from "../../src/base/files.ts";
import { starterParts } from "../../src/data/starter.ts";
import { synthOptionsSchema } from "../../src/synth/options.ts";
import { reportSynthesis } from "../../src/synth/report.ts";
import { readRecords } from "../../src/synth/run-files.ts";
import { synthesize } from "../../src/synth/synthesize.ts";
import { makeTasks, taskFamilies } from "../../src/tasks/generate.ts";
import { taskConversation, taskDocument } from "../../src/tasks/records.ts";
import type { Task } from "../../src/tasks/task.ts";
import { readJsonLines } from "../json-lines.ts";
import { type Answers, readAnswers } from "../recipe/records.ts";
import { addResult, type GainRow, readResults } from "./results.ts";
import { faultyTeacher } from "./teacher.ts";

const [base, folder, seedCount = "3"] = process.argv.slice(2) as [string, string, string?];
const seeds = Array.from({ length: Number(seedCount) }, (_, index) => index + 1);
const counts = { natural: 1500, synthetic: 6000, test: 1040 };
const sftSteps = 400;
const pretrainingSteps = 400;
const batchTokens = 2048;
/** The share of the report. */
const syntheticShare = 0.214;
const questionsOfText = 5;
const settings = { needleCharacters: 200 };

const inFolder = (name: string): string => path.join(folder, name);
fs.mkdirSync(folder, { recursive: true });

const isDone = (part: GainRow["part"], arm: string, seed: number): boolean =>
  readResults(folder).some((row) => row.part === part && row.arm === arm && row.seed === seed);

function rookery(...words: (string | number)[]): Record<string, unknown> {
  const program = path.join(import.meta.dirname, "../../bin/rookery.js");
  const told = execFileSync(process.execPath, [program, ...words.map(String), "--json"], {
    encoding: "utf8",
    maxBuffer: 2 ** 28,
    stdio: ["ignore", "pipe", "inherit"],
  });
  return JSON.parse(told);
}

/** Begins a run, or goes on with it. */
function train(command: string, name: string, ...options: (string | number)[]): void {
  const place = ["--name", name, "--runs-folder", inFolder("runs")];
  if (fs.existsSync(inFolder(`runs/${name}/model/config.json`))) return;
  const isBegun = fs.existsSync(inFolder(`runs/${name}/config.json`));
  rookery(command, ...(isBegun ? ["--resume"] : options), ...place);
}

/** What a run weighs is of no use once it is scored: what is kept is a line of results. */
function record(name: string, row: GainRow): void {
  addResult(folder, row);
  for (const part of ["checkpoints", "model"]) {
    fs.rmSync(inFolder(`runs/${name}/${part}`), { recursive: true, force: true });
  }
}

function writeLines(name: string, records: readonly object[]): string {
  const file = inFolder(name);
  writeJsonLines(file, records);
  return file;
}

const trained = taskFamilies().filter(({ isUnseen }) => !isUnseen);
const unseen = taskFamilies().filter(({ isUnseen }) => isUnseen);
const tasksOf = (families: typeof trained, split: "train" | "test", count: number, seed: number): Task[] => [
  ...makeTasks({ families, languages: ["en", "zh"], split, count, seed, settings }),
];

const syntheticSeed = 1;
/** The tasks of the run of synthesis, which its seed fixes. */
const syntheticTasks = tasksOf(trained, "train", counts.synthetic, syntheticSeed);
const testTasks = tasksOf(trained, "test", counts.test, 5);
const files = {
  natural: writeLines("natural.jsonl", tasksOf(trained, "train", counts.natural, 77).map(taskConversation)),
  right: writeLines("right.jsonl", syntheticTasks.map(taskConversation)),
  test: writeLines("test.jsonl", testTasks.map(taskConversation)),
  unseen: writeLines("unseen.jsonl", tasksOf(unseen, "test", counts.test / 4, 5).map(taskConversation)),
};

function score(name: string, questions: "test" | "unseen", ...more: (string | number)[]): Answers {
  const out = inFolder(`runs/${name}/${questions}.answers.jsonl`);
  const place = ["--threads", 1, "--runs-folder", inFolder("runs")];
  rookery("tasks", "score", name, "--data", files[questions], "--out", out, ...place, ...more);
  return readAnswers(out);
}

/** The same tasks, answered by the teacher: its first answer to each, and what the filters keep. */
async function synthetic(): Promise<{ unfiltered: string; filtered: string }> {
  const name = "synthetic";
  const options = synthOptionsSchema.parse({
    ...{ name, runsFolder: inFolder("runs"), records: 0, seed: syntheticSeed },
    resume: fs.existsSync(inFolder(`runs/${name}/config.json`)),
    tasks: {
      records: counts.synthetic,
      answeredBy: "models",
      families: trained.map((family) => family.name),
      needleCharacters: settings.needleCharacters,
    },
    endpoints: { teacher: { url: "http://teacher", concurrency: 32 } },
    roles: { answerers: [{ endpoint: "teacher" }], critic: "teacher" },
    answer: { samples: 5, isExpert: false },
  });
  const result = await synthesize(options, { fetch: faultyTeacher(syntheticTasks) });
  const { spent, targets } = result;
  const { bias, records } = await reportSynthesis(readRecords(result.recordsFile), {
    ...{ name, seed: syntheticSeed, instructions: null, spent, targets },
  });
  const { kept, answerable, samples, wrongSamples } = bias;
  if (!isDone("synthesis", "filtered", syntheticSeed)) {
    const row = { part: "synthesis", arm: "filtered", seed: syntheticSeed } as const;
    addResult(folder, { ...row, records, kept, answerable, samples, wrongSamples });
  }
  const unfiltered: object[] = [];
  for await (const { instruction, answers } of readRecords(result.recordsFile)) {
    const messages = [
      { role: "user", content: instruction },
      { role: "assistant", content: answers[0]!.text },
    ];
    unfiltered.push({ messages });
  }
  return { unfiltered: writeLines("unfiltered.jsonl", unfiltered), filtered: result.dataFile };
}

function measureSft(seed: number, { unfiltered, filtered }: { unfiltered: string; filtered: string }): void {
  const { natural, right } = files;
  const arms = {
    natural: [natural],
    unfiltered: [natural, unfiltered],
    filtered: [natural, filtered],
    right: [natural, right],
  };
  for (const [arm, data] of Object.entries(arms)) {
    if (isDone("sft", arm, seed)) continue;
    const name = `sft-${arm}-${seed}`;
    train(
      "sft",
      name,
      ...[base, ...data.flatMap((file) => ["--data", file])],
      ...["--steps", sftSteps, "--epochs", 100, "--seed", seed, "--batch-tokens", batchTokens, "--threads", 1],
      ...["--learning-rate", 0.002, "--final-learning-rate", 0.0002],
      ...["--attention-dropout", 0, "--hidden-dropout", 0],
    );
    record(name, { part: "sft", arm, seed, test: score(name, "test"), unseen: score(name, "unseen") });
  }
}

/** Several questions with their answers make a text. */
function textsOf(pairs: readonly { question: string; answer: string }[]): { text: string }[] {
  return pairs.flatMap((_, at) =>
    at % questionsOfText === 0 ? [taskDocument(pairs.slice(at, at + questionsOfText))] : [],
  );
}

type PretrainingFiles = Record<"natural" | "synthetic" | "heldOutNatural" | "heldOutTasks", string>;

function pretrainingFiles(filtered: string): PretrainingFiles {
  const documents = starterParts().flatMap((part) => part.files.flatMap((file) => [...part.read(file)]));
  const isHeldOut = (index: number) => index % 50 === 0;
  const texts = documents.map(({ text }) => ({ text }));
  const pairs = readJsonLines<{ messages: { content: string }[] }>(filtered).map(
    ({ messages: [question, answer] }) => ({
      question: question!.content,
      answer: answer!.content,
    }),
  );
  return {
    natural: writeLines(
      "texts.jsonl",
      texts.filter((_, index) => !isHeldOut(index)),
    ),
    synthetic: writeLines("synthetic-texts.jsonl", textsOf(pairs)),
    heldOutNatural: writeLines("held-out.jsonl", texts.filter((_, index) => isHeldOut(index)).slice(0, 60)),
    heldOutTasks: writeLines("held-out-tasks.jsonl", textsOf(testTasks)),
  };
}

function measurePretraining(seed: number, texts: PretrainingFiles): void {
  const arms = { "0%": 0, "21%": syntheticShare };
  for (const [arm, share] of Object.entries(arms)) {
    if (isDone("pretraining", arm, seed)) continue;
    const { natural, synthetic: made, heldOutNatural, heldOutTasks } = texts;
    const data = [{ path: natural, weight: 1 - share }, ...(share > 0 ? [{ path: made, weight: share }] : [])];
    const name = `base-${Number.parseInt(arm, 10)}-${seed}`;
    const config = inFolder(`${name}.json`);
    const sizes = { steps: pretrainingSteps, batchTokens, sequenceLength: 256, learningRate: 0.003, seed, threads: 1 };
    // lists of questions repeat their words
    fs.writeFileSync(config, JSON.stringify({ data, filters: { maxRepeatedShare: 1 }, ...sizes }));
    train("train", name, "--config", config, "--preset", "nano", "--tokenizer", base);
    const { texts: measured } = rookery(
      ...["eval", "run", name, "--texts", `natural=${heldOutNatural}`, "--texts", `tasks=${heldOutTasks}`],
      ...["--threads", 1, "--name", name, "--results-folder", inFolder("evals"), "--runs-folder", inFolder("runs")],
    ) as { texts: { domain: string; bitsPerByte: number }[] };
    record(name, {
      ...{ part: "pretraining", arm, seed },
      test: score(name, "test", "--shots", 4, "--shots-from", files.natural),
      bitsPerByte: Object.fromEntries(measured.map(({ domain, bitsPerByte }) => [domain, bitsPerByte])),
    });
  }
}

const sets = await synthetic();
for (const seed of seeds) measureSft(seed, sets);
const texts = pretrainingFiles(sets.filtered);
for (const seed of seeds) measurePretraining(seed, texts);
