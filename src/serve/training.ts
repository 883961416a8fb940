/** The figures of a run for its page: all of them as JSON, and as events while it goes on. */
import { Hono } from "hono";
import { eventStream } from "./event-stream.ts";
import { RunMetrics } from "./run-metrics.ts";

export type TrainingOptions = {
  /** Raised: streams end, so that a server can be stopped while somebody looks on. */
  signal?: AbortSignal;
  /** Between two looks at the run's file, while anybody looks on. */
  pollMilliseconds?: number;
};

/** A snapshot of many layers and experts may wait for a slow reader; one that is further behind comes again. */
const bufferBytes = 32 << 20;

/**
 * `GET /training/data`, a `TrainingSnapshot`, and `GET /training/events`: the event `snapshot` whenever everything is new,
 * `rows` (a `TrainingUpdate`) for what was added.
 * @throws RookeryError when `runFolder` is no run's.
 */
export function createTrainingRoutes(
  runFolder: string,
  { signal, pollMilliseconds = 500 }: TrainingOptions = {},
): Hono {
  const metrics = new RunMetrics(runFolder);
  const app = new Hono();
  app.get("/training/data", async (context) => {
    await metrics.refresh();
    return context.json(metrics.snapshot());
  });
  app.get("/training/events", () => {
    const left = new AbortController();
    const ended = AbortSignal.any([left.signal, ...(signal === undefined ? [] : [signal])]);
    return eventStream((send) => follow(metrics, send, ended, pollMilliseconds), {
      onLeave: () => left.abort(),
      onTooSlow: () => left.abort(),
      bufferBytes,
      pingMilliseconds: 15_000,
      describeError: (error) => ({ data: error.toJSON(), event: "error" }),
      onEnd: () => left.abort(),
    });
  });
  return app;
}

async function follow(
  metrics: RunMetrics,
  send: (data: object, event: string) => void,
  ended: AbortSignal,
  pollMilliseconds: number,
): Promise<void> {
  let told = { epoch: -1, rows: 0, evaluations: 0 };
  while (!ended.aborted) {
    await metrics.refresh();
    const { position } = metrics;
    if (position.epoch !== told.epoch) send(metrics.snapshot(), "snapshot");
    else if (position.rows > told.rows || position.evaluations > told.evaluations) {
      send(metrics.updateSince(told), "rows");
    }
    told = position;
    await pause(pollMilliseconds, ended);
  }
}

function pause(milliseconds: number, ended: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      ended.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    ended.addEventListener("abort", done);
  });
}
