import path from "node:path";
import { z } from "zod";
import type { CommandContext } from "../../base/events.ts";
import { makeFolder, writeJsonLines } from "../../base/files.ts";
import { cachedShareOf } from "../../eval/cached-share.ts";
import { readScrollFiles } from "../../eval/scroll/read.ts";
import { runScroll, scrollResponses } from "../../eval/scroll/run.ts";
import { type TruncationPolicy, truncationPolicies } from "../../eval/scroll/truncate.ts";
import { openJobs } from "../../jobs/jobs.ts";
import { type CommandIo, defineCommand } from "../command.ts";
import { longModelOptions, openLongModel } from "../eval-model.ts";
import { identityOf, modelNameOf } from "../long-context.ts";

const policies = Object.keys(truncationPolicies) as [TruncationPolicy, ...TruncationPolicy[]];

const schema = z.strictObject({
  ...longModelOptions,
  data: z
    .array(z.string().min(1))
    .min(1)
    .describe("records of PenguinScrolls, or of `scroll build`: .json, .jsonl, .parquet or .csv, files or folders")
    .meta({ valueName: "PATH" }),
  limit: z.int().min(1).optional().describe("only this many records, the first ones"),
  truncate: z
    .enum(policies)
    .default("refuse")
    .describe(
      `inputs that are too long: ${Object.entries(truncationPolicies)
        .map(([name, meaning]) => `${name}: ${meaning}`)
        .join("; ")}`,
    ),
  maxTokens: z
    .int()
    .min(1)
    .max(65_536)
    .default(1024)
    .describe("most tokens of an answer; one that is cut off has no score"),
  temperature: z
    .number()
    .min(0)
    .max(2)
    .default(0)
    .describe("how freely to answer; PenguinScrolls has 0.7, 0 is repeatable"),
  seed: z.int().min(0).default(0).describe("for temperatures above 0"),
  mode: z
    .enum(["chat", "text"])
    .default("chat")
    .describe("chat: in the chat template; text: let a pretrained model write on"),
  concurrency: z
    .int()
    .min(1)
    .max(256)
    .default(1)
    .describe("inputs under way at once; 1 lets each question find the document that the one before has read"),
  out: z
    .string()
    .min(1)
    .optional()
    .describe("the folder for the responses; what is there is gone on with")
    .meta({ valueName: "FOLDER" }),
});

type ScrollRunResult = {
  model: string;
  responses: string;
  records: number;
  skipped: number;
  answered: number;
  failed: number;
  truncated: number;
  cut: number;
  promptTokens: number;
  /** Share of the prompts' tokens that the prefix cache saved; null where the model does not tell. */
  cachedShare: number | null;
};

export const command = defineCommand({
  schema,
  positionals: ["model"],
  examples: [
    {
      line: "rookery scroll run my-run --data PenguinScrolls/test",
      purpose: "a model of one's own on the published records",
    },
    {
      line: "rookery scroll run http://127.0.0.1:8080 --data bench.jsonl --truncate middle --max-tokens 512",
      purpose: "a served model; inputs that are too long lose their middle",
    },
  ],
  run: scrollRun,
  describe: ({ records, answered, failed, truncated, cut, cachedShare, responses }) => [
    `${records} records: ${answered} answered (${truncated} cut off, ${cut} with a shortened input), ${failed} failed`,
    ...(cachedShare === null
      ? []
      : [`${(100 * cachedShare).toFixed(0)}% of the tokens read came from the prefix cache`]),
    responses,
  ],
});

export async function scrollRun(
  options: z.output<typeof schema>,
  context: CommandContext,
  { environment }: Pick<CommandIo, "environment">,
): Promise<ScrollRunResult> {
  const { data, limit, truncate: policy, maxTokens, temperature, seed, mode, concurrency } = options;
  const name = modelNameOf(options.model);
  const folder = options.out ?? path.join("evals", `scroll-${name}`);
  const { records: all, skipped } = await readScrollFiles(data, context);
  const records = all.slice(0, limit);
  const model = await openLongModel(options, undefined, context, environment);
  await using _ = { [Symbol.asyncDispose]: () => model.close() };
  makeFolder(folder);
  using jobs = openJobs(path.join(folder, "responses.sqlite"), folder);
  const settings = {
    modelName: identityOf(options.model, model),
    maxTokens,
    temperature,
    seed,
    mode,
    policy,
    concurrency,
  };
  await runScroll(model, records, settings, jobs, context);
  const responses = [...scrollResponses(records, jobs)];
  const file = path.join(folder, "responses.jsonl");
  writeJsonLines(file, responses);
  const sum = (of: (one: (typeof responses)[number]) => number) => responses.reduce((total, one) => total + of(one), 0);
  return {
    ...{ model: name, responses: file, records: records.length, skipped },
    answered: responses.filter(({ response }) => response !== null).length,
    failed: responses.filter(({ error }) => error !== null).length,
    truncated: responses.filter((one) => one.truncated).length,
    cut: responses.filter((one) => one.cut_characters > 0).length,
    promptTokens: sum((one) => one.prompt_tokens),
    cachedShare: cachedShareOf(
      responses.map((one) => ({ promptTokens: one.prompt_tokens, cachedTokens: one.cached_tokens })),
    ),
  };
}
