import { readConfigFile } from "../../base/config-file.ts";
import { shortfallOf } from "../../synth/instruction-counts.ts";
import { synthOptionsSchema } from "../../synth/options.ts";
import { readRunOptions } from "../../synth/run-config.ts";
import { synthPaths } from "../../synth/run-files.ts";
import type { SynthResult } from "../../synth/summary.ts";
import { synthesize } from "../../synth/synthesize.ts";
import { defineCommand } from "../command.ts";
import { formatDuration, shortNumber } from "../text.ts";

export const command = defineCommand({
  schema: synthOptionsSchema,
  positionals: ["config"],
  examples: [
    { line: "rookery synth run synth.yaml --name docs", purpose: "seeds, endpoints and roles from a file" },
    { line: "rookery synth run --resume --name docs --budget-money 20", purpose: "go on, with a higher budget" },
    {
      line: "rookery synth run --name tasks --set tasks.records=10000",
      purpose: "tasks with known answers, without any endpoint",
    },
  ],
  preset({ config, resume, name, runsFolder = "runs" }) {
    if (typeof config === "string") return { name: config, values: readConfigFile(config, "synth run") };
    // words of the command line are text yet
    if (String(resume) !== "true" || typeof name !== "string" || typeof runsFolder !== "string") return undefined;
    // what a run was begun with lies below what is said now
    const stored = synthPaths(runsFolder, name).config;
    return { name: stored, values: { ...readRunOptions(runsFolder, name), config: stored } };
  },
  run: (options, context, { environment }) => synthesize(options, { ...context, environment }),
  describe,
});

const mostReasons = 12;

function describeInstructions({ instructions }: SynthResult): string[] {
  if (instructions === null || instructions.usable === instructions.wanted) return [];
  const { wanted, usable } = instructions;
  return [
    `${wanted - usable} of the ${wanted} instructions that were wanted from seeds are missing:`,
    ...shortfallOf(instructions).map(({ count, why }) => `  ${count} ${why}`),
  ];
}

function describe(result: SynthResult): string[] {
  const { records, kept, review, rejected, reasons, spent, seconds, failedSteps, failure, reviewFile } = result;
  const tokens = spent.promptTokens + spent.answerTokens;
  const money = spent.money > 0 ? `, ${Number(spent.money.toFixed(4))} in money` : "";
  const most = Object.entries(reasons)
    .sort(([, a], [, b]) => b - a)
    .slice(0, mostReasons);
  return [
    `${kept} of ${records} records are kept, ${rejected} rejected, ${review} wait for a person`,
    ...describeInstructions(result),
    ...most.map(([reason, count]) => `  ${count} ${reason}`),
    `${shortNumber(tokens)} tokens${money}; ${formatDuration(seconds)}`,
    ...(failure === null
      ? []
      : [`${failedSteps} steps failed for want of an answer; --resume tries them again`, `  such as: ${failure}`]),
    `data: ${result.dataFile}, ${result.parquetFile}`,
    `every record, with its origin and its fate: ${result.recordsFile}`,
    ...(reviewFile === null
      ? []
      : [`rookery review ${reviewFile}, then once more with --resume, takes in what is decided`]),
  ];
}
