/** The training page of a run, served from a thread of its own: the thread that trains never waits for a browser. */
import path from "node:path";
import { Worker } from "node:worker_threads";
import { type ErrorCode, RookeryError } from "../base/errors.ts";
import { threadFlags } from "../base/thread.ts";

export type DashboardOptions = { runFolder: string; host: string; port: number };

export type ToDashboard = DashboardOptions;

export type FromDashboard =
  | { type: "listening"; url: string }
  | { type: "failure"; code: ErrorCode; message: string; hint: string };

export type Dashboard = { url: string; close(): Promise<void> };

/** @throws RookeryError INVALID_OPTION when the port cannot be had; whatever is wrong with the run's folder. */
export async function startDashboard(options: DashboardOptions): Promise<Dashboard> {
  const workerData: ToDashboard = options;
  const worker = new Worker(path.join(import.meta.dirname, `dashboard-worker${path.extname(import.meta.filename)}`), {
    workerData,
    ...threadFlags(),
  });
  try {
    const url = await new Promise<string>((resolve, reject) => {
      worker.on("message", (message: FromDashboard) => {
        if (message.type === "listening") resolve(message.url);
        else reject(new RookeryError(message.code, message.message, message.hint));
      });
      worker.on("error", reject);
    });
    // A page that is looked at keeps no run from ending.
    worker.unref();
    return {
      url,
      close: async () => {
        await worker.terminate();
      },
    };
  } catch (error) {
    await worker.terminate();
    throw error;
  }
}
