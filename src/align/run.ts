/** A stage from its options to its model directory, resumable bit for bit. It blocks its thread step by step. */
import fs from "node:fs";
import { availableParallelism } from "node:os";
import path from "node:path";
import type { z } from "zod";
import { makeRunConfig, resolveOptions } from "../base/config.ts";
import { RookeryError } from "../base/errors.ts";
import { makeFolder } from "../base/files.ts";
import { folderOfRunOrDirectory } from "../interop/folders.ts";
import { loadModel } from "../interop/load.ts";
import { Execution } from "../tensor/execution.ts";
import type { OpenCheckpoint } from "../train/checkpoint.ts";
import {
  brokenCheckpoints,
  latestCheckpoint,
  openCheckpoint,
  removeCheckpointsAfter,
  saveCheckpoint,
} from "../train/checkpoint.ts";
import { peakProcessBytes } from "../train/memory.ts";
import { AdamW } from "../train/optimizer.ts";
import { tokenizerFolderOf } from "../train/prepare.ts";
import { refuseContradictions } from "../train/resolve.ts";
import {
  createRun,
  isNameFree,
  openRun,
  type RunDirectory,
  refuseTakenName,
  runPaths,
} from "../train/run-directory.ts";
import { expertLearningRateRatio, learningRate, type ScheduleSettings } from "../train/schedule.ts";
import { tensorToWrite } from "../train/tensor-to-write.ts";
import { weightsFingerprint } from "./chat-data.ts";
import { makeDpoStage } from "./dpo.ts";
import { dpoOptionsSchema, rewardOptionsSchema, type StageOptions, sftOptionsSchema } from "./options.ts";
import { makeRewardStage } from "./reward.ts";
import { makeSftStage } from "./sft.ts";
import type { Figures, Stage, StageContext, StageName, StageParts } from "./stage.ts";
import { concernsOfHistory } from "./watch.ts";

export type StageResult = {
  format: "rookery-stage/1";
  stage: StageName;
  name: string;
  runFolder: string;
  modelFolder: string;
  steps: number;
  skippedSteps: number;
  /** Of the last measurement on held-out records. */
  figures: Figures;
  /** Records left out, by reason. */
  leftOut: Record<string, number>;
  seconds: number;
  tokensPerSecond: number;
  peakMemoryBytes: number;
};

const makers: Record<StageName, (options: never, parts: StageParts, context: StageContext) => Promise<Stage>> = {
  sft: makeSftStage,
  reward: makeRewardStage,
  dpo: makeDpoStage,
};

const schemas: Record<StageName, z.ZodType<StageOptions>> = {
  sft: sftOptionsSchema,
  reward: rewardOptionsSchema,
  dpo: dpoOptionsSchema,
};

/** Names the files that make a tokenizer. */
const tokenizerFiles = ["tokenizer.json", "tokenizer_config.json"];

/** Everything of a run that lives as long as it does. */
type Running = {
  stage: StageName;
  options: StageOptions;
  run: RunDirectory;
  made: Stage;
  optimizer: AdamW;
  execution: Execution;
};

/** What a run remembers besides weights and moments. */
type Counters = { tokens: number; skippedSteps: number; skippedInARow: number; measurements: Figures[] };

/**
 * Runs a stage, or goes on with one. Between steps it looks at `signal`: when it is raised the run is saved and INTERRUPTED thrown.
 * @throws RookeryError as its parts do; RUN_EXISTS, NON_FINITE, and INVALID_OPTION for a run whose data or model has changed.
 */
export async function runStage(stage: StageName, given: StageOptions, context: StageContext): Promise<StageResult> {
  using resources = new DisposableStack();
  const asked = given.resume ? storedOptions(stage, given) : newOptions(stage, given);
  const folder = folderOfRunOrDirectory(asked.model ?? "", asked.runsFolder);
  const base = await loadModel(folder, context);
  resources.use(base.model);
  const { config } = base;
  if (asked.sequenceLength > config.maxPositionEmbeddings) {
    throw new RookeryError(
      "INVALID_OPTION",
      `sequenceLength ${asked.sequenceLength} is over the model's ${config.maxPositionEmbeddings} positions`,
      "lower it",
    );
  }
  const options: StageOptions = {
    ...asked,
    threads: given.threads ?? asked.threads ?? availableParallelism(),
    expertLearningRateRatio:
      asked.expertLearningRateRatio ?? expertLearningRateRatio(config.numExperts, config.topK, 0.26),
  };
  const execution = resources.use(new Execution({ threads: options.threads ?? 1, computeType: options.computeType }));
  const made = resources.use(await makers[stage](options as never, { execution, base }, context));
  const settled = { ...options, steps: made.totalSteps };
  const optimizer = resources.use(new AdamW(made, settled));
  const name = settled.name ?? "";
  const run = resources.use(
    given.resume
      ? openRun(settled.runsFolder, name)
      : createRun(settled.runsFolder, name, makeRunConfig(stage, { ...settled, resume: false })),
  );
  copyTokenizer(folder, tokenizerFolderOf(run.paths.path));
  const running: Running = { stage, options: settled, run, made, optimizer, execution };
  const fingerprint = `${weightsFingerprint(folder)} ${made.fingerprint}`;

  for (const broken of given.resume ? brokenCheckpoints(run.paths.checkpoints) : []) {
    context.onEvent?.({ type: "warning", message: `${broken} has no whole manifest.json and is passed over` });
  }
  const latest = given.resume ? latestCheckpoint(run.paths.checkpoints) : null;
  using checkpoint = latest && openCheckpoint(latest.path);
  const counters = checkpoint
    ? restore(running, checkpoint, fingerprint)
    : { tokens: 0, skippedSteps: 0, skippedInARow: 0, measurements: [] };
  const step = checkpoint?.step ?? 0;
  if (given.resume) {
    removeCheckpointsAfter(run.paths.checkpoints, step);
    run.truncateMetrics(step);
  }
  context.onEvent?.({ type: "run", name, path: run.paths.path });
  context.onEvent?.({
    type: "note",
    message: `${step > 0 ? `resuming ${run.paths.path} at step ${step}` : run.paths.path}: ${made.summary}; ${made.totalSteps} steps`,
  });
  return await goOn(running, { step, counters, fingerprint }, context);
}

async function goOn(
  running: Running,
  begin: { step: number; counters: Counters; fingerprint: string },
  context: StageContext,
): Promise<StageResult> {
  const { stage, options, run, made, optimizer } = running;
  const { totalSteps } = made;
  const schedule = scheduleOf(options, totalSteps);
  const evaluateEvery = options.evaluateEvery ?? Math.max(1, Math.ceil(totalSteps / 10));
  const { counters } = begin;
  const started = performance.now();
  let { step } = begin;
  let savedStep = step;
  const told = new Set<string>();
  let [tokens, secondsInSteps] = [0, 0];
  let figures: Figures = {};
  const save = () => {
    run.syncMetrics();
    const contents = checkpointOf(running, step, counters, begin.fingerprint);
    const { path: folder } = saveCheckpoint(run.paths.checkpoints, contents, options.keepCheckpoints);
    savedStep = step;
    context.onEvent?.({ type: "checkpoint", step, path: folder });
  };
  const warn = (concerns: readonly string[]) => {
    for (const concern of concerns) {
      if (!told.has(concern)) context.onEvent?.({ type: "warning", message: `step ${step}: ${concern}` });
      told.add(concern);
    }
  };
  const measure = (isNew: boolean) => {
    figures = made.evaluate();
    if (Object.keys(figures).length === 0) return;
    context.onEvent?.({ type: "stage-evaluation", step, figures });
    if (!isNew) return;
    run.appendMetrics({ step, kind: "stage-evaluation", ...figures });
    counters.measurements.push(figures);
    warn(concernsOfHistory(counters.measurements));
  };
  const wasDone = step >= totalSteps;
  // what the stage begins with is measured, too: the first step changes it
  if (step === 0) {
    run.truncateMetrics(-1);
    measure(true);
  }
  while (step < totalSteps) {
    if (context.signal?.aborted) {
      if (savedStep < step) save();
      const folder = options.runsFolder === "runs" ? "" : ` --runs-folder ${options.runsFolder}`;
      throw new RookeryError(
        "INTERRUPTED",
        `stopped at step ${step} of ${totalSteps}, saved in ${run.paths.path}`,
        `go on with: rookery ${stage} --resume --name ${run.paths.name}${folder}`,
      );
    }
    const stepStarted = performance.now();
    const rate = learningRate(step + 1, schedule);
    const rates = { learningRate: rate, expertLearningRate: rate * (options.expertLearningRateRatio ?? 1) };
    const { layers, figures: stepFigures, concerns = [], ...report } = made.runStep(step + 1, optimizer, rates);
    step++;
    const seconds = (performance.now() - stepStarted) / 1000;
    secondsInSteps += seconds;
    tokens += report.tokens;
    const tokensPerSecond = report.tokens / seconds;
    counters.tokens += report.tokens;
    const { loss, ...rest } = report;
    run.appendMetrics({
      step,
      kind: "step",
      crossEntropy: loss,
      ...rest,
      // since the start, as in the metrics of training
      tokens: counters.tokens,
      ...rates,
      ...stepFigures,
      seconds,
      tokensPerSecond,
      layers,
    });
    warn(concerns);
    counters.skippedInARow = report.updated ? 0 : counters.skippedInARow + 1;
    if (!report.updated) {
      counters.skippedSteps++;
      context.onEvent?.({ type: "warning", message: `step ${step} was skipped: its loss or gradient was not finite` });
    }
    const secondsLeft = ((performance.now() - started) / 1000 / (step - begin.step)) * (totalSteps - step);
    const { gradientNorm } = report;
    const shown = { loss, gradientNorm, learningRate: rate, tokensPerSecond, secondsLeft, figures: stepFigures };
    context.onEvent?.({ type: "stage-step", step, steps: totalSteps, ...shown });
    if (counters.skippedInARow >= options.maxSkippedSteps) {
      throw new RookeryError(
        "NON_FINITE",
        `loss ${loss} or gradient norm ${gradientNorm} was not finite for ${counters.skippedInARow} steps in a row, up to step ${step}`,
        "start it anew under another --name with a lower --learning-rate",
      );
    }
    if (step % evaluateEvery === 0 && step < totalSteps) measure(true);
    if (step % options.checkpointEvery === 0 && step < totalSteps) save();
    // Lets the thread hear that it should stop.
    await new Promise((resolve) => setImmediate(resolve));
  }
  measure(!wasDone);
  if (savedStep < step) save();
  const { path: runFolder, model: modelFolder, name } = run.paths;
  made.saveModel(modelFolder, { name, steps: step, figures, tokenizerFolder: tokenizerFolderOf(runFolder) });
  return {
    format: "rookery-stage/1",
    stage,
    name,
    runFolder,
    modelFolder,
    steps: step,
    skippedSteps: counters.skippedSteps,
    figures,
    leftOut: { ...made.leftOut },
    seconds: (performance.now() - started) / 1000,
    tokensPerSecond: tokens / Math.max(secondsInSteps, 1e-9),
    peakMemoryBytes: peakProcessBytes(),
  };
}

function scheduleOf(options: StageOptions, totalSteps: number): ScheduleSettings {
  return {
    peakLearningRate: options.learningRate,
    totalSteps,
    warmupSteps: Math.round(totalSteps * options.warmupShare),
    annealingShare: 0,
    finalShare: options.finalLearningRate / options.learningRate,
  };
}

function checkpointOf({ made, optimizer }: Running, step: number, counters: Counters, fingerprint: string) {
  const weights = made.trainedParameters().map(({ parameter }) => tensorToWrite(parameter.name, parameter.weight));
  const extra = made.extraState().map(({ name, tensor }) => tensorToWrite(name, tensor));
  return {
    step,
    weights: [...weights, ...extra],
    optimizer: optimizer.stateTensors().map(({ name, tensor }) => tensorToWrite(name, tensor)),
    state: { ...counters, optimizerSteps: optimizer.steps, fingerprint },
  };
}

function restore({ made, optimizer, run }: Running, checkpoint: OpenCheckpoint, fingerprint: string): Counters {
  const state = checkpoint.state as Counters & { optimizerSteps: number; fingerprint: string };
  if (state.fingerprint !== fingerprint) {
    throw new RookeryError(
      "INVALID_OPTION",
      `the data or the model of ${run.paths.path} is not what the run began with`,
      "put them back, or start a new run",
    );
  }
  for (const { parameter } of made.trainedParameters())
    parameter.weight.setBytes(checkpoint.weights.read(parameter.name));
  for (const { name, tensor } of made.extraState()) tensor.setBytes(checkpoint.weights.read(name));
  for (const { name, tensor } of optimizer.stateTensors()) tensor.setBytes(checkpoint.optimizer.read(name));
  optimizer.restoreSteps(state.optimizerSteps);
  const { tokens, skippedSteps, skippedInARow, measurements } = state;
  return { tokens, skippedSteps, skippedInARow, measurements };
}

/** A name that is given must be free; without one, it is the stage with the next free number. */
function newOptions(stage: StageName, options: StageOptions): StageOptions {
  const { runsFolder, model, data } = options;
  if (model === undefined || data.length === 0) {
    throw new RookeryError(
      "INVALID_OPTION",
      `rookery ${stage} needs ${model === undefined ? "a model to begin with" : "data to learn from"}`,
      `give them: rookery ${stage} MODEL --data FILE`,
    );
  }
  if (options.name !== undefined) {
    refuseTakenName(runPaths(runsFolder, options.name));
    return options;
  }
  let number = 1;
  while (!isNameFree(runPaths(runsFolder, `${stage}-${number}`))) number++;
  return { ...options, name: `${stage}-${number}` };
}

/** The stored options of a run that goes on. */
function storedOptions(stage: StageName, given: StageOptions): StageOptions {
  if (given.name === undefined) {
    throw new RookeryError("INVALID_OPTION", "--resume needs to know which run", "name it with --name RUN");
  }
  using run = openRun(given.runsFolder, given.name);
  const { command, options } = run.config;
  if (command !== stage) {
    throw new RookeryError(
      "INVALID_OPTION",
      `${run.paths.config} is of a run of rookery ${command}, not of ${stage}`,
      "correct --name",
    );
  }
  const schema = schemas[stage];
  const stored = resolveOptions(schema, [{ name: run.paths.config, values: options }]);
  refuseContradictions(given, stored, schema.parse({}));
  return { ...stored, runsFolder: given.runsFolder };
}

/** The run keeps its tokenizer. */
function copyTokenizer(from: string, to: string): void {
  if (fs.existsSync(path.join(to, tokenizerFiles[0]!))) return;
  makeFolder(to);
  for (const name of tokenizerFiles) {
    if (fs.existsSync(path.join(from, name))) fs.copyFileSync(path.join(from, name), path.join(to, name));
  }
}
