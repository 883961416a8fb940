/** An engine on a thread of its own, so that the caller's thread never waits for a step. */
import path from "node:path";
import { Worker } from "node:worker_threads";
import { parseOptions } from "../base/config.ts";
import { type ErrorCode, RookeryError } from "../base/errors.ts";
import type { CommandContext, RookeryEvent } from "../base/events.ts";
import { threadFlags } from "../base/thread.ts";
import { type ModelDirectory, readModelDirectory } from "../interop/model-directory.ts";
import { Tokenizer } from "../text/tokenizer.ts";
import type { EngineOutput } from "./engine.ts";
import { EngineClient } from "./engine-client.ts";
import type { Work } from "./engine-loop.ts";
import { type EngineOptions, type EngineOptionsInput, engineOptionsSchema } from "./options.ts";
import type { EngineInfo, EngineStats } from "./request.ts";

export type EngineWorkerData = { modelFolder: string; options: EngineOptions };

export type ToEngineWorker =
  | { type: "start"; id: number; work: Work }
  | { type: "cancel"; id: number }
  | { type: "stats" }
  | { type: "close" };

export type FromEngineWorker =
  | { type: "progress"; event: RookeryEvent }
  | { type: "ready"; info: EngineInfo }
  | { type: "outputs"; outputs: EngineOutput[] }
  | { type: "stats"; stats: EngineStats }
  | { type: "failure"; code: ErrorCode; message: string; hint: string };

/** An engine, and what its model directory says of how to talk to it. */
export type StartedEngine = EngineClient & { tokenizer: Tokenizer; directory: ModelDirectory };

/**
 * Loads a model directory on a thread of its own and starts an engine there. `signal` ends the loading, not the engine.
 * @throws RookeryError what `loadModel` throws, INVALID_OPTION for a cache that does not hold the longest text; the
 * signal's reason. Later errors reach whoever waits for an answer.
 */
export async function startEngine(
  modelFolder: string,
  given: EngineOptionsInput = {},
  { signal, onEvent }: CommandContext = {},
): Promise<StartedEngine> {
  const options = parseOptions(engineOptionsSchema, given);
  const directory = readModelDirectory(modelFolder);
  const tokenizer = await Tokenizer.load(modelFolder);
  signal?.throwIfAborted();
  const workerData: EngineWorkerData = { modelFolder, options };
  // in a clone this file is .ts, in the package .js, and so is its neighbour
  const file = path.join(import.meta.dirname, `worker${path.extname(import.meta.filename)}`);
  const thread = new EngineThread(new Worker(file, { workerData, ...threadFlags() }), onEvent);
  const stop = () => void thread.end(signal?.reason);
  signal?.addEventListener("abort", stop);
  try {
    const client = await thread.ready;
    return Object.assign(client, { tokenizer, directory });
  } finally {
    signal?.removeEventListener("abort", stop);
  }
}

class EngineThread {
  /** The engine's client, once the model is loaded. */
  readonly ready: Promise<EngineClient>;
  readonly #worker: Worker;
  readonly #exited: Promise<unknown>;
  readonly #statsWanted: PromiseWithResolvers<EngineStats>[] = [];
  #client: EngineClient | undefined;
  #rejectReady: (error: unknown) => void = () => {};

  constructor(worker: Worker, onEvent: CommandContext["onEvent"]) {
    this.#worker = worker;
    this.#exited = new Promise((resolve) => worker.once("exit", resolve));
    const ready = Promise.withResolvers<EngineClient>();
    this.ready = ready.promise;
    this.#rejectReady = ready.reject;
    worker.on("message", (message: FromEngineWorker) => {
      if (message.type === "outputs") this.#client?.deliver(message.outputs);
      else if (message.type === "stats") this.#statsWanted.shift()?.resolve(message.stats);
      else if (message.type === "progress") this.#tell(message.event, onEvent);
      else if (message.type === "ready") ready.resolve(this.#connect(message.info));
      else this.#fail(new RookeryError(message.code, message.message, message.hint));
    });
    worker.on("error", (error) => this.#fail(stopped(`has failed: ${error.message}`, error)));
    worker.on("exit", () => this.#fail(stopped("has ended")));
  }

  /** What `onEvent` throws ends the loading, and not the caller's process. */
  #tell(event: RookeryEvent, onEvent: CommandContext["onEvent"]): void {
    try {
      onEvent?.(event);
    } catch (error) {
      void this.end(error);
    }
  }

  /** Ends the thread; who waits gets `reason`. */
  async end(reason: unknown): Promise<void> {
    this.#fail(reason);
    await this.#worker.terminate();
  }

  #connect(info: EngineInfo): EngineClient {
    const send = (message: ToEngineWorker) => this.#worker.postMessage(message);
    this.#client = new EngineClient(info, {
      start: (id, work) => send({ type: "start", id, work }),
      cancel: (id) => send({ type: "cancel", id }),
      stats: () => {
        const wanted = Promise.withResolvers<EngineStats>();
        this.#statsWanted.push(wanted);
        send({ type: "stats" });
        return wanted.promise;
      },
      close: async () => {
        send({ type: "close" });
        await this.#exited;
      },
    });
    return this.#client;
  }

  #fail(error: unknown): void {
    this.#rejectReady(error);
    this.#client?.fail(error);
    for (const wanted of this.#statsWanted.splice(0)) wanted.reject(error);
  }
}

function stopped(how: string, cause?: Error): RookeryError {
  return new RookeryError("ENGINE_STOPPED", `the engine's thread ${how}`, "start it again", { cause });
}
