/** What a run leaves when it ends, for whatever reason: the data set, and how it stands. */
import fs from "node:fs";
import { writeFileAtomic } from "../base/files.ts";
import { streamKeys, uniform } from "../base/random.ts";
import { rookeryVersion } from "../base/version.ts";
import type { Jobs } from "../jobs/jobs.ts";
import { makeSetFilter } from "./filters/index.ts";
import { type SetCounts, writeOutputs } from "./finish.ts";
import { countInstructions, type InstructionCounts } from "./instruction-counts.ts";
import type { SynthOptions } from "./options.ts";
import { countSteps, failureOf } from "./pipeline.ts";
import type { Plan } from "./prepare.ts";
import type { Cost } from "./record.ts";
import type { SynthContext } from "./roles.ts";
import type { SynthPaths } from "./run-files.ts";
import type { RunStore } from "./run-store.ts";

export type SynthResult = SetCounts & {
  format: "rookery-synth/1";
  rookeryVersion: string;
  name: string;
  runFolder: string;
  recordsFile: string;
  dataFile: string;
  parquetFile: string;
  /** Null where nobody has to be asked. */
  reviewFile: string | null;
  /** Whether every step is done. */
  isComplete: boolean;
  /** Steps whose requests failed each time; --resume tries them again. */
  failedSteps: number;
  /** What one of them ended with; null where none failed. */
  failure: string | null;
  /** Null where none were wanted. */
  instructions: InstructionCounts | null;
  /** By all requests of the run, in all its sessions. */
  spent: Cost;
  /** What was aimed at, as shares. */
  targets: Pick<Plan, "domains" | "languages">;
  /** Of this session. */
  seconds: number;
};

export type Run = { paths: SynthPaths; options: SynthOptions; jobs: Jobs; started: number };

/**
 * Filters the whole set and writes the files of the run, of what is finished.
 * @throws as `writeOutputs` does.
 */
export async function finishRun(run: Run, store: RunStore, plan: Plan, context: SynthContext): Promise<SynthResult> {
  const { paths, options, started } = run;
  context.onEvent?.({ type: "note", message: "filtering the whole set, and writing it" });
  const filterContext = {
    critic: undefined,
    seed: Math.floor(uniform(streamKeys(options.seed, "set filters"), 0) * 2 ** 24),
    ...{ signal: context.signal, onEvent: context.onEvent },
  };
  const counts = await writeOutputs(store, paths, makeSetFilter(options.filters, paths.folder), filterContext);
  const { done, failed, total } = countSteps(store.jobs);
  const result: SynthResult = {
    ...{ format: "rookery-synth/1", rookeryVersion, name: paths.name, runFolder: paths.folder },
    ...{ recordsFile: paths.records, dataFile: paths.data, parquetFile: paths.parquet },
    reviewFile: fs.existsSync(paths.review) ? paths.review : null,
    ...counts,
    ...{ isComplete: done + failed === total, failedSteps: failed, spent: rounded(store.spent) },
    failure: failed === 0 ? null : failureOf(store.jobs),
    instructions:
      options.records > 0 && options.seeds.length > 0 ? countInstructions(store.jobs, options.records) : null,
    targets: { domains: plan.domains, languages: plan.languages },
    seconds: (performance.now() - started) / 1000,
  };
  writeFileAtomic(paths.summary, `${JSON.stringify(result, null, 2)}\n`);
  return result;
}

/** Sums of money end in digits that depend on the order in which answers came. */
function rounded({ money, ...tokens }: Cost): Cost {
  return { ...tokens, money: Number(money.toFixed(9)) };
}
