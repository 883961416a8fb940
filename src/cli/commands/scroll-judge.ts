import fs from "node:fs";
import path from "node:path";
import { z } from "zod";
import type { CommandContext } from "../../base/events.ts";
import { makeFolder, writeFileAtomic, writeJsonLines } from "../../base/files.ts";
import { rookeryVersion } from "../../base/version.ts";
import { EndpointClient } from "../../endpoint/client.ts";
import { Endpoint } from "../../endpoint/endpoint.ts";
import { agreementOf } from "../../eval/scroll/agreement.ts";
import { humanScores, writeHumanSample } from "../../eval/scroll/human.ts";
import { type Judge, type JudgedScore, judgeResponses } from "../../eval/scroll/judge.ts";
import { readScrollFiles } from "../../eval/scroll/read.ts";
import { readResponses } from "../../eval/scroll/read-responses.ts";
import type { ScrollRecord } from "../../eval/scroll/record.ts";
import { rubricVersion } from "../../eval/scroll/rubric.ts";
import { reportScores } from "../../eval/scroll/scores.ts";
import { type Jobs, openJobs } from "../../jobs/jobs.ts";
import { type ScrollExample, type ScrollPage, scrollPage } from "../../report/scroll-page.ts";
import { type CommandIo, defineCommand } from "../command.ts";
import { alignColumns } from "../text.ts";

const schema = z.strictObject({
  responses: z
    .string()
    .min(1)
    .describe("the folder of a `scroll run`, or a file of responses as PenguinScrolls writes them")
    .meta({ valueName: "RESPONSES" }),
  data: z.array(z.string().min(1)).min(1).describe("the records that were answered").meta({ valueName: "PATH" }),
  limit: z.int().min(1).optional().describe("only this many records, the first ones"),
  judge: z
    .string()
    .min(1)
    .optional()
    .describe(
      "the address of the judge; without one only answers with a check of their own are graded (key: ROOKERY_API_KEY)",
    )
    .meta({ valueName: "URL" }),
  judgeModel: z
    .string()
    .min(1)
    .optional()
    .describe("which model of the judge; by default its first")
    .meta({ valueName: "NAME" }),
  secondJudge: z
    .string()
    .min(1)
    .optional()
    .describe("the address of another judge, whose agreement is told")
    .meta({ valueName: "URL" }),
  secondJudgeModel: z
    .string()
    .min(1)
    .optional()
    .describe("which model of the second judge")
    .meta({ valueName: "NAME" }),
  repeats: z
    .int()
    .min(1)
    .max(10)
    .default(1)
    .describe("gradings by the judge; the first counts, the others tell how far it agrees with itself"),
  temperature: z.number().min(0).max(2).default(0).describe("the judge's; above 0 its repeats can differ"),
  sample: z.int().min(0).max(10_000).default(0).describe("verdicts to lay before a person, with `rookery review`"),
  seed: z.int().min(0).default(1).describe("of that sample"),
  concurrency: z.int().min(1).max(256).default(8).describe("answers that are judged at once"),
  out: z
    .string()
    .min(1)
    .optional()
    .describe("the folder for the scores; by default beside the responses")
    .meta({ valueName: "FOLDER" }),
});

type JudgeResult = ScrollPage & { scores: string; page: string; humanSample: string | null };

export const command = defineCommand({
  schema,
  positionals: ["responses"],
  examples: [
    {
      line: "rookery scroll judge evals/scroll-my-run --data PenguinScrolls/test --judge https://host/v1 --judge-model big",
      purpose: "scores by task, subtask, length and language",
    },
    {
      line: "rookery scroll judge evals/scroll-my-run --data bench.jsonl --judge http://127.0.0.1:8080 --repeats 2 --sample 50",
      purpose: "and how far the judge agrees with itself and with a person",
    },
  ],
  run: scrollJudge,
  describe: ({ overall, categories, lengths, languages, nulls, agreements, page, humanSample }) => [
    ...alignColumns([
      ["", "items", "scored", "mean", "nulls as 0"],
      ...[overall, ...categories, ...lengths, ...languages].map((one) => [
        ...[one.name, String(one.items), String(one.scored)],
        ...[one.mean, one.meanNullsAsZero].map((mean) => (mean === null ? "–" : mean.toFixed(2))),
      ]),
    ]),
    ...Object.entries(nulls).map(([reason, count]) => `${count} without a score: ${reason}`),
    ...agreements.map(
      ({ name, agreement: { count, sameSide, kappa } }) =>
        `${name}: ${count} answers, ${sameSide === null ? "–" : `${(100 * sameSide).toFixed(1)}%`} alike, kappa ${kappa === null ? "–" : kappa.toFixed(2)}`,
    ),
    ...(humanSample === null ? [] : [`for a person: rookery review ${humanSample}`]),
    page,
  ],
});

export async function scrollJudge(
  options: z.output<typeof schema>,
  context: CommandContext,
  { environment }: Pick<CommandIo, "environment">,
): Promise<JudgeResult> {
  const { repeats, sample, seed, concurrency } = options;
  const isFolder = fs.existsSync(options.responses) && fs.statSync(options.responses).isDirectory();
  const file = isFolder ? path.join(options.responses, "responses.jsonl") : options.responses;
  const folder = options.out ?? path.dirname(file);
  const responses = await readResponses(file, context);
  const records = (await readScrollFiles(options.data, context)).records.slice(0, options.limit);
  const needJudge = records.filter(({ key, check }) => check === null && responses.has(key)).length;
  if (needJudge > 0 && options.judge === undefined) {
    const message = `${needJudge} answers have no check of their own and get no score: give a judge with --judge URL`;
    context.onEvent?.({ type: "warning", message });
  }
  makeFolder(folder);
  using jobs = openJobs(path.join(folder, "verdicts.sqlite"), folder);
  const chosen = { url: options.judge, model: options.judgeModel, cacheName: rubricVersion };
  const judge = await openJudge(chosen, options, jobs, context, environment);
  const gradings: JudgedScore[][] = [];
  for (let repeat = 0; repeat < (judge ? repeats : 1); repeat++) {
    gradings.push(await judgeResponses(records, responses, judge, { repeat, concurrency }, context));
  }
  const [scores] = gradings as [JudgedScore[]];
  const judged = (all: JudgedScore[]) => all.filter((_, at) => records[at]!.check === null);
  const agreements = gradings.slice(1).map((again, at) => ({
    name: `the judge and its grading ${at + 2}`,
    agreement: agreementOf(judged(scores), judged(again)),
  }));
  if (options.secondJudge !== undefined) {
    const cacheName = `${rubricVersion} of the second judge`;
    const second = await openJudge(
      { url: options.secondJudge, model: options.secondJudgeModel, cacheName },
      options,
      jobs,
      context,
      environment,
    );
    const others = await judgeResponses(records, responses, second, { repeat: 0, concurrency }, context);
    agreements.push({ name: `the judge and ${second!.name}`, agreement: agreementOf(judged(scores), judged(others)) });
  }
  const items = records.map((record, at) => ({ record, score: scores[at]!, response: responses.get(record.key) }));
  const sampleFile = path.join(folder, "human-sample.jsonl");
  const hasSample = sample > 0 && writeHumanSample(sampleFile, items, { count: sample, seed });
  const humanSample = hasSample ? sampleFile : null;
  if (humanSample !== null) {
    const theirs = humanScores(humanSample);
    if (theirs.length > 0) agreements.push({ name: "the judge and a person", agreement: agreementOf(scores, theirs) });
  }
  const page: ScrollPage = {
    ...reportScores(items),
    ...{ responses: file, judge: judge?.name ?? null, rubricVersion, agreements, examples: worstOf(items) },
  };
  const [scoresFile, pageFile] = [path.join(folder, "scores.jsonl"), path.join(folder, "scores.html")];
  writeJsonLines(scoresFile, items, scoreRow);
  writeFileAtomic(pageFile, scrollPage(page, rookeryVersion));
  return { ...page, scores: scoresFile, page: pageFile, humanSample };
}

type Response = { response: string | null; error: string | null; truncated: boolean };
type Item = { record: ScrollRecord; score: JudgedScore; response: Response | undefined };

const mostExamples = 40;

/** Answers that earned half of the score at most, the worst first. */
function worstOf(items: readonly Item[]): ScrollExample[] {
  return items
    .flatMap(({ record, score: { score, analysis }, response }) =>
      score === null || score > 0.5
        ? []
        : [
            {
              ...{ task: `${record.task} / ${record.subtask}`, question: record.question, reference: record.answer },
              ...{ answer: response?.response ?? "", score, analysis: analysis ?? "" },
            },
          ],
    )
    .sort((a, b) => a.score - b.score)
    .slice(0, mostExamples);
}

/** PenguinScrolls' columns, and why there is no score. */
function scoreRow({ record, score, response }: Item) {
  return {
    ...{ input_md5: record.key, response: response?.response ?? null, result: score.analysis, score: score.score },
    ...{ error: response?.error ?? null, truncated: response?.truncated ?? false, reason: score.reason },
  };
}
async function openJudge(
  { url, model, cacheName }: { url: string | undefined; model: string | undefined; cacheName: string },
  { temperature, concurrency }: { temperature: number; concurrency: number },
  jobs: Jobs,
  { signal }: CommandContext,
  environment: CommandIo["environment"],
): Promise<Judge | undefined> {
  if (url === undefined) return undefined;
  const endpoint = new Endpoint({ url, apiKey: environment.ROOKERY_API_KEY });
  const name = await endpoint.modelOrFirst(model, "name one with --judge-model", signal);
  // the address is no part of what an answer is kept under: a judge that moved is the same
  const client = new EndpointClient(endpoint, { identity: cacheName, concurrency, store: jobs });
  return { name, model: name, client, temperature };
}
