/** A stage from its options to its model directory, resumable bit for bit. It blocks its thread step by step. */
import fs from "node:fs";
import { availableParallelism } from "node:os";
import path from "node:path";
import { makeRunConfig } from "../base/config.ts";
import { RookeryError } from "../base/errors.ts";
import { makeFolder } from "../base/files.ts";
import { folderOfRunOrDirectory } from "../interop/folders.ts";
import { type LoadedModel, loadModel } from "../interop/load.ts";
import { Execution } from "../tensor/execution.ts";
import { brokenCheckpoints, latestCheckpoint, openCheckpoint, removeCheckpointsAfter } from "../train/checkpoint.ts";
import { AdamW } from "../train/optimizer.ts";
import { tokenizerFolderOf } from "../train/prepare.ts";
import { createRun, openRun } from "../train/run-directory.ts";
import { expertLearningRateRatio, learningRate, type ScheduleSettings } from "../train/schedule.ts";
import { askedOptions } from "./asked-stage.ts";
import { weightsFingerprint } from "./chat-data.ts";
import { makeDpoStage } from "./dpo.ts";
import type { SettledOptions, StageOptions } from "./options.ts";
import { makeRewardStage } from "./reward.ts";
import { makeSftStage } from "./sft.ts";
import type { Stage, StageContext, StageName, StageParts, StageResult } from "./stage.ts";
import { StageRecord } from "./stage-record.ts";
import { type Counters, countersOfStart, type Running, restore } from "./stage-state.ts";

const makers: Record<StageName, (options: never, parts: StageParts, context: StageContext) => Promise<Stage>> = {
  sft: makeSftStage,
  reward: makeRewardStage,
  dpo: makeDpoStage,
};

/** Names the files that make a tokenizer. */
const tokenizerFiles = ["tokenizer.json", "tokenizer_config.json"];

/**
 * Runs a stage, or goes on with one. Between steps it looks at `signal`: when it is raised the run is saved and INTERRUPTED thrown.
 * @throws RookeryError as its parts do; RUN_EXISTS, NON_FINITE, and INVALID_OPTION for a run whose data or model has changed.
 */
export async function runStage(stage: StageName, given: StageOptions, context: StageContext): Promise<StageResult> {
  using resources = new DisposableStack();
  const asked = askedOptions(stage, given);
  const folder = folderOfRunOrDirectory(asked.model ?? "", asked.runsFolder);
  const base = await loadModel(folder, context);
  resources.use(base.model);
  const { config } = base;
  refuseUnfit(asked, base);
  const options: SettledOptions = {
    ...asked,
    finalLearningRate: finalLearningRateOf(asked),
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
  await keepTokenizer(base, tokenizerFolderOf(run.paths.path));
  const fingerprint = `${weightsFingerprint(folder)} ${made.fingerprint}`;
  const running: Running = { stage, options: settled, run, made, optimizer, fingerprint };

  for (const broken of given.resume ? brokenCheckpoints(run.paths.checkpoints) : []) {
    context.onEvent?.({ type: "warning", message: `${broken} has no whole manifest.json and is passed over` });
  }
  const latest = given.resume ? latestCheckpoint(run.paths.checkpoints) : null;
  using checkpoint = latest && openCheckpoint(latest.path);
  const counters = checkpoint ? restore(running, checkpoint) : countersOfStart();
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
  return await goOn(running, { step, counters }, context);
}

/** @throws RookeryError INVALID_OPTION for a model that cannot be trained, or not in rows of that length. */
function refuseUnfit({ sequenceLength }: StageOptions, { path: folder, quantization, config }: LoadedModel): void {
  if (quantization !== null) {
    throw new RookeryError("INVALID_OPTION", `${folder} has quantized weights`, "begin with the model before that");
  }
  const { maxPositionEmbeddings } = config;
  if (sequenceLength <= maxPositionEmbeddings) return;
  throw new RookeryError(
    "INVALID_OPTION",
    `sequenceLength ${sequenceLength} is over the model's ${maxPositionEmbeddings} positions`,
    `give --sequence-length ${maxPositionEmbeddings} or less`,
  );
}

/** A run between its first step and its model. */
async function goOn(
  running: Running,
  begin: { step: number; counters: Counters },
  context: StageContext,
): Promise<StageResult> {
  const { options, run, made, optimizer } = running;
  const { totalSteps } = made;
  const schedule = scheduleOf(options, totalSteps);
  const evaluateEvery = options.evaluateEvery ?? Math.max(1, Math.ceil(totalSteps / 10));
  const record = new StageRecord(running, begin.step, begin.counters, context);
  const wasDone = begin.step >= totalSteps;
  let { step } = begin;
  // what the stage begins with is measured, too: the first step changes it
  if (step === 0) {
    run.truncateMetrics(-1);
    record.measure(step);
  }
  while (step < totalSteps) {
    if (context.signal?.aborted) {
      record.save(step);
      throw record.stopped(step);
    }
    const startedMs = performance.now();
    const rate = learningRate(step + 1, schedule);
    const rates = { learningRate: rate, expertLearningRate: rate * (options.expertLearningRateRatio ?? 1) };
    const report = made.runStep(step + 1, optimizer, rates);
    step++;
    record.addStep(step, report, rates, (performance.now() - startedMs) / 1000);
    if (step % evaluateEvery === 0 && step < totalSteps) record.measure(step);
    if (step % options.checkpointEvery === 0 && step < totalSteps) record.save(step);
    // Lets the thread hear that it should stop.
    await new Promise((resolve) => setImmediate(resolve));
  }
  record.measure(step, !wasDone);
  record.save(step);
  if (made.settle()) record.measureSettled(step);
  const { name, path: runFolder, model: modelFolder } = run.paths;
  const { figures } = record;
  made.saveModel(modelFolder, { name, steps: step, figures, tokenizerFolder: tokenizerFolderOf(runFolder) });
  return record.result();
}

/** The report's SFT ends at a tenth of its peak (2e-5 to 2e-6). @throws RookeryError INVALID_OPTION for an end above the peak. */
function finalLearningRateOf({ learningRate, finalLearningRate = learningRate / 10 }: StageOptions): number {
  if (finalLearningRate <= learningRate) return finalLearningRate;
  throw new RookeryError(
    "INVALID_OPTION",
    `finalLearningRate ${finalLearningRate} is above the peak of ${learningRate}`,
    "lower it, or leave it out for a tenth of the peak",
  );
}

function scheduleOf(options: SettledOptions, totalSteps: number): ScheduleSettings {
  return {
    peakLearningRate: options.learningRate,
    totalSteps,
    warmupSteps: Math.round(totalSteps * options.warmupShare),
    annealingShare: 0,
    finalShare: options.finalLearningRate / options.learningRate,
  };
}

/** The run keeps its tokenizer: the files as they are, or what `tokenizer.json` is made of in the official layout. */
async function keepTokenizer({ path: from, tokenizer }: LoadedModel, to: string): Promise<void> {
  if (fs.existsSync(path.join(to, tokenizerFiles[0]!))) return;
  makeFolder(to);
  if (!fs.existsSync(path.join(from, tokenizerFiles[0]!))) return await tokenizer.save(to);
  for (const name of tokenizerFiles.toReversed()) {
    if (fs.existsSync(path.join(from, name))) fs.copyFileSync(path.join(from, name), path.join(to, name));
  }
}
