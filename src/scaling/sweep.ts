/** A sweep of training runs, from its options to its table. It can be stopped or killed at any time, and goes on where it was. */
import { parseOptions } from "../base/config.ts";
import { RookeryError } from "../base/errors.ts";
import type { CommandContext } from "../base/events.ts";
import { removeDirectory } from "../base/files.ts";
import { type Job, type Jobs, openJobs } from "../jobs/jobs.ts";
import type { TrainingEvent } from "../train/events.ts";
import { prepareTokenizer, prepareTrainingData } from "../train/prepare.ts";
import { runPaths } from "../train/run-directory.ts";
import { fitRates, type RateSearch, rateFor } from "./learning-rate.ts";
import { estimateSweep, type SweepEstimate } from "./sweep-estimate.ts";
import { createSweep, sweepOptions, sweepPaths } from "./sweep-folder.ts";
import { type SweepOptions, type SweepOptionsInput, sweepOptionsSchema } from "./sweep-options.ts";
import { pointsOf, type SweepPoint, searchPointsOf } from "./sweep-plan.ts";
import { failedRow, trainOptionsFor, trainPoint } from "./sweep-point.ts";
import type { TableRow } from "./table.ts";
import { writeTable } from "./table-file.ts";

export type SweepResult = {
  name: string;
  folder: string;
  /** Null where only the plan was asked for. */
  table: string | null;
  estimate: SweepEstimate;
  /** What the search has found; null without one. */
  learningRates: RateSearch | null;
  done: number;
  failed: { run: string; reason: string }[];
};

const searchKind = "search";
const pointKind = "point";
const pointOf = (job: Job): SweepPoint => job.payload as SweepPoint;

/**
 * Trains every point of a sweep and writes `sweeps/NAME/table.parquet`. A point that fails is named there, and the rest go on.
 * @throws RookeryError INVALID_OPTION, RUN_EXISTS, RUN_LOCKED, BAD_DATA (too little text); INTERRUPTED after `signal`.
 */
export async function runSweep(given: SweepOptionsInput, context: CommandContext = {}): Promise<SweepResult> {
  const options = sweepOptions(parseOptions(sweepOptionsSchema, given));
  const points = pointsOf(options);
  const searched = options.learningRate === "search" ? searchPointsOf(options) : [];
  const estimate = await estimateSweep(options, points, searched, context.signal);
  const paths = sweepPaths(options);
  const result = { name: options.name, folder: paths.path, estimate };
  if (options.planOnly) return { ...result, table: null, learningRates: null, done: 0, failed: [] };

  // what cannot begin leaves nothing, so that the same command, mended, can
  using unbegun = new DisposableStack();
  if (!options.resume) unbegun.defer(createSweep(options));
  using jobs = openJobs(paths.jobs, `the sweep "${options.name}"`);
  const dataTokens = await prepareText(options, points, context);
  unbegun.move();
  for (const kind of options.retryFailed ? [searchKind, pointKind] : []) forgetFailed(jobs, kind, paths.runs);
  const lanes = new Lanes(options, jobs, dataTokens, estimate.parallel, context);

  jobs.add(searched.map((point) => ({ kind: searchKind, key: point.run, payload: point })));
  await lanes.run(searchKind, "searching for a learning rate");
  const rates = searched.length > 0 ? fitRates(triedRates(jobs)) : null;
  for (const { activatedParameters, learningRate, isEdge } of rates?.best ?? []) {
    const message = `a model of ${activatedParameters} activated parameters learns best at ${learningRate.toPrecision(3)}`;
    context.onEvent?.(
      isEdge
        ? { type: "warning", message: `${message}, the end of the range: give another --learning-rate` }
        : { type: "note", message },
    );
  }
  const rated = points.map((point) =>
    rates ? { ...point, learningRate: rateFor(rates, point.activatedParameters) } : point,
  );
  jobs.add(rated.map((point) => ({ kind: pointKind, key: point.run, payload: point })));
  await writeTable(paths.table, rowsOf(jobs, options));
  await lanes.run(pointKind, "training the sweep", async () => writeTable(paths.table, rowsOf(jobs, options)));
  const failed = [...jobs.list({ kind: pointKind, state: "failed" })];
  return {
    ...result,
    table: paths.table,
    learningRates: rates,
    done: jobs.counts(pointKind).done,
    failed: failed.map((job) => ({ run: job.key, reason: job.reason ?? "" })),
  };
}

/**
 * The tokenizer and the tokens that all runs share. @returns tokens to train on.
 * @throws RookeryError BAD_DATA if a run would see its text too often.
 */
async function prepareText(
  options: SweepOptions,
  points: readonly SweepPoint[],
  context: CommandContext,
): Promise<number> {
  const most = points.reduce((best, point) => (point.tokens > best.tokens ? point : best));
  const { tokenizer: given } = options;
  const train = { ...trainOptionsFor(options, most), tokenizer: given };
  const { tokenizer, folder } = await prepareTokenizer(train, most.config, sweepPaths(options).path, context);
  const { dataset } = await prepareTrainingData(train, tokenizer, folder, context);
  const dataTokens = dataset.tokens("train");
  dataset.dispose();
  const passes = most.tokens / dataTokens;
  if (passes > options.maxPasses) {
    throw new RookeryError(
      "BAD_DATA",
      `${most.run} takes ${most.tokens} tokens of a text that has ${dataTokens}: ${passes.toFixed(1)} passes`,
      `give more --data, leave out the smallest sizes or the largest budgets, or raise --max-passes ${options.maxPasses}`,
    );
  }
  return dataTokens;
}

function forgetFailed(jobs: Jobs, kind: string, runsFolder: string): void {
  for (const { key } of jobs.list({ kind, state: "failed" })) removeDirectory(runPaths(runsFolder, key).path);
  jobs.retryFailed(kind);
}

function triedRates(jobs: Jobs) {
  return [...jobs.list({ kind: searchKind, state: "done" })].map((job) => {
    const { activatedParameters, learningRate } = pointOf(job);
    return { activatedParameters, learningRate, loss: (job.result as TableRow).loss ?? Number.NaN };
  });
}

function rowsOf(jobs: Jobs, options: SweepOptions): TableRow[] {
  return [...jobs.list({ kind: pointKind })].flatMap((job) => {
    if (job.state === "done") return [job.result as TableRow];
    return job.state === "failed" ? [failedRow(options, pointOf(job), job.reason ?? "")] : [];
  });
}

/** Trains the jobs of a kind, several at once. */
class Lanes {
  readonly #options: SweepOptions;
  readonly #jobs: Jobs;
  readonly #dataTokens: number;
  readonly #parallel: number;
  readonly #context: CommandContext;

  constructor(options: SweepOptions, jobs: Jobs, dataTokens: number, parallel: number, context: CommandContext) {
    this.#options = options;
    this.#jobs = jobs;
    this.#dataTokens = dataTokens;
    this.#parallel = parallel;
    this.#context = context;
  }

  /** @throws RookeryError INTERRUPTED when the signal was raised, with every run saved. */
  async run(kind: string, what: string, onDone = async () => {}): Promise<void> {
    const { signal, onEvent } = this.#context;
    const all = [...this.#jobs.list({ kind })];
    const total = all.reduce((sum, job) => sum + pointOf(job).compute, 0);
    const done = new Map(
      all.filter(({ state }) => state === "done" || state === "failed").map((job) => [job.id, pointOf(job).compute]),
    );
    const show = () => {
      const flops = [...done.values()].reduce((sum, one) => sum + one, 0);
      onEvent?.({ type: "progress", what, done: flops, total, unit: "FLOPs" });
    };
    const lane = async () => {
      while (!signal?.aborted) {
        const [job] = this.#jobs.claim(kind);
        if (!job) return;
        const { compute, steps } = pointOf(job);
        await this.#train(job, (step) => {
          done.set(job.id, (compute * step) / steps);
          show();
        });
        done.set(job.id, compute);
        await onDone();
      }
    };
    await Promise.all(Array.from({ length: this.#parallel }, lane));
    if (signal?.aborted) {
      const { name, sweepsFolder } = this.#options;
      const folder = sweepsFolder === "sweeps" ? "" : ` --sweeps-folder ${sweepsFolder}`;
      throw new RookeryError(
        "INTERRUPTED",
        `stopped with ${this.#jobs.counts(kind).done} of ${all.length} runs done, all saved`,
        `go on with: rookery scale run --resume --name ${name}${folder}`,
      );
    }
  }

  /** Trains one job; what stops it is told, and stops nothing else. */
  async #train(job: Job, onStep: (step: number) => void): Promise<void> {
    const { signal, onEvent } = this.#context;
    const listen = (event: TrainingEvent) => {
      if (event.type === "training-step") onStep(event.step);
      else if (event.type === "warning") onEvent?.({ ...event, message: `${job.key}: ${event.message}` });
    };
    const isSearch = job.kind === searchKind;
    const options = isSearch ? { ...this.#options, measureNoise: false } : this.#options;
    try {
      const row = await trainPoint(options, pointOf(job), this.#dataTokens, { signal, onEvent: listen });
      this.#jobs.finish(job.id, row);
      removeDirectory(runPaths(sweepPaths(this.#options).runs, job.key).checkpoints);
      const seconds = row.seconds?.toFixed(0);
      onEvent?.({ type: "note", message: `${job.key}: loss ${row.loss?.toFixed(4)} in ${seconds} s` });
    } catch (error) {
      if (signal?.aborted) {
        this.#jobs.release(job.id);
        return;
      }
      const reason = error instanceof Error ? error.message : String(error);
      this.#jobs.fail(job.id, reason);
      onEvent?.({ type: "warning", message: `${job.key} has failed: ${reason}` });
    }
  }
}
