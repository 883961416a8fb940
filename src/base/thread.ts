/** Work that blocks its thread, on a thread of its own: events come back while it goes, and a raised signal reaches it. */
import path from "node:path";
import { parentPort, Worker, workerData } from "node:worker_threads";
import { type ErrorCode, RookeryError } from "./errors.ts";
import type { CommandContext } from "./events.ts";

type ToThread = { work: unknown; stopFlag: SharedArrayBuffer };

type FromThread =
  | { type: "event"; event: unknown }
  | { type: "result"; result: unknown }
  | { type: "failure"; code: ErrorCode; message: string; hint: string };

/**
 * Options of a thread that runs a file, for a process that `node --eval` was told by a flag which language it is given: Node refuses
 * that flag for files. Any other process says nothing: its threads have its flags, of which some (those of V8, and those that the
 * test runner passes on) may be had but not named.
 */
export function threadFlags(): { execArgv?: string[] } {
  return process.execArgv.some((word) => word.startsWith("--input-type")) ? { execArgv: [] } : {};
}

/**
 * Starts `worker.ts` of `folder`, which calls `answerOnThread`, and waits for its result. `work` and what comes back are copied.
 * @throws RookeryError that the work has thrown; what `onEvent` throws, which ends the work; Error if the thread ends without an answer.
 */
export async function runOnThread<Work, Event, Result>(
  folder: string,
  work: Work,
  { signal, onEvent }: CommandContext<Event>,
): Promise<Result> {
  const stopFlag = new SharedArrayBuffer(4);
  // in a clone this file is .ts, in the package .js, and so is every other
  const file = path.join(folder, `worker${path.extname(import.meta.filename)}`);
  const worker = new Worker(file, { workerData: { work, stopFlag } satisfies ToThread, ...threadFlags() });
  const stop = () => Atomics.store(new Int32Array(stopFlag), 0, 1);
  if (signal?.aborted) stop();
  signal?.addEventListener("abort", stop);
  try {
    return await new Promise<Result>((resolve, reject) => {
      // thrown in a listener it would end the caller's process
      const tell = (event: Event) => {
        try {
          onEvent?.(event);
        } catch (error) {
          reject(error);
        }
      };
      worker.on("message", (message: FromThread) => {
        if (message.type === "event") tell(message.event as Event);
        else if (message.type === "result") resolve(message.result as Result);
        else reject(new RookeryError(message.code, message.message, message.hint));
      });
      worker.on("error", reject);
      worker.on("exit", () => reject(new Error(`the thread of ${file} ended without an answer`)));
    });
  } finally {
    signal?.removeEventListener("abort", stop);
    await worker.terminate();
  }
}

/** The other side of `runOnThread`: does the work that this thread was started for. Its signal is looked at with each event. */
export async function answerOnThread<Work, Event, Result>(
  run: (work: Work, context: CommandContext<Event>) => Promise<Result>,
): Promise<void> {
  const port = parentPort;
  if (!port) return;
  const send = (message: FromThread) => port.postMessage(message);
  const { work, stopFlag } = workerData as ToThread;
  const controller = new AbortController();
  const flag = new Int32Array(stopFlag);
  const onEvent = (event: Event) => {
    send({ type: "event", event });
    if (Atomics.load(flag, 0) !== 0) controller.abort();
  };
  try {
    send({ type: "result", result: await run(work as Work, { signal: controller.signal, onEvent }) });
  } catch (error) {
    if (error instanceof RookeryError) {
      send({ type: "failure", code: error.code, message: error.message, hint: error.hint });
    } else if (controller.signal.aborted) {
      send({ type: "failure", code: "INTERRUPTED", message: "stopped before the first step", hint: "start it again" });
    } else throw error;
  }
}
