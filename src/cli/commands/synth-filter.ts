import { refilter, refilterOptionsSchema } from "../../synth/refilter.ts";
import { readRunOptions } from "../../synth/run-config.ts";
import { synthPaths } from "../../synth/run-files.ts";
import { defineCommand } from "../command.ts";
import { describeReport, type ReportResult, reportRun } from "./synth-report.ts";

type FilterResult = ReportResult & { run: string; dataFile: string; failedSteps: number; isComplete: boolean };

export const command = defineCommand({
  schema: refilterOptionsSchema,
  positionals: ["run"],
  examples: [
    { line: "rookery synth filter docs --keep-tier 4", purpose: "keep only what the critic puts highest" },
    {
      line: "rookery synth filter docs --keep-tier 3 --min-agreement 0.7",
      purpose: "and back, with more of the samples agreeing: what is not named stays as it was",
    },
  ],
  preset({ run, runsFolder = "runs" }) {
    if (typeof run !== "string" || typeof runsFolder !== "string") return undefined;
    return { name: synthPaths(runsFolder, run).config, values: readRunOptions(runsFolder, run).filters };
  },
  async run(options, context): Promise<FilterResult> {
    const { run, runsFolder } = options;
    const { dataFile, failedSteps, isComplete } = await refilter(options, context);
    return { run, dataFile, failedSteps, isComplete, ...(await reportRun({ run, runsFolder, seed: 1 })) };
  },
  describe: (result) => {
    const { run, dataFile, failedSteps, isComplete } = result;
    const resumes = `rookery synth run --resume --name ${run}`;
    return [
      ...describeReport(result),
      ...(failedSteps > 0
        ? [`${failedSteps} steps have no answer, such as of a critic who was never asked: ${resumes} asks for it`]
        : []),
      ...(isComplete ? [] : [`the run is not complete: ${resumes} goes on with it`]),
      `data: ${dataFile}`,
    ];
  },
});
