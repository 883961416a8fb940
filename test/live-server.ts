/** The whole of `rookery serve` around a tiny model, on a port of its own: for tests that need a socket. */
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import type { EngineOptionsInput } from "../src/engine/options.ts";
import type { ModelConfig } from "../src/model/config.ts";
import { type ServeModelOptions, type ServeModelResult, serveModel } from "../src/serve/serve-model.ts";
import { writeTinyModel } from "./tiny-model.ts";

export type LiveServer = {
  url: string;
  modelFolder: string;
  warnings: string[];
  /** The sum of a metric over its labels, or of those samples that have `label`. */
  metric(name: string, label?: string): Promise<number>;
  /** Drains, ends, and answers with what was served. */
  close(): Promise<ServeModelResult>;
};

export async function startLiveServer(
  options: { engine?: EngineOptionsInput; config?: Partial<ModelConfig> } & Partial<ServeModelOptions> = {},
): Promise<LiveServer> {
  const { engine, config, onState, ...rest } = options;
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-serve-"));
  const modelFolder = rest.modelFolder ?? (await writeTinyModel(folder, config));
  const controller = new AbortController();
  const ready = Promise.withResolvers<string>();
  const warnings: string[] = [];
  const serving = serveModel(
    {
      modelId: "tiny",
      host: "127.0.0.1",
      port: 0,
      drainSeconds: 10,
      engine: { threads: 1, cacheBytes: 1 << 23, ...engine },
      onState: (state, url) => {
        onState?.(state, url);
        if (state === "ready") ready.resolve(url);
      },
      ...rest,
      modelFolder,
    },
    {
      signal: controller.signal,
      onEvent: (event) => {
        if (event.type === "warning") warnings.push(event.message);
      },
    },
  );
  serving.catch(ready.reject);
  const url = await ready.promise;
  return {
    url,
    modelFolder,
    warnings,
    async metric(name, label = "") {
      const text = await (await fetch(`${url}/metrics`)).text();
      const samples = text.split("\n").filter((line) => line.startsWith(name) && /^[ {]/.test(line.slice(name.length)));
      const chosen = samples.filter((line) => line.includes(label));
      return chosen.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0);
    },
    async close() {
      controller.abort();
      const result = await serving;
      fs.rmSync(folder, { recursive: true });
      return result;
    },
  };
}
