/** The other side of `startEngine`: a model and its engine on a thread of their own. */
import { parentPort, workerData } from "node:worker_threads";
import { RookeryError } from "../base/errors.ts";
import type { RookeryEvent } from "../base/events.ts";
import { loadModel } from "../interop/load.ts";
import { Execution } from "../tensor/execution.ts";
import { Engine } from "./engine.ts";
import { EngineLoop } from "./engine-loop.ts";
import { Grammars } from "./grammar.ts";
import { settleOptions, threadsOf } from "./options.ts";
import type { EngineWorkerData, FromEngineWorker, ToEngineWorker } from "./worker-engine.ts";

type Port = NonNullable<typeof parentPort>;

async function serveEngine(port: Port, { modelFolder, options }: EngineWorkerData): Promise<void> {
  using resources = new DisposableStack();
  const send = (message: FromEngineWorker) => port.postMessage(message);
  const { computeType } = options;
  const execution = resources.use(new Execution({ threads: threadsOf(options), computeType }));
  const onEvent = (event: RookeryEvent) => send({ type: "progress", event });
  const loaded = await loadModel(modelFolder, { onEvent }, { pool: execution.pool, computeType });
  const model = resources.use(loaded.model);
  for (const message of loaded.notes) send({ type: "progress", event: { type: "note", message } });
  const settings = settleOptions(options, model.config);
  const engine = resources.use(new Engine({ execution, model, tokenizer: loaded.tokenizer }, settings));

  const closed = Promise.withResolvers<void>();
  const grammars = resources.use(new Grammars(loaded.tokenizer, model.config.vocabularySize));
  const loop = new EngineLoop(engine, grammars, (outputs) => send({ type: "outputs", outputs }), closed.reject);
  port.on("message", (message: ToEngineWorker) => {
    if (message.type === "start") loop.start(message.id, message.work);
    else if (message.type === "cancel") loop.cancel(message.id);
    else if (message.type === "stats") send({ type: "stats", stats: loop.stats() });
    else closed.resolve();
  });
  send({ type: "ready", info: engine.info });
  await closed.promise;
  loop.stop();
}

async function run(port: Port): Promise<void> {
  try {
    await serveEngine(port, workerData as EngineWorkerData);
  } catch (error) {
    if (!(error instanceof RookeryError)) throw error;
    const { code, message, hint } = error;
    port.postMessage({ type: "failure", code, message, hint } satisfies FromEngineWorker);
  } finally {
    port.close();
  }
}

if (parentPort) await run(parentPort);
