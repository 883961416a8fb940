/** One run of a sweep, from its plan to its row in the table. */

import { RookeryError } from "../base/errors.ts";
import type { CommandContext } from "../base/events.ts";
import { rookeryVersion } from "../base/version.ts";
import { dataOptionsSchema } from "../data/options.ts";
import type { TrainingEvent } from "../train/events.ts";
import { readMetrics } from "../train/metrics-file.ts";
import { type TrainOptions, trainOptionsSchema } from "../train/options.ts";
import { runExists, runPaths } from "../train/run-directory.ts";
import { train } from "../train/train.ts";
import { measureNoise } from "./noise.ts";
import { meanOf } from "./numeric.ts";
import { sweepPaths } from "./sweep-folder.ts";
import type { SweepOptions } from "./sweep-options.ts";
import type { SweepPoint } from "./sweep-plan.ts";
import type { TableRow } from "./table.ts";

const noiseBatches = 64;
/** The last steps whose training loss is averaged. */
const lastShare = 0.05;

/** The training run of a point. */
export function trainOptionsFor(options: SweepOptions, point: SweepPoint): TrainOptions {
  const paths = sweepPaths(options);
  const data = Object.fromEntries(
    Object.keys(dataOptionsSchema.shape).map((key) => [key, options[key as keyof SweepOptions]]),
  );
  const { steps, batchTokens, learningRate, expertLearningRateRatio, seed } = point;
  return trainOptionsSchema.parse({
    ...options.recipe,
    ...data,
    ...{ preset: options.family, model: point.config, tokenizer: paths.tokenizer },
    ...{ name: point.run, runsFolder: paths.runs, threads: options.threads },
    ...{ sequenceLength: options.sequenceLength, steps, batchTokens, learningRate, expertLearningRateRatio, seed },
    ...{ evaluateEvery: steps, keepCheckpoints: 1 },
  });
}

/**
 * Trains a point, or goes on with its run, and measures its noise scale. @param dataTokens that there are to train on.
 * @throws RookeryError as training does; BAD_DATA where nothing is held out.
 */
export async function trainPoint(
  options: SweepOptions,
  point: SweepPoint,
  dataTokens: number,
  context: CommandContext<TrainingEvent>,
): Promise<TableRow> {
  const runsFolder = sweepPaths(options).runs;
  const name = point.run;
  const asked = runExists(runsFolder, name)
    ? { name, runsFolder, resume: true, threads: options.threads }
    : trainOptionsFor(options, point);
  const { heldOutCrossEntropy, bitsPerByte } = await train(asked, context);
  if (heldOutCrossEntropy === null || bitsPerByte === null) {
    throw new RookeryError("BAD_DATA", "no text is held out, so there is no loss to fit", "raise --held-out-share");
  }
  if (!Number.isFinite(heldOutCrossEntropy)) {
    throw new RookeryError("NON_FINITE", "the held-out loss is not finite", "lower --learning-rate");
  }
  const { signal } = context;
  const noise = options.measureNoise ? await noiseOf({ runsFolder, name, threads: options.threads }, signal) : null;
  return {
    ...rowOf(options, point),
    loss: heldOutCrossEntropy,
    noise_tokens: noise,
    ...trainingFigures(runPaths(runsFolder, name).metrics, point.steps),
    bits_per_byte: bitsPerByte,
    passes: point.tokens / dataTokens,
    status: "done",
  };
}

/** Null where the gradient is all noise, or none: a small run's may be. */
async function noiseOf(
  run: { runsFolder: string; name: string; threads: number },
  signal: AbortSignal | undefined,
): Promise<number | null> {
  try {
    return (await measureNoise({ ...run, batches: noiseBatches }, { signal })).noiseTokens;
  } catch (error) {
    if (error instanceof RookeryError && error.code === "BAD_DATA") return null;
    throw error;
  }
}

function trainingFigures(metrics: string, steps: number): Pick<TableRow, "training_loss" | "seconds"> {
  const last: number[] = [];
  let seconds = 0;
  for (const record of readMetrics(metrics)) {
    if (record.kind !== "step") continue;
    if (typeof record.seconds === "number") seconds += record.seconds;
    if (record.step > steps * (1 - lastShare) && typeof record.crossEntropy === "number")
      last.push(record.crossEntropy);
  }
  return { training_loss: last.length > 0 ? meanOf(last) : null, seconds };
}

/** The row of a point that has no result yet. */
function rowOf(options: SweepOptions, point: SweepPoint): TableRow {
  return {
    budget: point.budget,
    activated_parameters: point.activatedParameters,
    tokens: point.tokens,
    loss: null,
    compute: point.compute,
    total_parameters: point.totalParameters,
    batch_tokens: point.batchTokens,
    noise_tokens: null,
    seed: point.seed,
    learning_rate: point.learningRate,
    expert_learning_rate_ratio: point.expertLearningRateRatio,
    sequence_length: options.sequenceLength,
    steps: point.steps,
    training_loss: null,
    bits_per_byte: null,
    passes: null,
    seconds: null,
    status: "failed",
    error: null,
    run: point.run,
    architecture: JSON.stringify(point.config),
    rookery_version: rookeryVersion,
  };
}

/** The row of a point that has failed. */
export function failedRow(options: SweepOptions, point: SweepPoint, error: string): TableRow {
  return { ...rowOf(options, point), error };
}
