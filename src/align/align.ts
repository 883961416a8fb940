/** The stages as functions: a worker does the work, so the caller's thread stays free for signals, HTTP and drawing. */
import path from "node:path";
import { Worker } from "node:worker_threads";
import { type ErrorCode, RookeryError } from "../base/errors.ts";
import {
  type DpoOptionsInput,
  dpoOptionsSchema,
  type RewardOptionsInput,
  rewardOptionsSchema,
  type SftOptionsInput,
  type StageOptions,
  sftOptionsSchema,
} from "./options.ts";
import type { StageResult } from "./run.ts";
import type { StageContext, StageEvent, StageName } from "./stage.ts";

export type ToWorker = { stage: StageName; options: StageOptions; stopFlag: SharedArrayBuffer };

export type FromWorker =
  | { type: "event"; event: StageEvent }
  | { type: "result"; result: StageResult }
  | { type: "failure"; code: ErrorCode; message: string; hint: string };

/**
 * Fine-tunes a model on conversations, or goes on with such a run (`resume`), as `runs/NAME` in `runsFolder`. When `signal` is raised,
 * the run is saved after the current step and the promise is rejected with INTERRUPTED.
 * @throws RookeryError naming what is wrong with the options, the data, the disk or the run.
 */
export function sft(options: SftOptionsInput, context: StageContext = {}): Promise<StageResult> {
  return onThread("sft", sftOptionsSchema.parse(options), context);
}

/** Trains a reward model on preference pairs. As `sft`. */
export function reward(options: RewardOptionsInput, context: StageContext = {}): Promise<StageResult> {
  return onThread("reward", rewardOptionsSchema.parse(options), context);
}

/** Aligns a model to preference pairs, and to pairs that it samples itself, by DPO. As `sft`. */
export function dpo(options: DpoOptionsInput, context: StageContext = {}): Promise<StageResult> {
  return onThread("dpo", dpoOptionsSchema.parse(options), context);
}

async function onThread(
  stage: StageName,
  options: StageOptions,
  { signal, onEvent }: StageContext,
): Promise<StageResult> {
  const stopFlag = new SharedArrayBuffer(4);
  const workerData: ToWorker = { stage, options, stopFlag };
  // in a clone this file is .ts, in the package .js, and so is its neighbour
  const worker = new Worker(path.join(import.meta.dirname, `worker${path.extname(import.meta.filename)}`), {
    workerData,
  });
  const stop = () => Atomics.store(new Int32Array(stopFlag), 0, 1);
  if (signal?.aborted) stop();
  signal?.addEventListener("abort", stop);
  try {
    return await new Promise<StageResult>((resolve, reject) => {
      worker.on("message", (message: FromWorker) => {
        if (message.type === "event") onEvent?.(message.event);
        else if (message.type === "result") resolve(message.result);
        else reject(new RookeryError(message.code, message.message, message.hint));
      });
      worker.on("error", reject);
      worker.on("exit", () => reject(new Error("the thread of the stage ended without an answer")));
    });
  } finally {
    signal?.removeEventListener("abort", stop);
    await worker.terminate();
  }
}
