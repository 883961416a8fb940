/** The other side of `sft`, `reward` and `dpo`: runs the stage on its own thread, and sends what it tells to the one that asked. */
import { parentPort, workerData } from "node:worker_threads";
import { RookeryError } from "../base/errors.ts";
import type { FromWorker, ToWorker } from "./align.ts";
import { runStage } from "./run.ts";
import type { StageEvent } from "./stage.ts";

async function runAsWorker(send: (message: FromWorker) => void, { stage, options, stopFlag }: ToWorker): Promise<void> {
  const controller = new AbortController();
  const flag = new Int32Array(stopFlag);
  const onEvent = (event: StageEvent) => {
    send({ type: "event", event });
    if (Atomics.load(flag, 0) !== 0) controller.abort();
  };
  try {
    send({ type: "result", result: await runStage(stage, options, { signal: controller.signal, onEvent }) });
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
