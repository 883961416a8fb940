/** A training run from its options to its model directory. It blocks its thread step by step: `train` puts it on a worker. */
import fs from "node:fs";
import { makeRunConfig } from "../base/config.ts";
import { RookeryError } from "../base/errors.ts";
import type { CommandContext } from "../base/events.ts";
import type { HeldOut } from "../data/held-out.ts";
import type { PreparedData } from "../data/prepare.ts";
import { chooseLayout } from "../interop/layout.ts";
import { measurePeakFlops } from "../kernels/bindings/peak.ts";
import { account } from "../model/accounting.ts";
import type { ModelConfig } from "../model/config.ts";
import { Transformer } from "../model/transformer.ts";
import { Execution } from "../tensor/execution.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { askedRun } from "./asked-run.ts";
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
import type { TrainOptions } from "./options.ts";
import {
  heldOutOf,
  loadBeginning,
  modelConfigOf,
  optionsFrom,
  prepareTokenizer,
  prepareTrainingData,
  tokenizerFolderOf,
} from "./prepare.ts";
import { type Budget, resolveTrainOptions } from "./resolve.ts";
import { createRun, openRun, type RunDirectory, runPaths } from "./run-directory.ts";
import { saveModel } from "./save-model.ts";
import { openStream, pretrainingName, resolveStages, type Segment, segmentsOf, settleLengths } from "./segments.ts";
import { makeStagingFolder, moveTokenizer } from "./staging.ts";
import { stepEvent, stepMetrics } from "./step-metrics.ts";
import { type SegmentSettings, Trainer, type TrainerParts, type TrainerSettings } from "./trainer.ts";

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
/** Of the time that a token takes in an update, about what it takes forward. */
const forwardShare = 1 / 3;
/** Updates that are timed before a run: enough to foretell minutes, and a small part of a run whose steps are told. */
const measuredStepsOf = (budget: Budget) => ("steps" in budget ? Math.min(8, Math.ceil(budget.steps / 40)) : 8);

/** Everything of a run that lives as long as it does. */
type Parts = {
  options: TrainOptions;
  segments: readonly Segment[];
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
  const { options: asked, name, budget } = askedRun(given);
  const { path: runFolder, checkpoints } = runPaths(asked.runsFolder, name);
  const latest = given.resume ? latestCheckpoint(checkpoints) : null;
  const begun = latest ? undefined : await loadBeginning(asked, context);
  if (begun) resources.use(begun.model);
  const known = begun ? optionsFrom(asked, begun) : asked;
  const config = modelConfigOf(known);
  // a shape that no directory can hold is a mistake to hear of now, not when it is to be saved
  chooseLayout(config);
  const resolved = resolveStages(resolveTrainOptions(known, config), config);
  // The tokenizer is made before the run is: a run has all its settings, and the tokenizer is one of them.
  const staging = given.resume ? undefined : makeStagingFolder(resolved.runsFolder);
  resources.defer(() => {
    if (staging !== undefined) fs.rmSync(staging, { recursive: true, force: true });
  });
  const { tokenizer, folder: tokenizerFolder } = await prepareTokenizer(
    resolved,
    config,
    staging ?? runFolder,
    context,
  );
  const data = await prepareTrainingData(resolved, tokenizer, tokenizerFolder, context);
  resources.defer(() => data.dataset.dispose());

  const execution = resources.use(new Execution({ ...resolved, threads: resolved.threads ?? 1 }));
  const memory = memoryOf(segmentsOf(resolved, config, data.mixtures), resolved, context);
  execution.arena.reserve(memory.arenaBytes);
  const model = begun?.model ?? resources.use(new Transformer(config));
  const optimizer = resources.use(new AdamW(model, resolved));
  const peakFlops = measurePeakFlops(execution.pool, resolved.computeType);
  if (!begun) model.initialize(resolved.seed, resolved.initialization);

  const heldOut = heldOutOf(data.dataset, resolved, tokenizer, heldOutTokens);

  let options = resolved;
  const streams = { sources: data.dataset.train, seed: resolved.seed };
  const trainerParts = (segments: readonly Segment[]): TrainerParts => ({
    ...{ execution, model, optimizer },
    enter: (index, position) => {
      model.changePositions(segments[index]!.config);
      return openStream(segments[index]!, { ...streams, index }, position);
    },
  });
  // a mixture that cannot be had is a mistake to hear of now, not when its stage begins
  for (const [index, segment] of segmentsOf(resolved, config, data.mixtures).entries()) {
    const { main } = segment.mixtures;
    const stream = openStream(segment, { ...streams, index });
    if (main) stream.setMixture(main);
  }
  if (budget) {
    const segments = segmentsOf(resolved, config, data.mixtures);
    const [{ batchTokens } = resolved] = segments;
    const secondsPerStep = measureStep(trainerParts(segments), resolved, segments[0]!, budget, context);
    const stepsPerEvaluation = (heldOut.tokens / batchTokens) * forwardShare;
    options = settleLengths(resolved, budget, { secondsPerStep, stepsPerEvaluation, batchTokens });
  }
  const segments = segmentsOf(options, config, data.mixtures);
  const run = resources.use(
    given.resume
      ? openRun(options.runsFolder, name)
      : createRun(options.runsFolder, name, makeRunConfig("train", { ...options, name, resume: false })),
  );
  if (staging !== undefined) moveTokenizer(staging, runFolder);
  const parts: Parts = {
    options,
    segments,
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
  using checkpoint = latest && openCheckpoint(latest.path);
  const trainer = new Trainer(trainerParts(segments), trainerSettings(options, segments));
  if (checkpoint) trainer.restore(checkpoint);
  if (given.resume) {
    removeCheckpointsAfter(run.paths.checkpoints, trainer.step);
    run.truncateMetrics(trainer.step);
  }
  context.onEvent?.({ type: "run", name: run.paths.name, path: run.paths.path });
  context.onEvent?.({ type: "note", message: describeRun(parts, trainer) });
  return await trainToTheEnd(parts, trainer, context);
}

/** The most that any segment needs; warns of a run that will not fit. */
function memoryOf(
  segments: readonly Segment[],
  options: TrainOptions,
  context: CommandContext<TrainingEvent>,
): TrainingMemory {
  const needs = segments.map((segment) => {
    const settings = memorySettingsOf({
      ...options,
      ...segment,
      microBatchTokens: segment.rows * segment.sequenceLength,
    });
    return { config: segment.config, settings, memory: predictTrainingMemory(segment.config, settings) };
  });
  const most = needs.reduce((most, one) => (one.memory.totalBytes > most.memory.totalBytes ? one : most));
  const warning = memoryWarning(most.config, most.settings, most.memory, process.availableMemory());
  if (warning) context.onEvent?.({ type: "warning", message: warning });
  return most.memory;
}

function trainerSettings(options: TrainOptions, segments: readonly SegmentSettings[]): TrainerSettings {
  return {
    segments,
    routing: {
      mode: options.routing,
      capacityFactor: options.capacityFactor,
      balanceCoefficient: options.balanceCoefficient,
      zCoefficient: options.zCoefficient,
    },
    expertLearningRateRatio: options.expertLearningRateRatio ?? 1,
    maxGradientNorm: options.maxGradientNorm,
    seed: options.seed,
    maxSkippedSteps: options.maxSkippedSteps,
  };
}

/** Seconds an update of a segment takes, from a few at rate 0, which leave the weights as they were. */
function measureStep(
  parts: TrainerParts,
  options: TrainOptions,
  segment: Segment,
  budget: Budget,
  context: CommandContext<TrainingEvent>,
): number {
  const measuredSteps = measuredStepsOf(budget);
  const schedule = { ...segment.schedule, totalSteps: measuredSteps + 1, peakLearningRate: Number.MIN_VALUE };
  const still = { ...segment, schedule, mixtures: { main: undefined, annealing: undefined } };
  const trainer = new Trainer(parts, trainerSettings(options, [still]));
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
  // the lower quartile: what else the machine does in these seconds is not what it does all the time
  return times.slice(1).sort((a, b) => a - b)[Math.floor(measuredSteps / 4)]!;
}

function describeRun({ options, segments, config, data, run, memory }: Parts, trainer: Trainer): string {
  const { parameters } = account(config);
  const stretches = segments.map(({ name, schedule, sequenceLength, batchTokens }) => {
    const updates = `${schedule.totalSteps} steps of ${batchTokens} tokens`;
    return segments.length === 1 && name === pretrainingName
      ? updates
      : `${name}: ${updates} in rows of ${sequenceLength}`;
  });
  return (
    `${trainer.step > 0 ? `resuming ${run.paths.path} at step ${trainer.step}` : run.paths.path}: ${compactCount(parameters.total)} parameters, ` +
    `${compactCount(parameters.activated)} activated; ${stretches.join(", ")} from ${compactCount(data.dataset.tokens("train"))}; ` +
    `experts learn at ${(options.expertLearningRateRatio ?? 1).toFixed(3)} of the dense rate; ` +
    `about ${(memory.totalBytes / 1e9).toFixed(2)} GB of memory`
  );
}

async function trainToTheEnd(
  parts: Parts,
  trainer: Trainer,
  context: CommandContext<TrainingEvent>,
): Promise<TrainResult> {
  const { options, segments, run, execution, model, heldOut, memory } = parts;
  const totalSteps = segments.reduce((sum, { schedule }) => sum + schedule.totalSteps, 0);
  const totalTokens = segments.reduce((sum, { schedule, batchTokens }) => sum + schedule.totalSteps * batchTokens, 0);
  const started = performance.now();
  const tokensAtStart = trainer.tokens;
  let secondsInSteps = 0;
  const flopsPerToken = segments.map(({ config, sequenceLength }) => {
    return account(config, sequenceLength).flopsPerToken.training;
  });
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
  if (options.from !== undefined && trainer.step === 0) {
    // what it was before, at its own RoPE base
    model.changePositions(parts.config);
    measure();
  }
  while (!trainer.isDone) {
    if (context.signal?.aborted) {
      if (savedStep < trainer.step) save();
      throw new RookeryError(
        "INTERRUPTED",
        `stopped at step ${trainer.step} of ${totalSteps}, saved in ${run.paths.path}`,
        `go on with: rookery train --resume --name ${run.paths.name}${options.runsFolder === "runs" ? "" : ` --runs-folder ${options.runsFolder}`}`,
      );
    }
    const stepStarted = performance.now();
    const report = trainer.runStep();
    const seconds = (performance.now() - stepStarted) / 1000;
    secondsInSteps += seconds;
    const { index, isOver } = trainer.segment;
    const { name: stage, batchTokens } = segments[index]!;
    const tokensPerSecond = batchTokens / seconds;
    const shareOfPeak = (tokensPerSecond * flopsPerToken[index]!) / parts.peakFlops;
    const peakMemoryBytes = peakProcessBytes();
    run.appendMetrics(stepMetrics(report, { stage, seconds, tokensPerSecond, shareOfPeak, peakMemoryBytes }));
    const elapsed = (performance.now() - started) / 1000;
    const done = trainer.tokens - tokensAtStart;
    const secondsLeft = (totalTokens - trainer.tokens) * (elapsed / Math.max(done, 1));
    context.onEvent?.(
      stepEvent(report, { stage, steps: totalSteps, tokensPerSecond, shareOfPeak, peakMemoryBytes, secondsLeft }),
    );
    if (!report.updated) {
      context.onEvent?.({
        type: "warning",
        message: `step ${report.step} was skipped: its loss or gradient was not finite`,
      });
    }
    trainer.checkProgress(report);
    const isDue = trainer.step % (options.evaluateEvery ?? Number.POSITIVE_INFINITY) === 0;
    if ((isDue || isOver) && !trainer.isDone) measure();
    if (trainer.step % (options.checkpointEvery ?? Number.POSITIVE_INFINITY) === 0 && !trainer.isDone) save();
    // Lets the thread hear that it should stop.
    await new Promise((resolve) => setImmediate(resolve));
  }
  const seconds = (performance.now() - started) / 1000;
  measure();
  if (savedStep < trainer.step) save();
  const { tokenizer, tokenizerFolder, data } = parts;
  const facts = {
    name: run.paths.name,
    config: model.config,
    options,
    segments,
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
