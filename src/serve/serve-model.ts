/** A model directory on a port, from the loading of its weights to the end of its last stream. */
import fs from "node:fs";
import path from "node:path";
import { RookeryError } from "../base/errors.ts";
import type { CommandContext } from "../base/events.ts";
import type { EngineOptionsInput } from "../engine/options.ts";
import { startEngine } from "../engine/worker-engine.ts";
import { checkHost, isLoopback } from "./access.ts";
import { createApp } from "./app.ts";
import { toApiError, unavailable } from "./errors.ts";
import { type Listening, listen } from "./listen.ts";
import { createPages } from "./pages.ts";
import { createTrainingRoutes } from "./training.ts";

export type ServeModelOptions = {
  /** A model directory. */
  modelFolder: string;
  /** The name that clients ask for. */
  modelId: string;
  host: string;
  /** 0 takes any that is free. */
  port: number;
  /** Without keys, only a loopback address may be bound. */
  apiKeys?: readonly string[];
  engine?: EngineOptionsInput;
  /** How long running requests may go on once the server is to end. */
  drainSeconds: number;
  /** The folder of a run whose figures the training page shows; without it, there is the chat page alone. */
  runFolder?: string;
  /** Called when the port is taken, before the model is loaded; and when the server is ready. */
  onState?: (state: "loading" | "ready", url: string) => void;
};

export type ServeModelResult = {
  url: string;
  seconds: number;
  finishedRequests: number;
  promptTokens: number;
  generatedTokens: number;
};

/**
 * Serves until `signal` is raised, then drains. The port is taken before the weights are loaded; meanwhile /health answers, and all
 * else says 503.
 * @throws RookeryError INVALID_OPTION for an address or keys that cannot be used, and what `startEngine` throws.
 */
export async function serveModel(
  options: ServeModelOptions,
  { signal, onEvent }: CommandContext = {},
): Promise<ServeModelResult> {
  const { modelFolder, modelId, host, port, drainSeconds, onState } = options;
  const apiKeys = options.apiKeys ?? [];
  checkAccess(host, apiKeys);
  const startMilliseconds = performance.now();
  const loopbackNamesOnly = apiKeys.length === 0;
  const [draining, stopping] = [new AbortController(), new AbortController()];
  const pages = createPages({ hasTraining: options.runFolder !== undefined });
  if (options.runFolder !== undefined) {
    pages.route("/", createTrainingRoutes(options.runFolder, { signal: draining.signal }));
  }
  let answer: (request: Request) => Response | Promise<Response> = (request) =>
    answerLoading(request, loopbackNamesOnly);
  await using server = new Ending(await listen((request) => answer(request), { host, port }));
  const { url } = server.listening;
  onState?.("loading", url);
  const engine = await startEngine(modelFolder, options.engine, { signal, onEvent });
  const app = createApp(engine, {
    model: {
      id: modelId,
      tokenizer: engine.tokenizer,
      generation: engine.directory.generation,
      createdSeconds: Math.floor(fs.statSync(path.join(modelFolder, "config.json")).mtimeMs / 1000),
    },
    apiKeys,
    loopbackNamesOnly,
    draining: draining.signal,
    stopping: stopping.signal,
    pages,
    ...(onEvent === undefined ? {} : { onEvent }),
  });
  answer = (request) => app.fetch(request);
  onState?.("ready", url);
  await raised(signal);
  draining.abort();
  await server.listening.close(drainSeconds * 1000, () => stopping.abort());
  const { finishedRequests, promptTokens, generatedTokens } = await engine.stats();
  await engine.close();
  const seconds = (performance.now() - startMilliseconds) / 1000;
  return { url, seconds, finishedRequests, promptTokens, generatedTokens };
}

/** Gives the port back whatever happens; after a proper close there is nothing left to do. */
class Ending implements AsyncDisposable {
  readonly listening: Listening;

  constructor(listening: Listening) {
    this.listening = listening;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.listening.close(0, () => {});
  }
}

/** What can be said while the weights are being read: that there is somebody, and nothing else. */
function answerLoading(request: Request, loopbackNamesOnly: boolean): Response {
  try {
    const { pathname, host } = new URL(request.url);
    if (loopbackNamesOnly) checkHost(request.headers.get("host") ?? host);
    if (pathname === "/health") return Response.json({ status: "ok" });
    throw unavailable("the model is being loaded");
  } catch (error) {
    const refusal = toApiError(error);
    return Response.json(refusal, { status: refusal.status, headers: refusal.headers });
  }
}

function checkAccess(host: string, apiKeys: readonly string[]): void {
  if (apiKeys.length === 0 && !isLoopback(host)) {
    throw new RookeryError(
      "INVALID_OPTION",
      `--host ${host} can be reached from other machines, and there is no API key`,
      "give --api-key-file FILE, or --host 127.0.0.1 for this machine only",
    );
  }
  const bad = apiKeys.findIndex((key) => !/^[\x21-\x7e]{1,1024}$/.test(key));
  if (bad === -1) return;
  throw new RookeryError(
    "INVALID_OPTION",
    `API key ${bad + 1} has spaces or letters that a header cannot carry, or is too long`,
    "use up to 1,024 visible ASCII characters",
  );
}

async function raised(signal: AbortSignal | undefined): Promise<void> {
  if (signal?.aborted) return;
  await new Promise<void>((resolve) => signal?.addEventListener("abort", () => resolve(), { once: true }));
}
