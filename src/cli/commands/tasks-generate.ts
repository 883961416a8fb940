import path from "node:path";
import { z } from "zod";
import { makeFolder, refuseExisting, writeJsonLines } from "../../base/files.ts";
import { familiesNamed, makeDialogues, makeTasks, taskFamilies } from "../../tasks/generate.ts";
import { dialogueConversation, taskConversation, taskDocument, taskPreference } from "../../tasks/records.ts";
import { type Task, taskLanguages } from "../../tasks/task.ts";
import { defineCommand } from "../command.ts";

const count = z.int().min(0).max(10_000_000);

export const tasksSchema = z.strictObject({
  out: z.string().min(1).describe("the folder to write to").meta({ valueName: "FOLDER" }),
  count: count
    .default(10_000)
    .describe("questions to train on, and as many preference pairs; fewer where they would repeat"),
  testCount: count.default(1000).describe("tasks to measure with, of the same families and of unseen ones"),
  seed: z
    .int()
    .min(0)
    .max(2 ** 31 - 1)
    .default(1)
    .describe("another seed gives other tasks; what is for testing is never for training, whatever the seed"),
  languages: z
    .array(z.enum(taskLanguages))
    .min(1)
    .default([...taskLanguages])
    .describe("languages to ask in"),
  families: z.array(z.string()).optional().describe("only these families").meta({ valueName: "NAME" }),
  needleCharacters: z.int().min(0).max(10_000_000).default(400).describe("length of the texts that hide a needle"),
  overwrite: z.boolean().default(false).describe("replace files that are there"),
});

/** Conversations of many questions about one passage, as a share of those with one question. */
const dialogueShare = 0.2;

/** Questions of a document, all of one family and language: a model that reads many such texts learns to answer from examples. */
const questionsPerDocument = 5;

function documentsOf(tasks: readonly Task[]) {
  return [...Map.groupBy(tasks, ({ family, language }) => `${family} ${language}`).values()].flatMap((those) =>
    Array.from({ length: Math.ceil(those.length / questionsPerDocument) }, (_, i) =>
      taskDocument(those.slice(i * questionsPerDocument, (i + 1) * questionsPerDocument)),
    ),
  );
}

type Written = { folder: string; files: Record<string, number>; families: string[]; unseenFamilies: string[] };

export const command = defineCommand({
  schema: tasksSchema,
  positionals: ["out"],
  examples: [
    { line: "rookery tasks generate tasks", purpose: "ten thousand conversations, as many pairs, and tests" },
    { line: "rookery tasks generate sums --families arithmetic --languages en --count 500", purpose: "one family" },
  ],
  run: generateTasks,
  describe: ({ folder, files, families, unseenFamilies }) => [
    `${folder}: ${Object.entries(files)
      .map(([name, records]) => `${records} in ${name}`)
      .join(", ")}`,
    `families: ${families.join(", ") || "none"}`,
    `never trained on: ${unseenFamilies.join(", ") || "none"}`,
  ],
});

/** Writes the files. @throws RookeryError INVALID_OPTION, FILE_UNWRITABLE. */
export function generateTasks(options: z.output<typeof tasksSchema>): Written {
  const { out, count, testCount, seed, languages, families: names, needleCharacters, overwrite } = options;
  const all = taskFamilies();
  const chosen = names === undefined ? all : familiesNamed(all, names);
  const families = chosen.filter(({ isUnseen }) => !isUnseen);
  const unseen = chosen.filter(({ isUnseen }) => isUnseen);
  const select = (those: typeof all, split: "train" | "test", many: number, from: number): Task[] => {
    if (those.length === 0) return [];
    const tasks = makeTasks({
      families: those,
      languages,
      split,
      count: many,
      seed: from,
      settings: { needleCharacters },
    });
    // a family of few questions repeats them soon; a record that is there twice teaches and measures nothing
    return [...new Map([...tasks].map((task) => [task.question, task])).values()];
  };
  const dialogues = (from: number) => [
    ...makeDialogues({
      families,
      languages,
      count: Math.round(count * dialogueShare),
      seed: from,
      settings: { needleCharacters },
    }),
  ];
  // pairs are of other tasks than conversations, so that a reward model sees answers that SFT has not taught
  const files: Record<string, object[]> = {
    "train.jsonl": [
      ...select(families, "train", count, seed).map(taskConversation),
      ...dialogues(seed).map(dialogueConversation),
    ],
    "preferences.jsonl": select(families, "train", count, seed + 1).map((task) => taskPreference(task, seed)),
    "texts.jsonl": [
      ...documentsOf(select(families, "train", count, seed + 2)),
      ...dialogues(seed + 2).map(({ turns }) => taskDocument(turns)),
    ],
    "test.jsonl": select(families, "test", testCount, seed).map(taskConversation),
    "unseen.jsonl": select(unseen, "test", testCount, seed).map(taskConversation),
  };
  const fileOf = (name: string) => path.join(out, name);
  if (!overwrite) refuseExisting(Object.keys(files).map(fileOf));
  makeFolder(out);
  for (const [name, records] of Object.entries(files)) writeJsonLines(fileOf(name), records);
  return {
    folder: out,
    files: Object.fromEntries(Object.entries(files).map(([name, records]) => [name, records.length])),
    families: families.map(({ name }) => name),
    unseenFamilies: unseen.map(({ name }) => name),
  };
}
