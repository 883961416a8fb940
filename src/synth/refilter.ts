/** Other filters for a run: its records are judged anew by the answers and critiques that are kept with them, and nobody is asked. */
import { z } from "zod";
import { parseOptions } from "../base/config.ts";
import { RookeryError } from "../base/errors.ts";
import type { CommandContext } from "../base/events.ts";
import { EndpointFailure } from "../endpoint/failure.ts";
import { runsFolderOption } from "../interop/resolve.ts";
import { type Job, type Jobs, openJobs } from "../jobs/jobs.ts";
import type { Critic, RecordFilter } from "./filter.ts";
import { filterOptionsSchema, makeRecordFilter } from "./filters/index.ts";
import type { SynthOptions } from "./options.ts";
import { readPlan } from "./prepare.ts";
import type { SynthRecord } from "./record.ts";
import { adoptFilters, pinOptions, readRunOptions, writeRunOptions } from "./run-config.ts";
import { synthPaths } from "./run-files.ts";
import { RunStore } from "./run-store.ts";
import { type Judgement, judge, judgeSeed } from "./steps/judge.ts";
import { finishRun, type SynthResult } from "./summary.ts";

export const refilterOptionsSchema = filterOptionsSchema.extend({
  run: z.string().min(1).describe("the name of a run of synthesis").meta({ valueName: "RUN" }),
  runsFolder: runsFolderOption,
});

export type RefilterOptionsInput = z.input<typeof refilterOptionsSchema>;
export type RefilterOptions = z.output<typeof refilterOptionsSchema>;

/** Records at once: what takes its time is code that runs. */
const recordsAtOnce = 4;

/**
 * Makes these filters those of the run and writes its data set anew. A record that would now come before the critic, and never has,
 * is not kept until a resumed run asks about it: it counts among `failedSteps`.
 * @throws RookeryError MODEL_NOT_FOUND, RUN_LOCKED; BAD_DATA for a run that has made nothing yet; as `finishRun` does; the signal's
 * reason, after which the run goes on with these filters.
 */
export async function refilter(given: RefilterOptionsInput, context: CommandContext = {}): Promise<SynthResult> {
  const started = performance.now();
  const { run: name, runsFolder, ...filters } = parseOptions(refilterOptionsSchema, given);
  const options: SynthOptions = { ...readRunOptions(runsFolder, name), filters };
  const paths = synthPaths(runsFolder, name);
  using jobs = openJobs(paths.state, `the synthesis "${name}"`);
  pinOptions(jobs, options);
  const plan = readPlan(jobs);
  if (plan === undefined) {
    const hint = `go on with it: rookery synth run --resume --name ${name}`;
    throw new RookeryError("BAD_DATA", `the run "${name}" has made no record yet`, hint);
  }
  writeRunOptions(paths, options);
  adoptFilters(jobs, filters);
  await judgeAll(jobs, makeRecordFilter(filters), options, context);
  return await finishRun({ paths, options, jobs, started }, new RunStore(jobs), plan, context);
}

async function judgeAll(
  jobs: Jobs,
  filter: RecordFilter,
  options: SynthOptions,
  { signal, onEvent }: CommandContext,
): Promise<void> {
  const hasCritic = options.roles.critic !== undefined;
  const judgeOne = async ({ id, payload, result }: Job): Promise<void> => {
    const record = payload as SynthRecord;
    const before = result as Judgement | null;
    const critic = hasCritic ? criticFromMemory(before) : undefined;
    try {
      jobs.finish(id, await judge(record, before, filter, { critic, seed: judgeSeed(options, record), signal }));
    } catch (error) {
      if (!(error instanceof EndpointFailure)) throw error;
      jobs.fail(id, error.message);
    }
  };
  const total = jobs.counts("filter").pending;
  for (let done = 0; ; ) {
    signal?.throwIfAborted();
    const claimed = jobs.claim("filter", recordsAtOnce);
    if (claimed.length === 0) return;
    const failed = (await Promise.allSettled(claimed.map(judgeOne))).find(({ status }) => status === "rejected");
    if (failed?.status === "rejected") throw failed.reason;
    done += claimed.length;
    onEvent?.({ type: "progress", what: "judging", done, total, unit: "records" });
    // lets signals and timers be heard
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Is asked only what no critique is kept of, and says again that what came of it could not be read, or that nobody has asked. */
function criticFromMemory(before: Judgement | null): Critic {
  const unreadable = before?.review?.reason === "noCritique" ? before.review.detail : undefined;
  return {
    model: "",
    async askJson() {
      if (unreadable !== undefined) throw new EndpointFailure("malformed", unreadable, "ask another critic");
      throw new EndpointFailure("passing", "the critic has not been asked about this answer", "resume the run");
    },
  };
}
