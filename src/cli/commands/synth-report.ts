import { existsSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { RookeryError } from "../../base/errors.ts";
import { readJsonFile, writeFileAtomic } from "../../base/files.ts";
import { rookeryVersion } from "../../base/version.ts";
import { datasetPage } from "../../report/dataset-page.ts";
import { reportSynthesis, type SynthReport } from "../../synth/report.ts";
import { readRunOptions } from "../../synth/run-config.ts";
import { readRecords, synthPaths } from "../../synth/run-files.ts";
import { defineCommand } from "../command.ts";
import { runsFolderOption } from "../model.ts";
import { alignColumns, shortNumber } from "../text.ts";

const schema = z.strictObject({
  run: z.string().min(1).describe("the name of a run of synthesis").meta({ valueName: "RUN" }),
  runsFolder: runsFolderOption,
  write: z
    .string()
    .min(1)
    .optional()
    .describe("where the page goes; by default report.html in the folder of the run")
    .meta({ valueName: "FILE.html" }),
  seed: z.int().min(0).default(1).describe("fixes which examples are shown"),
});

const count = z.number();
const instructionsSchema = z.object({
  ...{ wanted: count, withoutSeed: count, waiting: count, unanswered: count, leftOut: count },
  ...{ rejected: count, usable: count },
});
const shares = z.record(z.string(), z.number());
const summarySchema = z.object({
  format: z.literal("rookery-synth/1"),
  spent: z.object({ promptTokens: z.number(), answerTokens: z.number(), money: z.number() }),
  instructions: instructionsSchema.nullable().default(null),
  targets: z.object({ domains: shares, languages: shares }),
});

export type ReportResult = SynthReport & { page: string };

export const command = defineCommand({
  schema,
  positionals: ["run"],
  examples: [
    { line: "rookery synth report docs", purpose: "the data set as a page, runs/docs/report.html" },
    { line: "rookery synth report docs --json", purpose: "every figure of the page" },
  ],
  run: reportRun,
  describe: describeReport,
});

/**
 * Writes the page of a run that has ended.
 * @throws RookeryError MODEL_NOT_FOUND, BAD_DATA, UNKNOWN_FORMAT, FILE_UNREADABLE, FILE_DAMAGED, FILE_UNWRITABLE.
 */
export async function reportRun({ run, runsFolder, write, seed }: z.output<typeof schema>): Promise<ReportResult> {
  const paths = synthPaths(runsFolder, run);
  if (!existsSync(paths.summary)) {
    // throws for a run that is not there at all
    readRunOptions(runsFolder, run);
    const hint = `go on with it: rookery synth run --resume --name ${run}`;
    throw new RookeryError("BAD_DATA", `the run "${run}" has not written its data set yet`, hint);
  }
  const summary = summarySchema.safeParse(readJsonFile(paths.summary));
  if (!summary.success) {
    throw new RookeryError(
      "UNKNOWN_FORMAT",
      `${paths.summary} is no summary of a run of synthesis`,
      `write it anew: rookery synth run --resume --name ${run}`,
    );
  }
  const report = await reportSynthesis(readRecords(paths.records), { name: run, seed, ...summary.data });
  const page = write ?? join(paths.folder, "report.html");
  writeFileAtomic(page, datasetPage(report, rookeryVersion));
  return { page, ...report };
}

export function describeReport({ page, records, kept, rejected, waiting, spent, bias }: ReportResult): string[] {
  const { answerable, agreement } = bias;
  const share = (part: number, of: number) => (of === 0 ? "no answer is known" : `${((100 * part) / of).toFixed(2)}%`);
  return alignColumns([
    ["page", page],
    ["records", `${records}: ${kept} kept, ${rejected} rejected, ${waiting} wait for a person`],
    [
      "spent",
      `${shortNumber(spent.promptTokens + spent.answerTokens)} tokens, ${Number(spent.money.toPrecision(3))} in money`,
    ],
    ["wrong among kept", share(bias.kept.wrong, bias.kept.records)],
    ["right ones kept", share(answerable.keptRight, answerable.records)],
    ["agreed and wrong", share(agreement.wrong, agreement.agreed)],
  ]);
}
