/** Turns what a user asked for into the numbers that a run is made of, all of which stand in its configuration. */
import { availableParallelism } from "node:os";
import { RookeryError } from "../base/errors.ts";
import { isPlainObject } from "../base/option-schema.ts";
import type { ModelConfig } from "../model/config.ts";
import { type TrainOptions, trainOptionsSchema } from "./options.ts";
import { expertLearningRateRatio } from "./schedule.ts";

const defaultMinutes = 5;

/** How long a run is to be. */
export type Budget = { steps: number } | { minutes: number };

/** @throws RookeryError INVALID_OPTION if more than one of steps, tokens and minutes is given. */
export function budgetOf(options: TrainOptions): Budget {
  const { steps, tokens, minutes, batchTokens } = options;
  const given = Object.entries({ steps, tokens, minutes }).filter(([, value]) => value !== undefined);
  if (given.length > 1) {
    throw new RookeryError(
      "INVALID_OPTION",
      `${given.map(([key, value]) => `--${key} ${value}`).join(" and ")} are different lengths of one run`,
      "give one of --steps, --tokens and --minutes",
    );
  }
  if (steps !== undefined) return { steps };
  if (tokens !== undefined) return { steps: Math.max(1, Math.ceil(tokens / batchTokens)) };
  return { minutes: minutes ?? defaultMinutes };
}

const mostMicroBatchTokens = 16_384;

/**
 * Rows and micro-batches of an update. Unless told, a micro-batch is the largest part of an update that is at most 16,384
 * tokens or one row. @throws RookeryError INVALID_OPTION if the sizes do not divide each other.
 */
export function batchShape(options: Pick<TrainOptions, "batchTokens" | "sequenceLength" | "microBatchTokens">): {
  rows: number;
  microBatches: number;
} {
  const { batchTokens, sequenceLength, microBatchTokens } = options;
  const divide = (what: string, size: number, by: string, unit: number): number => {
    if (size % unit === 0) return size / unit;
    throw new RookeryError(
      "INVALID_OPTION",
      `${what} ${size} is no multiple of ${by} ${unit}`,
      "choose sizes that divide each other",
    );
  };
  const allRows = divide("batchTokens", batchTokens, "sequenceLength", sequenceLength);
  if (microBatchTokens === undefined) {
    let rows = Math.min(allRows, Math.max(1, Math.floor(mostMicroBatchTokens / sequenceLength)));
    while (allRows % rows !== 0) rows--;
    return { rows, microBatches: allRows / rows };
  }
  const rows = divide("microBatchTokens", microBatchTokens, "sequenceLength", sequenceLength);
  return { rows, microBatches: divide("batchTokens", batchTokens, "microBatchTokens", microBatchTokens) };
}

/** Every default that depends on other options or on the machine; `sequenceLength` must fit the model. */
export function resolveTrainOptions(options: TrainOptions, config: ModelConfig): TrainOptions {
  if (options.sequenceLength > config.maxPositionEmbeddings) {
    throw new RookeryError(
      "INVALID_OPTION",
      `sequenceLength ${options.sequenceLength} is over the model's ${config.maxPositionEmbeddings} positions`,
      "lower it, or raise --set model.maxPositionEmbeddings",
    );
  }
  const { rows } = batchShape(options);
  return {
    ...options,
    microBatchTokens: rows * options.sequenceLength,
    threads: options.threads ?? availableParallelism(),
    expertLearningRateRatio:
      options.expertLearningRateRatio ??
      expertLearningRateRatio(config.numExperts, config.topK, options.batchToNoiseRatio),
  };
}

/** What may be said anew each time a run goes on; results depend on none of it. */
const freeOnResume = ["resume", "name", "runsFolder", "threads", "recomputation", "stage"];

/** Every value with its dotted key; lists are values. */
function leaves(options: object, prefix = ""): Map<string, unknown> {
  return new Map(
    Object.entries(options).flatMap(([key, value]): [string, unknown][] =>
      isPlainObject(value) ? [...leaves(value, `${prefix}${key}.`)] : [[`${prefix}${key}`, value]],
    ),
  );
}

/**
 * The options that a run goes on with: the stored ones. What is given besides must not contradict them; a value that is
 * the default counts as not given. @throws RookeryError INVALID_OPTION naming the first contradiction.
 */
export function resumedOptions(given: TrainOptions, stored: TrainOptions): TrainOptions {
  const unsaid = trainOptionsSchema.parse({});
  refuseContradictions(given, stored, unsaid);
  return {
    ...stored,
    runsFolder: given.runsFolder,
    threads: given.threads ?? stored.threads,
    recomputation: given.recomputation === unsaid.recomputation ? stored.recomputation : given.recomputation,
  };
}

/**
 * Refuses what is asked of a run that goes on and contradicts what it began with; the values of `unsaid`, the defaults, count as
 * not given. @param free keys that may be said anew. @throws RookeryError INVALID_OPTION naming the first contradiction.
 */
export function refuseContradictions(
  given: object,
  stored: object & { steps?: unknown },
  unsaid: object,
  free: readonly string[] = freeOnResume,
): void {
  const [was, byDefaults] = [leaves(stored), leaves(unsaid)];
  for (const [key, value] of leaves(given)) {
    if (free.includes(key) || value === undefined) continue;
    const [asked, before, byDefault] = [value, was.get(key), byDefaults.get(key)].map((one) => JSON.stringify(one));
    if (asked === byDefault || asked === before) continue;
    const isLength = before === undefined && (key === "minutes" || key === "tokens");
    throw new RookeryError(
      "INVALID_OPTION",
      isLength
        ? `--resume goes on to the run's ${stored.steps} steps, but ${key} ${asked} was given`
        : `--resume goes on with ${key} ${before ?? "left out"}, but ${asked} was given`,
      "leave it out, or start a new run with --config",
    );
  }
}

/** How long an update takes, and how many updates a measurement on the held-out text takes as long as. */
export type Pace = { secondsPerStep: number; stepsPerEvaluation: number };

/** Steps between measurements, unless told: a tenth of the run; more where they would take a tenth of its time; a third at most. */
function defaultEvaluateEvery(steps: number, { stepsPerEvaluation }: Pace): number {
  return Math.min(Math.ceil(steps / 3), Math.max(Math.ceil(steps / 10), Math.ceil(10 * stepsPerEvaluation)));
}

/** Steps that `minutes` have room for beside the measurements; these have half of the time at most. */
export function stepsIn(minutes: number, options: TrainOptions, pace: Pace): number {
  const room = (minutes * 60) / pace.secondsPerStep;
  let steps = room;
  // more measurements leave room for fewer steps, and these for fewer measurements
  for (let round = 0; round < 4; round++) {
    const evaluations = Math.ceil(steps / (options.evaluateEvery ?? defaultEvaluateEvery(steps, pace)));
    steps = Math.max(room / 2, room - evaluations * pace.stepsPerEvaluation);
  }
  return steps;
}

/** The options once the length is known: a fixed number of steps, and what follows from it. */
export function withSteps(options: TrainOptions, steps: number, pace: Pace): TrainOptions {
  const { minutes: _minutes, tokens: _tokens, ...rest } = options;
  const stepsInTwoMinutes = Math.max(1, Math.round(120 / pace.secondsPerStep));
  return {
    ...rest,
    steps,
    evaluateEvery: options.evaluateEvery ?? defaultEvaluateEvery(steps, pace),
    checkpointEvery: options.checkpointEvery ?? Math.min(steps, stepsInTwoMinutes),
  };
}
