import { existsSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { RookeryError } from "../../base/errors.ts";
import type { CommandContext } from "../../base/events.ts";
import { writeFileAtomic } from "../../base/files.ts";
import { rookeryVersion } from "../../base/version.ts";
import { costText, daysText } from "../../report/figures.ts";
import { readRun } from "../../report/run-data.ts";
import { heldOutText, type RunReport, runPage } from "../../report/run-page.ts";
import { runPaths } from "../../train/run-directory.ts";
import { type CommandIo, defineCommand } from "../command.ts";
import { runsFolderOption } from "../model.ts";
import { alignColumns, printable, shortNumber } from "../text.ts";
import { sample, sampleSchema } from "./sample.ts";

const schema = z.strictObject({
  run: z.string().min(1).describe("the name of a training run").meta({ valueName: "RUN" }),
  runsFolder: runsFolderOption,
  write: z
    .string()
    .min(1)
    .optional()
    .describe("where the page goes; by default report.html in the folder of the run")
    .meta({ valueName: "FILE.html" }),
  samples: z.int().min(0).max(20).default(3).describe("texts that the finished model writes for the page"),
  prompt: z.string().default("").describe("the beginning of those texts").meta({ valueName: "TEXT" }),
  sampleTokens: z.int().min(1).max(4096).default(120).describe("most tokens of each"),
  pricePerHour: z
    .number()
    .positive()
    .optional()
    .describe("price of the machine for an hour, for the cost")
    .meta({ valueName: "PRICE" }),
});

type ReportResult = RunReport & { page: string };

/** Texts of a run that has a model, always the same; none where there is no compiler to run it. */
async function samplesOf(
  { samples, prompt, sampleTokens }: z.output<typeof schema>,
  model: string,
  context: CommandContext,
  io: CommandIo,
): Promise<RunReport["samples"]> {
  if (samples === 0 || !existsSync(join(model, "config.json"))) return [];
  const options = sampleSchema.parse({ model, prompt, count: samples, maxTokens: sampleTokens, seed: 1 });
  try {
    const written = await sample(options, context, { ...io, write: () => {} });
    return written.samples.map(({ text }) => ({ prompt: printable(prompt), text: printable(text) }));
  } catch (error) {
    // without a compiler, and for a reward model, which writes nothing
    if (!(error instanceof RookeryError) || !["NO_COMPILER", "UNSUPPORTED_MODEL"].includes(error.code)) throw error;
    context.onEvent?.({ type: "warning", message: `no samples: ${error.message}` });
    return [];
  }
}

export const command = defineCommand({
  schema,
  positionals: ["run"],
  examples: [
    { line: "rookery report nano-1", purpose: "the run as a page, runs/nano-1/report.html" },
    { line: "rookery report nano-1 --price-per-hour 0.1 --samples 0", purpose: "with its cost, and no samples" },
  ],
  run: async (options, context, io): Promise<ReportResult> => {
    const data = readRun(options.runsFolder, options.run);
    const paths = runPaths(options.runsFolder, options.run);
    const { pricePerHour } = options;
    const report: RunReport = {
      ...data,
      samples: await samplesOf(options, paths.model, context, io),
      cost: pricePerHour === undefined ? null : { pricePerHour, total: (data.seconds / 3600) * pricePerHour },
    };
    const page = options.write ?? join(paths.path, "report.html");
    writeFileAtomic(page, runPage(report, rookeryVersion));
    return { page, ...report };
  },
  describe: ({ page, steps, tokens, evaluations, measurements, seconds, cost }) =>
    alignColumns([
      ["page", page],
      ["trained", `${steps} steps, ${shortNumber(tokens)} tokens in ${daysText(seconds / 86_400)}`],
      ["held out", heldOutText({ evaluations, measurements })],
      ...(cost ? [["cost", costText(cost.total)]] : []),
    ]),
});
