/** The other side of `train`: runs the training on its own thread, and sends what it tells to the thread that started it. */
import { parentPort, workerData } from "node:worker_threads";
import { RookeryError } from "../base/errors.ts";
import type { TrainingEvent } from "./events.ts";
import { runTraining } from "./run.ts";
import type { FromWorker, ToWorker } from "./train.ts";

async function runAsWorker(send: (message: FromWorker) => void, { options, stopFlag }: ToWorker): Promise<void> {
  const controller = new AbortController();
  const flag = new Int32Array(stopFlag);
  const onEvent = (event: TrainingEvent) => {
    send({ type: "event", event });
    if (Atomics.load(flag, 0) !== 0) controller.abort();
  };
  try {
    send({ type: "result", result: await runTraining(options, { signal: controller.signal, onEvent }) });
  } catch (error) {
    if (error instanceof RookeryError) {
      send({ type: "failure", code: error.code, message: error.message, hint: error.hint });
    } else if (controller.signal.aborted) {
      send({ type: "failure", code: "INTERRUPTED", message: "stopped before the first step", hint: "start it again" });
    } else throw error;
  }
}

const port = parentPort;
if (port) await runAsWorker((message) => port.postMessage(message), workerData as ToWorker);
