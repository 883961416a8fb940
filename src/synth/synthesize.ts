/** A run of synthesis from its options to its data set, resumable at any moment. */
import fs from "node:fs";
import { makeRunConfig, readConfigFile, resolveOptions } from "../base/config.ts";
import { RookeryError } from "../base/errors.ts";
import { makeFolder, writeFileAtomic } from "../base/files.ts";
import { streamKeys, uniform } from "../base/random.ts";
import { rookeryVersion } from "../base/version.ts";
import { endsTheWork } from "../endpoint/client.ts";
import { type Jobs, openJobs } from "../jobs/jobs.ts";
import type { FilterContext } from "./filter.ts";
import { makeRecordFilter, makeSetFilter } from "./filters/index.ts";
import { type SetCounts, writeOutputs } from "./finish.ts";
import { type SynthOptions, synthOptionsSchema } from "./options.ts";
import { countSteps, drainJobs } from "./pipeline.ts";
import { type Plan, prepareJobs } from "./prepare.ts";
import type { Cost } from "./record.ts";
import { Roles, type SynthContext } from "./roles.ts";
import { type SynthPaths, synthPaths } from "./run-files.ts";
import { RunStore } from "./run-store.ts";
import type { StepContext } from "./steps/step.ts";

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
  /** By all requests of the run, in all its sessions. */
  spent: Cost;
  /** What was aimed at, as shares. */
  targets: Pick<Plan, "domains" | "languages">;
  /** Of this session. */
  seconds: number;
};

/** Whatever else changes between sessions (addresses, limits, budgets), these make the set what it is. */
const pinned = [
  "seed",
  "records",
  "seeds",
  "mixture",
  "tasks",
  "roles",
  "generate",
  "evolve",
  "answer",
  "filters",
] as const;
/** Work without endpoints waits for nothing. */
const offlineConcurrency = 4;

/**
 * Runs the four steps, or goes on with them, and writes the data set. A budget that is spent ends the run with what is finished written.
 * @throws RookeryError RUN_EXISTS, RUN_LOCKED, INVALID_OPTION, BAD_DATA; BUDGET_SPENT; ENDPOINT_FAILED where a server is gone;
 * INTERRUPTED, saved, when the signal is raised.
 */
export async function synthesize(given: SynthOptions, context: SynthContext = {}): Promise<SynthResult> {
  const started = performance.now();
  const options = given.resume ? resumedOptions(given) : { ...given, name: given.name ?? freeName(given.runsFolder) };
  const paths = synthPaths(options.runsFolder, options.name!);
  if (!given.resume) refuseTakenName(paths);
  makeFolder(paths.folder);
  using jobs = openJobs(paths.state, `the synthesis "${paths.name}"`);
  if (!given.resume) {
    const config = makeRunConfig(commandName, { ...options, config: undefined, resume: false });
    writeFileAtomic(paths.config, `${JSON.stringify(config, null, 2)}\n`);
  }
  for (const key of pinned) jobs.pin(key, options[key]);
  const end = { paths, options, jobs, started };
  try {
    return await runSteps(end, context);
  } catch (error) {
    if (context.signal?.aborted) throw interrupted(paths, options, jobs);
    throw error;
  }
}

const commandName = "synth run";

type Run = { paths: SynthPaths; options: SynthOptions; jobs: Jobs; started: number };

async function runSteps(run: Run, context: SynthContext): Promise<SynthResult> {
  const { options, jobs } = run;
  const { signal, onEvent } = context;
  const store = new RunStore(jobs);
  const roles = await Roles.open(options, store, context);
  const step: StepContext = { options, roles, signal };
  const concurrency = Math.max(offlineConcurrency, roles.concurrencyOf(options));
  let plan: Plan | undefined;
  try {
    plan = await prepareJobs(store, step, concurrency, context);
    for (const kind of ["evolve", "answer", "filter", "generate"]) jobs.retryFailed(kind);
    const filter = makeRecordFilter(options.filters);
    await drainJobs({ ...step, store, filter, scarce: plan.scarce }, concurrency, onEvent);
  } catch (error) {
    if (signal?.aborted || !endsTheWork(error) || plan === undefined) throw error;
    const result = await finish(run, store, plan, context);
    onEvent?.({ type: "note", message: `${result.kept} records are in ${result.dataFile} so far` });
    throw error;
  }
  return await finish(run, store, plan, context);
}

async function finish(run: Run, store: RunStore, plan: Plan, context: SynthContext): Promise<SynthResult> {
  const { paths, options, started } = run;
  context.onEvent?.({ type: "note", message: "filtering the whole set, and writing it" });
  const filterContext: FilterContext = {
    critic: undefined,
    seed: Math.floor(uniform(streamKeys(options.seed, "set filters"), 0) * 2 ** 24),
    signal: context.signal,
  };
  const counts = await writeOutputs(store, paths, makeSetFilter(options.filters), filterContext);
  const { done, failed, total } = countSteps(store.jobs);
  const result: SynthResult = {
    ...{ format: "rookery-synth/1", rookeryVersion, name: paths.name, runFolder: paths.folder },
    ...{ recordsFile: paths.records, dataFile: paths.data, parquetFile: paths.parquet },
    reviewFile: fs.existsSync(paths.review) ? paths.review : null,
    ...counts,
    ...{ isComplete: done + failed === total, failedSteps: failed, spent: rounded(store.spent) },
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

/** What the run was begun with; a configuration that is given again may change what does not make the set. */
function resumedOptions(given: SynthOptions): SynthOptions {
  if (given.name === undefined) {
    throw new RookeryError("INVALID_OPTION", "--resume needs the name of a run", "add --name RUN");
  }
  const { config, folder } = synthPaths(given.runsFolder, given.name);
  if (!fs.existsSync(config)) {
    const what = `there is no run "${given.name}" (${folder})`;
    throw new RookeryError("MODEL_NOT_FOUND", what, "correct --name, or leave --resume out");
  }
  if (given.config !== undefined) return given;
  const { budgetTokens, budgetMoney, runsFolder, name } = given;
  const values = { ...readConfigFile(config, commandName), runsFolder, name };
  const stored = resolveOptions(synthOptionsSchema, [{ name: config, values }]);
  return {
    ...stored,
    budgetTokens: budgetTokens ?? stored.budgetTokens,
    budgetMoney: budgetMoney ?? stored.budgetMoney,
  };
}

function freeName(runsFolder: string): string {
  for (let number = 1; ; number++) {
    const name = `synth-${number}`;
    if (!fs.existsSync(synthPaths(runsFolder, name).folder)) return name;
  }
}

function refuseTakenName({ name, folder, config }: SynthPaths): void {
  if (!fs.existsSync(config)) return;
  throw new RookeryError(
    "RUN_EXISTS",
    `a run "${name}" is already there (${folder})`,
    "continue it with --resume, or choose another --name",
  );
}

function interrupted({ name, folder }: SynthPaths, { runsFolder }: SynthOptions, jobs: Jobs): RookeryError {
  const { done, total } = countSteps(jobs);
  const where = runsFolder === "runs" ? "" : ` --runs-folder ${runsFolder}`;
  return new RookeryError(
    "INTERRUPTED",
    `stopped after ${done} of ${total} steps, saved in ${folder}`,
    `go on with: rookery synth run --resume --name ${name}${where}`,
  );
}
