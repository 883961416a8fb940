/**
 * What synthetic data gains. SFT with natural records alone, with unfiltered and with filtered synthetic ones beside them; and
 * pretraining with 0 and with 21% synthetic tokens, at equal tokens. Three seeds each, and the same number of updates.
 *
 *     node scripts/synthetic-gain/gain.ts BASE FOLDER
 *
 * BASE is a pretrained model. What is done stands in FOLDER/results.jsonl and is not done again.
 * "Natural" records are tasks of the checkable families with their right answers, few of them; the teacher is one of known faults.
 */
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { starterParts } from "../../src/data/starter.ts";
import { synthOptionsSchema } from "../../src/synth/options.ts";
import { reportSynthesis } from "../../src/synth/report.ts";
import { readRecords } from "../../src/synth/run-files.ts";
import { synthesize } from "../../src/synth/synthesize.ts";
import { makeTasks, taskFamilies } from "../../src/tasks/generate.ts";
import { taskConversation, taskText } from "../../src/tasks/records.ts";
import type { Task } from "../../src/tasks/task.ts";
import { faultyTeacher } from "./teacher.ts";

const [base, folder] = process.argv.slice(2) as [string, string];
const seeds = [1, 2, 3];
const counts = { natural: 1500, synthetic: 6000, test: 1040 };
const sftSteps = 150;
const pretrainingSteps = 200;
const syntheticShare = 0.214;
const settings = { needleCharacters: 200 };

const inFolder = (name: string): string => path.join(folder, name);
fs.mkdirSync(folder, { recursive: true });

const resultsFile = inFolder("results.jsonl");
type Row = { part: string; arm: string; seed: number } & Record<string, unknown>;
const done = (): Row[] =>
  fs.existsSync(resultsFile)
    ? fs
        .readFileSync(resultsFile, "utf8")
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line) as Row)
    : [];

/** Does what has no row yet. */
function once(row: Row, work: () => Record<string, unknown>): void {
  const isDone = done().some((one) => one.part === row.part && one.arm === row.arm && one.seed === row.seed);
  if (isDone) return;
  const line = JSON.stringify({ ...row, ...work() });
  fs.appendFileSync(resultsFile, `${line}\n`);
  process.stdout.write(`${line}\n`);
}

function rookery(...words: (string | number)[]): Record<string, unknown> {
  const program = path.join(import.meta.dirname, "../../bin/rookery.js");
  const command = [program, ...words.map(String), "--json"];
  const told = execFileSync(process.execPath, command, {
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

function writeLines(name: string, records: Iterable<object>): string {
  const file = inFolder(name);
  fs.writeFileSync(file, [...records].map((record) => `${JSON.stringify(record)}\n`).join(""));
  return file;
}

const trained = taskFamilies().filter(({ isUnseen }) => !isUnseen);
const unseen = taskFamilies().filter(({ isUnseen }) => isUnseen);
const tasksOf = (families: typeof trained, split: "train" | "test", count: number, seed: number): Task[] => [
  ...makeTasks({ families, languages: ["en", "zh"], split, count, seed, settings }),
];

type Scored = { exactMatch: number; macroExactMatch: number };
function score(model: string, file: string, ...more: (string | number)[]): Scored {
  const { exactMatch, macroExactMatch } = rookery(
    "tasks",
    "score",
    model,
    "--data",
    file,
    "--threads",
    1,
    "--runs-folder",
    inFolder("runs"),
    ...more,
  ) as Scored;
  return { exactMatch, macroExactMatch };
}

async function syntheticRecords(): Promise<{ unfiltered: string; filtered: string }> {
  // the tasks of the run, which its seed fixes
  const seed = 1;
  const tasks = tasksOf(trained, "train", counts.synthetic, seed);
  const name = "synthetic";
  const options = synthOptionsSchema.parse({
    ...{ name, runsFolder: inFolder("runs"), records: 0, seed },
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
  const result = await synthesize(options, { fetch: faultyTeacher(tasks) });
  const { bias, ...report } = await reportSynthesis(readRecords(result.recordsFile), {
    name,
    seed,
    spent: result.spent,
    targets: result.targets,
  });
  const { kept, answerable, samples, wrongSamples } = bias;
  once({ part: "synthesis", arm: "filtered", seed }, () => ({
    records: report.records,
    kept,
    answerable,
    samples,
    wrongSamples,
  }));
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

function measureSft({ unfiltered, filtered }: { unfiltered: string; filtered: string }): void {
  const natural = writeLines("natural.jsonl", tasksOf(trained, "train", counts.natural, 77).map(taskConversation));
  const instances = writeLines("test.jsonl", tasksOf(trained, "test", counts.test, 5).map(taskConversation));
  const families = writeLines("unseen.jsonl", tasksOf(unseen, "test", counts.test / 4, 5).map(taskConversation));
  const arms = { natural: [natural], unfiltered: [natural, unfiltered], filtered: [natural, filtered] };
  for (const seed of seeds) {
    for (const [arm, files] of Object.entries(arms)) {
      once({ part: "sft", arm, seed }, () => {
        const name = `sft-${arm}-${seed}`;
        train(
          "sft",
          name,
          ...[base, ...files.flatMap((file) => ["--data", file]), "--steps", sftSteps, "--epochs", 100, "--seed", seed],
          ...["--learning-rate", 0.003, "--final-learning-rate", 0.0003, "--batch-tokens", 4096, "--threads", 1],
        );
        return { instances: score(name, instances), families: score(name, families) };
      });
    }
  }
}

function measurePretraining(filtered: string): void {
  const documents = starterParts().flatMap((part) => part.files.flatMap((file) => [...part.read(file)]));
  const isHeldOut = (_: unknown, index: number) => index % 50 === 0;
  const natural = writeLines(
    "texts.jsonl",
    documents.filter((one, index) => !isHeldOut(one, index)).map(({ text }) => ({ text })),
  );
  const heldOut = writeLines(
    "held-out.jsonl",
    documents
      .filter(isHeldOut)
      .slice(0, 60)
      .map(({ text }) => ({ text })),
  );
  const pairs = fs
    .readFileSync(filtered, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => {
      const [question, answer] = (JSON.parse(line) as { messages: { content: string }[] }).messages;
      return taskText({ question: question!.content, answer: answer!.content });
    });
  const synthetic = writeLines(
    "synthetic-texts.jsonl",
    pairs.flatMap((_, at) => (at % 8 === 0 ? [{ text: pairs.slice(at, at + 8).join("\n\n") }] : [])),
  );
  const sources = {
    "0%": [{ path: natural }],
    "21%": [
      { path: natural, weight: 1 - syntheticShare },
      { path: synthetic, weight: syntheticShare },
    ],
  };
  for (const seed of seeds) {
    for (const [arm, data] of Object.entries(sources)) {
      once({ part: "pretraining", arm, seed }, () => {
        const name = `base-${Number.parseInt(arm, 10)}-${seed}`;
        const config = inFolder(`${name}.json`);
        fs.writeFileSync(
          config,
          JSON.stringify({ data, steps: pretrainingSteps, batchTokens: 4096, sequenceLength: 512, seed, threads: 1 }),
        );
        train("train", name, "--config", config, "--preset", "nano", "--tokenizer", base);
        const shown = ["--examples", 4, "--examples-from", inFolder("natural.jsonl")];
        const texts = rookery(
          "eval",
          "run",
          name,
          "--texts",
          `natural=${heldOut}`,
          "--threads",
          1,
          "--name",
          name,
          "--results-folder",
          inFolder("evals"),
          "--runs-folder",
          inFolder("runs"),
        );
        return { instances: score(name, inFolder("test.jsonl"), ...shown), texts: texts.texts };
      });
    }
  }
}

const sets = await syntheticRecords();
measureSft(sets);
measurePretraining(sets.filtered);
