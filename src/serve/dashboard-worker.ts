/** The other side of `startDashboard`. */
import { parentPort, workerData } from "node:worker_threads";
import { Hono } from "hono";
import { RookeryError } from "../base/errors.ts";
import { checkHost } from "./access.ts";
import type { FromDashboard, ToDashboard } from "./dashboard.ts";
import { toApiError } from "./errors.ts";
import { listen } from "./listen.ts";
import { createPages } from "./pages.ts";
import { createTrainingRoutes } from "./training.ts";

async function serveDashboard(
  send: (message: FromDashboard) => void,
  { runFolder, host, port }: ToDashboard,
): Promise<void> {
  try {
    const app = new Hono();
    app.use(async (context, next) => {
      checkHost(context.req.header("host"));
      await next();
    });
    app.route("/", createPages({ hasChat: false, hasTraining: true }));
    app.route("/", createTrainingRoutes(runFolder));
    app.onError((error, context) => {
      const told = toApiError(error);
      return context.json(told.toJSON(), told.status);
    });
    const { url } = await listen((request) => app.fetch(request), { host, port });
    send({ type: "listening", url: `${url}/training` });
  } catch (error) {
    if (!(error instanceof RookeryError)) throw error;
    send({ type: "failure", code: error.code, message: error.message, hint: error.hint });
  }
}

const port = parentPort;
if (port) await serveDashboard((message) => port.postMessage(message), workerData as ToDashboard);
