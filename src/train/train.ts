/** Training as one function: a worker does the work, so the caller's thread stays free for signals, HTTP and drawing. */
import path from "node:path";
import { Worker } from "node:worker_threads";
import { type ErrorCode, RookeryError } from "../base/errors.ts";
import type { CommandContext } from "../base/events.ts";
import type { TrainingEvent } from "./events.ts";
import { type TrainOptions, type TrainOptionsInput, trainOptionsSchema } from "./options.ts";
import type { TrainResult } from "./run.ts";

export type ToWorker = { options: TrainOptions; stopFlag: SharedArrayBuffer };

export type FromWorker =
  | { type: "event"; event: TrainingEvent }
  | { type: "result"; result: TrainResult }
  | { type: "failure"; code: ErrorCode; message: string; hint: string };

/**
 * Trains a model, or goes on with a run (`resume`), as `runs/NAME` in `runsFolder`. When `signal` is raised, the run is saved after
 * the current step and the promise is rejected with INTERRUPTED. Two calls in one process do not disturb each other.
 * @throws RookeryError naming what is wrong with the options, the data, the disk or the run.
 */
export async function train(
  given: TrainOptionsInput,
  { signal, onEvent }: CommandContext<TrainingEvent> = {},
): Promise<TrainResult> {
  const stopFlag = new SharedArrayBuffer(4);
  const workerData: ToWorker = { options: trainOptionsSchema.parse(given), stopFlag };
  // in a clone this file is .ts, in the package .js, and so is its neighbour
  const worker = new Worker(path.join(import.meta.dirname, `worker${path.extname(import.meta.filename)}`), {
    workerData,
  });
  const stop = () => Atomics.store(new Int32Array(stopFlag), 0, 1);
  if (signal?.aborted) stop();
  signal?.addEventListener("abort", stop);
  try {
    return await new Promise<TrainResult>((resolve, reject) => {
      worker.on("message", (message: FromWorker) => {
        if (message.type === "event") onEvent?.(message.event);
        else if (message.type === "result") resolve(message.result);
        else reject(new RookeryError(message.code, message.message, message.hint));
      });
      worker.on("error", reject);
      worker.on("exit", () => reject(new Error("the training thread ended without an answer")));
    });
  } finally {
    signal?.removeEventListener("abort", stop);
    await worker.terminate();
  }
}
