/** A run of synthesis from its options to its data set, resumable at any moment. */
import fs from "node:fs";
import { parseOptions } from "../base/config.ts";
import { RookeryError } from "../base/errors.ts";
import { makeFolder, removeStaleTemporaries } from "../base/files.ts";
import { endsTheWork } from "../endpoint/client.ts";
import { EndpointFailure } from "../endpoint/failure.ts";
import { type Jobs, openJobs } from "../jobs/jobs.ts";
import { makeRecordFilter } from "./filters/index.ts";
import { type SynthOptions, type SynthOptionsInput, synthOptionsSchema } from "./options.ts";
import { countSteps, drainJobs, failureOf } from "./pipeline.ts";
import { hasMadeNothing, type Plan, prepareJobs } from "./prepare.ts";
import { Roles, type SynthContext } from "./roles.ts";
import { adoptFilters, pinOptions, readRunOptions, writeRunOptions } from "./run-config.ts";
import { removeUnused, type SynthPaths, synthPaths } from "./run-files.ts";
import { RunStore } from "./run-store.ts";
import type { StepContext } from "./steps/step.ts";
import { finishRun, type Run, type SynthResult } from "./summary.ts";

const seeToServer = "see to the server, then go on with --resume";

/** Work without endpoints waits for nothing. */
const offlineConcurrency = 4;

/**
 * Runs the four steps, or goes on with them, and writes the data set. A budget that is spent ends the run with what is finished written.
 * Other filters than before judge every record anew, by what it has been answered.
 * @throws RookeryError RUN_EXISTS, RUN_LOCKED, INVALID_OPTION, BAD_DATA; BUDGET_SPENT; ENDPOINT_FAILED where a server is gone;
 * INTERRUPTED, saved, when the signal is raised.
 */
export async function synthesize(asked: SynthOptionsInput, context: SynthContext = {}): Promise<SynthResult> {
  const started = performance.now();
  const given = parseOptions(synthOptionsSchema, asked);
  const options = given.resume ? resumedOptions(given) : { ...given, name: given.name ?? freeName(given.runsFolder) };
  const paths = synthPaths(options.runsFolder, options.name!);
  if (!given.resume) refuseTakenName(paths);
  makeFolder(paths.folder);
  let isUnused = false;
  try {
    using jobs = openJobs(paths.state, `the synthesis "${paths.name}"`);
    removeStaleTemporaries(paths.folder);
    if (!given.resume) writeRunOptions(paths, options);
    try {
      return await resumeOrBegin({ paths, options, jobs, started }, given, context);
    } catch (error) {
      if (context.signal?.aborted) throw interrupted(paths, options, jobs);
      isUnused = !given.resume && hasMadeNothing(jobs, error);
      throw error;
    }
  } finally {
    // a mistake in a configuration does not take its name away
    if (isUnused) removeUnused(paths);
  }
}

async function resumeOrBegin(run: Run, given: SynthOptions, context: SynthContext): Promise<SynthResult> {
  const { paths, options, jobs } = run;
  pinOptions(jobs, options);
  // a configuration that is given again is that of the run from now on
  if (given.resume && given.config !== undefined) writeRunOptions(paths, options);
  const judgedAgain = adoptFilters(jobs, options.filters);
  if (judgedAgain > 0) {
    const message = `the filters have changed: ${judgedAgain} records are judged again; what they were answered is kept`;
    context.onEvent?.({ type: "note", message });
  }
  return await runSteps(run, context);
}

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
    const before = countSteps(jobs).done;
    await drainJobs({ ...step, store, filter, scarce: plan.scarce }, concurrency, onEvent);
    const failure = failureOf(jobs);
    // a session of failures alone is one
    if (failure !== null && countSteps(jobs).done === before) throw new EndpointFailure("fatal", failure, seeToServer);
  } catch (error) {
    if (signal?.aborted || !endsTheWork(error) || plan === undefined) throw error;
    const result = await finishRun(run, store, plan, context);
    onEvent?.({ type: "note", message: `${result.kept} records are in ${result.dataFile} so far` });
    throw error;
  }
  return await finishRun(run, store, plan, context);
}

/** What the run was begun with; a configuration that is given again may change what does not make the records. */
function resumedOptions(given: SynthOptions): SynthOptions {
  const { name, runsFolder, budgetTokens, budgetMoney } = given;
  if (name === undefined) {
    throw new RookeryError("INVALID_OPTION", "--resume needs the name of a run", "add --name RUN");
  }
  const stored = readRunOptions(runsFolder, name);
  if (given.config !== undefined) return given;
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
