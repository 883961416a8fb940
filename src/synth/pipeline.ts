/**
 * The steps as jobs: what a step makes are the jobs of the next, added in the transaction that finishes it. The deepest step goes
 * first, so that records come out whole from the beginning, and a run that stops has something to show for what it spent.
 */
import type { CommandContext } from "../base/events.ts";
import { endsTheWork } from "../endpoint/client.ts";
import { EndpointFailure } from "../endpoint/failure.ts";
import type { Job, Jobs, NewJob } from "../jobs/jobs.ts";
import type { RecordFilter } from "./filter.ts";
import type { Draw } from "./mixture.ts";
import type { SynthDirection, SynthRecord } from "./record.ts";
import type { RunStore } from "./run-store.ts";
import type { Seed } from "./seeds.ts";
import { answer } from "./steps/answer.ts";
import { directionOf, evolve } from "./steps/evolve.ts";
import { generate } from "./steps/generate.ts";
import { type Judgement, judge, judgeContext } from "./steps/judge.ts";
import type { StepContext } from "./steps/step.ts";

/** The kinds of jobs, the deepest first. */
export const stepKinds = ["filter", "answer", "evolve", "generate"] as const;
export type StepKind = (typeof stepKinds)[number];

export type EvolvePayload = { record: SynthRecord; direction: SynthDirection; round: number; siblings: string[] };

/** What a step leaves: the records that it sorted out, and the jobs that follow from the others. */
type StepResult = { result: unknown; next: NewJob[] };

export type PipelineContext = StepContext & {
  store: RunStore;
  filter: RecordFilter;
  /** Domains that have too few seeds. */
  scarce: readonly string[];
};

export const seedKey = (number: number) => `s${String(number).padStart(9, "0")}`;
export const drawKey = (number: number) => `g${String(number).padStart(9, "0")}`;
export const taskKey = (number: number) => `t${String(number).padStart(9, "0")}`;

export const answerJob = (key: string, record: SynthRecord): NewJob => ({ kind: "answer", key, payload: record });

async function runStep({ kind, key, payload, result: before }: Job, context: PipelineContext): Promise<StepResult> {
  switch (kind as StepKind) {
    case "generate":
      return await runGenerate(key, payload as Draw, context);
    case "evolve":
      return await runEvolve(key, payload as EvolvePayload, context);
    case "answer": {
      const record = await answer(payload as SynthRecord, context);
      if (record.rejected) return { result: [record], next: [] };
      return { result: [], next: [{ kind: "filter", key, payload: record }] };
    }
    case "filter": {
      const record = payload as SynthRecord;
      const result = await judge(record, before as Judgement | null, context.filter, judgeContext(record, context));
      return { result, next: [] };
    }
  }
}

async function runGenerate(key: string, draw: Draw, context: PipelineContext): Promise<StepResult> {
  const seed = context.store.jobs.find("seed", seedKey(draw.seed))!.payload as Seed;
  const records = await generate(key, draw, seed, context);
  const good = records.filter(({ rejected }) => rejected === undefined);
  const siblings = good.map(({ instruction }) => instruction);
  const next = records.flatMap((record, index): NewJob[] => {
    if (record.rejected) return [];
    const own = `${key}.${String(index).padStart(2, "0")}`;
    const others = siblings.filter((one) => one !== record.instruction);
    return [answerJob(own, record), ...evolveJobs(own, record, 0, others, context)];
  });
  return { result: records.filter(({ rejected }) => rejected !== undefined), next };
}

async function runEvolve(key: string, payload: EvolvePayload, context: PipelineContext): Promise<StepResult> {
  const { record, direction, round, siblings } = payload;
  const evolved = await evolve(record, direction, round, siblings, context);
  if (evolved.rejected) return { result: [evolved], next: [] };
  const goesOn = round + 1 < context.options.evolve.rounds;
  const next = goesOn ? evolveJobs(key, evolved, round + 1, [record.instruction], context) : [];
  return { result: [], next: [answerJob(key, evolved), ...next] };
}

function evolveJobs(
  key: string,
  record: SynthRecord,
  round: number,
  siblings: string[],
  { options, roles, scarce }: PipelineContext,
): NewJob[] {
  const direction = roles.evolver && directionOf(record, round, options, scarce);
  if (direction === undefined) return [];
  const payload: EvolvePayload = { record, direction, round, siblings };
  return [{ kind: "evolve", key: `${key}.e${round}`, payload }];
}

/** So many jobs are claimed ahead of those that wait for an endpoint. */
const jobsAhead = 8;

/**
 * Does what there is to do, and what follows from it, until nothing is left.
 * @param concurrency jobs at once.
 * @throws what ends the work, when all that was under way has ended; the signal's reason. Jobs that were not finished wait again.
 */
export async function drainJobs(
  context: PipelineContext,
  concurrency: number,
  onEvent: CommandContext["onEvent"],
): Promise<void> {
  const { jobs } = context.store;
  const counts = countSteps(jobs);
  let underWay = 0;
  let ending: { reason: unknown } | undefined;
  let wake = () => {};
  const leave = (id: number, error: unknown): void => {
    const isItsOwn = isPassing(error);
    if (!isItsOwn) ending ??= { reason: error };
    try {
      if (isItsOwn) jobs.fail(id, error.message);
      else jobs.release(id);
    } catch (fault) {
      // the file cannot be written; what is running there will wait again when it is opened the next time
      ending ??= { reason: fault };
    }
  };
  const work = async (job: Job): Promise<void> => {
    try {
      const { result, next } = await runStep(job, context);
      jobs.finish(job.id, result, next);
      counts.done += 1;
      counts.total += next.length;
    } catch (error) {
      leave(job.id, error);
    }
    onEvent?.({ type: "progress", what: "synthesis", done: counts.done, total: counts.total, unit: "steps" });
    underWay -= 1;
    wake();
  };
  for (;;) {
    const free = ending || context.signal?.aborted ? 0 : concurrency + jobsAhead - underWay;
    for (const job of free > 0 ? claimDeepest(jobs, free) : []) {
      underWay += 1;
      void work(job);
    }
    if (underWay === 0) break;
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
    // work that waits for no network would leave no turn to signals and timers
    await new Promise((resolve) => setImmediate(resolve));
  }
  if (context.signal?.aborted) throw context.signal.reason;
  if (ending) throw ending.reason;
}

function claimDeepest(jobs: Jobs, most: number): Job[] {
  const claimed: Job[] = [];
  for (const kind of stepKinds) {
    if (claimed.length < most) claimed.push(...jobs.claim(kind, most - claimed.length));
  }
  return claimed;
}

/** A later session may be luckier: the job is kept as failed until then. */
function isPassing(error: unknown): error is EndpointFailure {
  return error instanceof EndpointFailure && !endsTheWork(error);
}

/** Jobs of all steps; the total grows as steps make work for the next. */
export function countSteps(jobs: Jobs): { done: number; failed: number; total: number } {
  const sums = { done: 0, failed: 0, total: 0 };
  for (const kind of stepKinds) {
    const { pending, running, done, failed } = jobs.counts(kind);
    sums.done += done;
    sums.failed += failed;
    sums.total += pending + running + done + failed;
  }
  return sums;
}

/** What a step that failed ended with, or null where none did. */
export function failureOf(jobs: Jobs): string | null {
  for (const { reason } of jobs.list({ state: "failed" })) return reason;
  return null;
}
