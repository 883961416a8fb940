import { availableParallelism } from "node:os";
import { z } from "zod";
import { type ExamAnswer, encodeQuestions, encodeWithExamples, readQuestions, takeExam } from "../../align/exam.ts";
import { Sampler } from "../../align/sampler.ts";
import { RookeryError } from "../../base/errors.ts";
import type { CommandContext } from "../../base/events.ts";
import { refuseUnwritable, writeJsonLines } from "../../base/files.ts";
import { loadModel } from "../../interop/load.ts";
import { reportTasks, type TaskReport } from "../../tasks/score.ts";
import { Execution } from "../../tensor/execution.ts";
import { defineCommand } from "../command.ts";
import { folderOfModel, runsFolderOption } from "../model.ts";
import { alignColumns } from "../text.ts";

export const taskScoreSchema = z.strictObject({
  model: z.string().min(1).describe("the name of a run, or a model directory").meta({ valueName: "MODEL" }),
  data: z
    .array(z.string().min(1))
    .min(1)
    .describe("files of questions: conversations whose last turn is the one right answer")
    .meta({ valueName: "PATH" }),
  limit: z.int().min(1).max(10_000_000).optional().describe("at most this many questions, the first ones"),
  shots: z
    .int()
    .min(0)
    .max(64)
    .default(0)
    .describe("worked examples before each question, in plain text, as a pretrained model is asked; 0 asks in a chat"),
  shotsFrom: z.array(z.string().min(1)).default([]).describe("files that those come from").meta({ valueName: "PATH" }),
  maxTokens: z.int().min(1).max(65_536).default(48).describe("most tokens of an answer"),
  out: z.string().min(1).optional().describe("write every answer to this .jsonl file").meta({ valueName: "FILE" }),
  threads: z.int().min(1).max(256).optional().describe("threads of the kernels; results do not depend on it"),
  runsFolder: runsFolderOption,
});

type TaskScore = TaskReport & { model: string; shots: number };

export const command = defineCommand({
  schema: taskScoreSchema,
  positionals: ["model"],
  examples: [
    { line: "rookery tasks score tuned --data tasks/test.jsonl", purpose: "exact match by family" },
    {
      line: "rookery tasks score base --data tasks/test.jsonl --shots 4 --shots-from tasks/train.jsonl",
      purpose: "a pretrained model, which has to be shown how",
    },
  ],
  run: scoreTasks,
  describe: ({ count, macroExactMatch, exactMatch, families }) => [
    ...alignColumns([
      ["family", "right", "of", "share"],
      ...families.map(({ family, count, right, exactMatch }) => [
        family,
        String(right),
        String(count),
        percent(exactMatch),
      ]),
    ]),
    `${count} questions: ${percent(exactMatch)} right; mean of the families ${percent(macroExactMatch)}`,
  ],
});

const percent = (share: number) => `${(100 * share).toFixed(1)}%`;

export async function scoreTasks(
  options: z.output<typeof taskScoreSchema>,
  context: CommandContext,
): Promise<TaskScore> {
  const { model: name, data, limit, shots, shotsFrom, maxTokens, out, runsFolder } = options;
  if (shots > 0 && shotsFrom.length === 0) {
    throw new RookeryError("INVALID_OPTION", `--shots ${shots} need files to come from`, "name them with --shots-from");
  }
  if (out !== undefined) refuseUnwritable([out]);
  const loaded = await loadModel(folderOfModel(name, runsFolder), context);
  using model = loaded.model;
  const { tokenizer, generation } = loaded;
  const questions = (await readQuestions(data, context)).slice(0, limit);
  const prompts =
    shots > 0
      ? await encodeWithExamples(tokenizer, questions, await readQuestions(shotsFrom, context), shots)
      : await encodeQuestions(tokenizer, questions);
  const { maxPositionEmbeddings } = model.config;
  const fits = (prompt: Int32Array) => prompt.length < maxPositionEmbeddings;
  const [asked, tooLong] = [questions.filter((_, i) => fits(prompts[i]!)), prompts.filter((one) => !fits(one)).length];
  if (tooLong > 0) {
    const message = `${tooLong} questions are longer than the model's ${maxPositionEmbeddings} positions and count as wrong`;
    context.onEvent?.({ type: "warning", message });
  }
  using execution = new Execution({ threads: options.threads ?? availableParallelism(), computeType: "bf16" });
  const longest = Math.max(...prompts.filter(fits).map(({ length }) => length), 1);
  using sampler = new Sampler(
    { execution, model, tokenizer },
    generation,
    Math.min(longest + maxTokens, maxPositionEmbeddings),
  );
  const answers: ExamAnswer[] = questions
    .filter((_, i) => !fits(prompts[i]!))
    .map(({ id, family, language, answer }) => ({ id, family, language, answer, given: "", isRight: false }));
  for (let start = 0; start < asked.length; start += questionsPerEvent) {
    const some = asked.slice(start, start + questionsPerEvent);
    const theirs = prompts.filter(fits).slice(start, start + questionsPerEvent);
    const stopStrings = shots > 0 ? ["\n"] : [];
    answers.push(
      ...takeExam(sampler, some, theirs, { maxAnswerTokens: maxTokens, stopStrings, signal: context.signal }),
    );
    const count = { done: start + some.length, total: asked.length, unit: "questions" };
    context.onEvent?.({ type: "progress", what: "answering", ...count });
    // lets Ctrl-C be heard
    await new Promise((resolve) => setImmediate(resolve));
  }
  if (out !== undefined) writeJsonLines(out, answers);
  return { model: name, shots, ...reportTasks(answers) };
}

const questionsPerEvent = 256;
