import path from "node:path";
import { z } from "zod";
import type { CommandContext } from "../../base/events.ts";
import { makeFolder, writeFileAtomic, writeJsonLines } from "../../base/files.ts";
import { rookeryVersion } from "../../base/version.ts";
import { haystackLanguages } from "../../eval/ruler/item.ts";
import { hotpotQuestions, squadQuestions } from "../../eval/ruler/question-sets.ts";
import { type RulerRun, rulerAnswers, runRuler } from "../../eval/ruler/run.ts";
import { rulerLengths, rulerTasks } from "../../eval/ruler/tasks.ts";
import { openJobs } from "../../jobs/jobs.ts";
import { lengthText, rulerPage } from "../../report/long-context-page.ts";
import { type CommandIo, defineCommand } from "../command.ts";
import { longModelOptions, openLongModel } from "../eval-model.ts";
import { digestOfFile, identityOf, longContextOptions, modelNameOf, proseOf } from "../long-context.ts";
import { alignColumns } from "../text.ts";

const schema = z.strictObject({
  ...longModelOptions,
  tasks: z
    .array(z.enum(rulerTasks.map(({ name }) => name)))
    .min(1)
    .default(rulerTasks.map(({ name }) => name))
    .describe("which of RULER's 13 tasks")
    .meta({ valueName: "TASK" }),
  lengths: longContextOptions.lengths
    .default([...rulerLengths])
    .describe("lengths in tokens, of the prompt and the answer together"),
  languages: z
    .array(z.enum(haystackLanguages))
    .min(1)
    .default(["en"])
    .describe("languages of the texts and the questions"),
  samples: z.int().min(1).max(100_000).default(100).describe("items of each task, length and language; RULER has 500"),
  squad: z
    .string()
    .min(1)
    .optional()
    .describe("SQuAD's published file for qa_1; by default questions about people that are made up")
    .meta({ valueName: "FILE" }),
  hotpot: z
    .string()
    .min(1)
    .optional()
    .describe("HotpotQA's published file for qa_2; by default questions over two made-up passages")
    .meta({ valueName: "FILE" }),
  ...longContextOptions.common,
});

type RulerResult = RulerRun & { model: string; threshold: number; page: string; answers: string };

export const command = defineCommand({
  schema,
  positionals: ["model"],
  examples: [
    { line: "rookery eval ruler my-run --lengths 512,1024,2048 --samples 20", purpose: "a small model" },
    {
      line: "rookery eval ruler http://127.0.0.1:8080 --mode chat --samples 500 --concurrency 16",
      purpose: "a chat model behind a server, as RULER measures",
    },
  ],
  run: evalRuler,
  describe: ({ summaries, threshold, left, page, answers }) => [
    ...summaries.flatMap(({ language, rows, effectiveLength, weakerBelow }) => [
      ...alignColumns([
        [`tokens (${language})`, ...rows.map(({ length }) => lengthText(length))],
        ...Object.keys(rows[0]?.scores ?? {}).map((task) => [
          task,
          ...rows.map(({ scores }) => scores[task]?.toFixed(1) ?? "–"),
        ]),
        ["mean", ...rows.map(({ mean }) => mean.toFixed(1))],
      ]),
      `effective length (mean above ${threshold}): ${effectiveLength ?? "none"}${weakerBelow.length > 0 ? `, but not at ${weakerBelow.join(", ")}` : ""}`,
    ]),
    ...left.map(({ reason }) => `left out: ${reason}`),
    `${answers}, ${page}`,
  ],
});

export async function evalRuler(
  options: z.output<typeof schema>,
  context: CommandContext,
  { environment }: Pick<CommandIo, "environment">,
): Promise<RulerResult> {
  const { tasks, lengths, languages, samples, seed, mode, concurrency, threshold, squad, hotpot } = options;
  const name = modelNameOf(options.model);
  const folder = options.out ?? path.join("evals", `ruler-${name}`);
  const { prose, digest } = proseOf(options.haystack);
  const questions = {
    ...(squad === undefined ? {} : { single: squadQuestions(squad) }),
    ...(hotpot === undefined ? {} : { twoHop: hotpotQuestions(hotpot) }),
  };
  const model = await openLongModel(options, Math.max(...lengths), context, environment);
  try {
    makeFolder(folder);
    using jobs = openJobs(path.join(folder, "items.sqlite"), folder);
    const modelName = identityOf(options.model, model);
    const settings = { modelName, tasks, lengths, languages, samples, seed, mode, concurrency, threshold };
    const sourceDigests = { haystack: digest ?? "", squad: digestOfFile(squad), hotpot: digestOfFile(hotpot) };
    const run = await runRuler(model, settings, { jobs, sources: { prose, questions }, sourceDigests }, context);
    const [page, answers] = [path.join(folder, "report.html"), path.join(folder, "answers.jsonl")];
    writeJsonLines(answers, rulerAnswers(jobs));
    const result = { ...run, model: name, threshold };
    writeFileAtomic(page, rulerPage(result, rookeryVersion));
    return { ...result, page, answers };
  } finally {
    await model.close();
  }
}
