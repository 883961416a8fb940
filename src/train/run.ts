/** A training run from its options to its model directory. It blocks its thread step by step: `train` puts it on a worker. */
import fs from "node:fs";
import { makeRunConfig, resolveOptions } from "../base/config.ts";
import { RookeryError } from "../base/errors.ts";
import type { CommandContext } from "../base/events.ts";
import { BatchStream } from "../data/batches.ts";
import { type HeldOut, heldOutBatches } from "../data/held-out.ts";
import type { PreparedData } from "../data/prepare.ts";
import { measurePeakFlops } from "../kernels/bindings/peak.ts";
import { account } from "../model/accounting.ts";
import type { ModelConfig } from "../model/config.ts";
import { Transformer } from "../model/transformer.ts";
import { Execution } from "../tensor/execution.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import {
  brokenCheckpoints,
  latestCheckpoint,
  openCheckpoint,
  removeCheckpointsAfter,
  saveCheckpoint,
} from "./checkpoint.ts";
import { compactCount } from "./compact-count.ts";
import { type Evaluation, evaluate } from "./evaluate.ts";
import type { TrainingEvent } from "./events.ts";
import {
  memorySettingsOf,
  memoryWarning,
  peakProcessBytes,
  predictTrainingMemory,
  type TrainingMemory,
} from "./memory.ts";
import { modelCard } from "./model-card.ts";
import { AdamW } from "./optimizer.ts";
import { type TrainOptions, trainOptionsSchema } from "./options.ts";
import { modelConfigOf, prepareTokenizer, prepareTrainingData, tokenizerFolderOf } from "./prepare.ts";
import { type Budget, batchShape, budgetOf, resolveTrainOptions, resumedOptions, withSteps } from "./resolve.ts";
import { createRun, isNameFree, openRun, type RunDirectory, refuseTakenName, runPaths } from "./run-directory.ts";
import { saveModel } from "./save-model.ts";
import type { ScheduleSettings } from "./schedule.ts";
import { makeStagingFolder, moveTokenizer } from "./staging.ts";
import { stepEvent, stepMetrics } from "./step-metrics.ts";
import { dataPositionOf, Trainer } from "./trainer.ts";

export const trainResultFormat = "rookery-train/1";

export type TrainResult = {
  format: typeof trainResultFormat;
  name: string;
  runFolder: string;
  modelFolder: string;
  steps: number;
  tokens: number;
  /** On held-out text at the end; null if nothing was held out. */
  bitsPerByte: number | null;
  heldOutCrossEntropy: number | null;
  skippedSteps: number;
  /** From the first step to the last, measurements and checkpoints included. */
  seconds: number;
  /** In the steps alone. */
  tokensPerSecond: number;
  /** The most memory that the process has held, what was predicted, and the part of it that is activations and scratch. */
  peakMemoryBytes: number;
  predictedMemoryBytes: number;
  peakArenaBytes: number;
};

const heldOutTokens = 1 << 18;
const measuredSteps = 8;

/** Everything of a run that lives as long as it does. */
type Parts = {
  options: TrainOptions;
  run: RunDirectory;
  config: ModelConfig;
  tokenizer: Tokenizer;
  tokenizerFolder: string;
  data: PreparedData;
  heldOut: HeldOut;
  execution: Execution;
  model: Transformer;
  optimizer: AdamW;
  peakFlops: number;
  memory: TrainingMemory;
};

/**
 * Trains, or goes on with a run. Between steps it looks at `signal`: when it is raised the run is saved and INTERRUPTED is thrown.
 * @throws RookeryError as its parts do; RUN_EXISTS, NON_FINITE.
 */
export async function runTraining(given: TrainOptions, context: CommandContext<TrainingEvent>): Promise<TrainResult> {
  using resources = new DisposableStack();
  const { options: asked, name, budget } = given.resume ? storedRun(given) : newRun(given);
  const config = modelConfigOf(asked);
  const resolved = resolveTrainOptions(asked, config);
  // The tokenizer is made before the run is: a run has all its settings, and the tokenizer is one of them.
  const staging = given.resume ? undefined : makeStagingFolder(resolved.runsFolder);
  resources.defer(() => {
    if (staging !== undefined) fs.rmSync(staging, { recursive: true, force: true });
  });
  const folder = staging ?? runPaths(resolved.runsFolder, name).path;
  const { tokenizer, folder: tokenizerFolder } = await prepareTokenizer(resolved, config, folder, context);
  const data = await prepareTrainingData(resolved, tokenizer, tokenizerFolder, context);
  resources.defer(() => data.dataset.dispose());

  const memorySettings = memorySettingsOf(resolved);
  const memory = predictTrainingMemory(config, memorySettings);
  const warning = memoryWarning(config, memorySettings, memory, process.availableMemory());
  if (warning) context.onEvent?.({ type: "warning", message: warning });
  const execution = resources.use(new Execution(memorySettings));
  execution.arena.reserve(memory.arenaBytes);
  const model = resources.use(new Transformer(config));
  const optimizer = resources.use(new AdamW(model, resolved));
  const peakFlops = measurePeakFlops(execution.pool, resolved.computeType);
  model.initialize(resolved.seed, resolved.initialization);

  const shape = batchShape(resolved);
  const streamOptions = {
    sources: data.dataset.train,
    ...shape,
    sequenceLength: resolved.sequenceLength,
    seed: resolved.seed,
  };
  const heldOut = heldOutBatches({
    sources: data.dataset.heldOut,
    rows: shape.rows,
    sequenceLength: resolved.sequenceLength,
    tokenBytes: tokenizer.textByteLengths,
    padToken: tokenizer.controlId("pad"),
    maxTokens: heldOutTokens,
  });

  let options = resolved;
  if (budget) {
    const secondsPerStep = measureStep(
      { execution, model, optimizer, stream: new BatchStream(streamOptions) },
      resolved,
      context,
    );
    const steps = "steps" in budget ? budget.steps : Math.max(1, Math.round((budget.minutes * 60) / secondsPerStep));
    options = withSteps(resolved, steps, secondsPerStep);
  }
  const run = resources.use(
    given.resume
      ? openRun(options.runsFolder, name)
      : createRun(options.runsFolder, name, makeRunConfig("train", { ...options, name, resume: false })),
  );
  const { path: runFolder } = run.paths;
  if (staging !== undefined) moveTokenizer(staging, runFolder);
  const parts: Parts = {
    options,
    run,
    config,
    tokenizer,
    data,
    heldOut,
    execution,
    model,
    optimizer,
    peakFlops,
    memory,
    tokenizerFolder: tokenizerFolderOf(runFolder),
  };

  for (const folder of given.resume ? brokenCheckpoints(run.paths.checkpoints) : []) {
    context.onEvent?.({ type: "warning", message: `${folder} has no whole manifest.json and is passed over` });
  }
  const latest = given.resume ? latestCheckpoint(run.paths.checkpoints) : null;
  using checkpoint = latest && openCheckpoint(latest.path);
  const position = checkpoint ? dataPositionOf(checkpoint) : undefined;
  const stream = new BatchStream({ ...streamOptions, position });
  const trainer = new Trainer({ execution, model, optimizer, stream }, trainerSettings(options, data));
  if (checkpoint) trainer.restore(checkpoint);
  if (given.resume) {
    removeCheckpointsAfter(run.paths.checkpoints, trainer.step);
    run.truncateMetrics(trainer.step);
  }
  context.onEvent?.({ type: "run", name: run.paths.name, path: run.paths.path });
  context.onEvent?.({ type: "note", message: describeRun(parts, trainer) });
  return await trainToTheEnd(parts, trainer, context);
}

/** A run as it was asked for, before anything is made; `budget` is undefined when its length is known from before. */
type AskedRun = { options: TrainOptions; name: string; budget: Budget | undefined };

/** A name that is given must be free; without one, it is the preset with the next free number. */
function newRun(options: TrainOptions): AskedRun {
  const { runsFolder, preset } = options;
  const budget = budgetOf(options);
  if (options.name !== undefined) {
    refuseTakenName(runPaths(runsFolder, options.name));
    return { options, name: options.name, budget };
  }
  let number = 1;
  while (!isNameFree(runPaths(runsFolder, `${preset}-${number}`))) number++;
  const name = `${preset}-${number}`;
  return { options: { ...options, name }, name, budget };
}

/** The stored options of a run that goes on. */
function storedRun(given: TrainOptions): AskedRun {
  if (given.name === undefined) {
    throw new RookeryError("INVALID_OPTION", "--resume needs to know which run", "name it with --name RUN");
  }
  using run = openRun(given.runsFolder, given.name);
  const { command, options } = run.config;
  if (command !== "train") {
    throw new RookeryError(
      "INVALID_OPTION",
      `${run.paths.config} is of a run of rookery ${command}, not of training`,
      "correct --name",
    );
  }
  const stored = resolveOptions(trainOptionsSchema, [{ name: run.paths.config, values: options }]);
  if (stored.steps === undefined) {
    throw new RookeryError("FILE_DAMAGED", `${run.paths.config} lacks steps`, "take another copy of it");
  }
  return { options: resumedOptions(given, stored), name: given.name, budget: undefined };
}

function scheduleOf(options: TrainOptions): ScheduleSettings {
  const totalSteps = options.steps ?? 1;
  return {
    peakLearningRate: options.learningRate,
    totalSteps,
    warmupSteps: Math.max(1, Math.round(totalSteps * options.warmupShare)),
    annealingShare: options.annealingShare,
    finalShare: options.finalLearningRateShare,
  };
}

function trainerSettings(options: TrainOptions, data: PreparedData) {
  return {
    schedule: scheduleOf(options),
    routing: {
      mode: options.routing,
      capacityFactor: options.capacityFactor,
      balanceCoefficient: options.balanceCoefficient,
      zCoefficient: options.zCoefficient,
    },
    expertLearningRateRatio: options.expertLearningRateRatio ?? 1,
    maxGradientNorm: options.maxGradientNorm,
    recomputation: options.recomputation,
    microBatches: batchShape(options).microBatches,
    seed: options.seed,
    maxSkippedSteps: options.maxSkippedSteps,
    mixtures: data.mixtures,
  };
}

/** Seconds an update takes, from a few at rate 0 on fresh weights, which they leave as they were. */
function measureStep(
  parts: { execution: Execution; model: Transformer; optimizer: AdamW; stream: BatchStream },
  options: TrainOptions,
  context: CommandContext<TrainingEvent>,
): number {
  const still = { ...options, steps: measuredSteps + 1, learningRate: Number.MIN_VALUE, weightDecay: 0 };
  const trainer = new Trainer(parts, trainerSettings(still, { mixtures: {} } as PreparedData));
  const times: number[] = [];
  for (let step = 0; step <= measuredSteps; step++) {
    context.signal?.throwIfAborted();
    const start = performance.now();
    trainer.runStep();
    times.push((performance.now() - start) / 1000);
    context.onEvent?.({
      type: "progress",
      what: "measuring a step",
      done: step + 1,
      total: measuredSteps + 1,
      unit: "steps",
    });
  }
  parts.optimizer.reset();
  parts.model.initialize(options.seed, options.initialization);
  // the lower quartile: what else the machine does in these seconds is not what it does all the time
  return times.slice(1).sort((a, b) => a - b)[Math.floor(measuredSteps / 4)]!;
}

function describeRun({ options, config, data, run, memory }: Parts, trainer: Trainer): string {
  const { parameters } = account(config);
  return (
    `${trainer.step > 0 ? `resuming ${run.paths.path} at step ${trainer.step}` : run.paths.path}: ${compactCount(parameters.total)} parameters, ` +
    `${compactCount(parameters.activated)} activated; ${options.steps} steps of ${options.batchTokens} tokens from ${compactCount(data.dataset.tokens("train"))}; ` +
    `experts learn at ${(options.expertLearningRateRatio ?? 1).toFixed(3)} of the dense rate; ` +
    `about ${(memory.totalBytes / 1e9).toFixed(2)} GB of memory`
  );
}

async function trainToTheEnd(
  parts: Parts,
  trainer: Trainer,
  context: CommandContext<TrainingEvent>,
): Promise<TrainResult> {
  const { options, run, execution, model, heldOut, memory } = parts;
  const started = performance.now();
  const tokensAtStart = trainer.tokens;
  let secondsInSteps = 0;
  const flopsPerToken = account(parts.config, options.sequenceLength).flopsPerToken.training;
  let evaluation: Evaluation | undefined;
  let savedStep = trainer.step;
  const save = () => {
    run.syncMetrics();
    const { path: folder } = saveCheckpoint(run.paths.checkpoints, trainer.checkpoint(), options.keepCheckpoints);
    savedStep = trainer.step;
    context.onEvent?.({ type: "checkpoint", step: trainer.step, path: folder });
  };
  // A run that had reached its end has measured it too: its metrics say it once.
  const wasDone = trainer.isDone;
  const measure = () => {
    if (heldOut.bytes === 0) return;
    evaluation = evaluate(execution, model, heldOut);
    const { bitsPerByte, crossEntropy } = evaluation;
    const record = { heldOutBitsPerByte: bitsPerByte, heldOutCrossEntropy: crossEntropy };
    if (!wasDone) run.appendMetrics({ step: trainer.step, kind: "evaluation", ...record });
    context.onEvent?.({ type: "evaluation", step: trainer.step, bitsPerByte, crossEntropy });
  };
  while (!trainer.isDone) {
    if (context.signal?.aborted) {
      if (savedStep < trainer.step) save();
      throw new RookeryError(
        "INTERRUPTED",
        `stopped at step ${trainer.step} of ${options.steps}, saved in ${run.paths.path}`,
        `go on with: rookery train --resume --name ${run.paths.name}${options.runsFolder === "runs" ? "" : ` --runs-folder ${options.runsFolder}`}`,
      );
    }
    const stepStarted = performance.now();
    const report = trainer.runStep();
    const seconds = (performance.now() - stepStarted) / 1000;
    secondsInSteps += seconds;
    const tokensPerSecond = options.batchTokens / seconds;
    const shareOfPeak = (tokensPerSecond * flopsPerToken) / parts.peakFlops;
    const peakMemoryBytes = peakProcessBytes();
    run.appendMetrics(stepMetrics(report, { seconds, tokensPerSecond, shareOfPeak, peakMemoryBytes }));
    const elapsed = (performance.now() - started) / 1000;
    const done = trainer.tokens - tokensAtStart;
    const secondsLeft = ((options.steps ?? 0) - trainer.step) * options.batchTokens * (elapsed / Math.max(done, 1));
    context.onEvent?.(
      stepEvent(report, { steps: options.steps ?? 0, tokensPerSecond, shareOfPeak, peakMemoryBytes, secondsLeft }),
    );
    if (!report.updated) {
      context.onEvent?.({
        type: "warning",
        message: `step ${report.step} was skipped: its loss or gradient was not finite`,
      });
    }
    trainer.checkProgress(report);
    if (trainer.step % (options.evaluateEvery ?? Number.POSITIVE_INFINITY) === 0 && !trainer.isDone) measure();
    if (trainer.step % (options.checkpointEvery ?? Number.POSITIVE_INFINITY) === 0 && !trainer.isDone) save();
    // Lets the thread hear that it should stop.
    await new Promise((resolve) => setImmediate(resolve));
  }
  const seconds = (performance.now() - started) / 1000;
  measure();
  if (savedStep < trainer.step) save();
  const { tokenizer, tokenizerFolder, config, data } = parts;
  const facts = {
    name: run.paths.name,
    config,
    options,
    dataset: data.dataset,
    steps: trainer.step,
    tokens: trainer.tokens,
    evaluation,
  };
  saveModel(run.paths.model, { execution, model, tokenizer, tokenizerFolder, modelCard: modelCard(facts) });
  return {
    format: trainResultFormat,
    name: run.paths.name,
    runFolder: run.paths.path,
    modelFolder: run.paths.model,
    steps: trainer.step,
    tokens: trainer.tokens,
    bitsPerByte: evaluation?.bitsPerByte ?? null,
    heldOutCrossEntropy: evaluation?.crossEntropy ?? null,
    skippedSteps: trainer.skippedSteps,
    seconds,
    tokensPerSecond: (trainer.tokens - tokensAtStart) / Math.max(secondsInSteps, 1e-9),
    peakMemoryBytes: peakProcessBytes(),
    predictedMemoryBytes: memory.totalBytes,
    peakArenaBytes: execution.arena.peakBytes,
  };
}
