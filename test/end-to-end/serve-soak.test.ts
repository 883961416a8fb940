/**
 * Many clients at once, most of them badly behaved: only the right errors, no page kept, and memory as flat as it was.
 * `npm run test:long` does it as issued: 200 streams on nano's weights for three minutes, with /health watched from outside.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { after, it } from "node:test";
import { setTimeout } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { presets } from "../../src/model/presets.ts";
import { type SoakResult, soak } from "../soak.ts";
import { writeTinyModel } from "../tiny-model.ts";

const isLong = process.env.ROOKERY_LONG_TESTS !== undefined;
const rookery = path.join(import.meta.dirname, "../../bin/rookery.js");
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-soak-"));
after(() => fs.rmSync(folder, { recursive: true }));

/** Asks for /health ten times a second, on a thread of its own, so that only the server's slowness is seen. */
const watchHealth = `
  const { parentPort, workerData } = require("node:worker_threads");
  const http = require("node:http");
  const agent = new http.Agent({ keepAlive: true });
  const times = [];
  const ask = () => {
    const start = performance.now();
    http.get(workerData + "/health", { agent }, (response) => {
      response.resume().on("end", () => times.push(response.statusCode === 200 ? performance.now() - start : Infinity));
    }).on("error", () => times.push(Infinity));
  };
  const timer = setInterval(ask, 100);
  parentPort.once("message", () => { clearInterval(timer); agent.destroy(); parentPort.postMessage(times); });
`;

type Serving = AsyncDisposable & {
  url: string;
  metric(name: string, label?: string): Promise<number>;
  stop(): Promise<number | null>;
};

/** `rookery serve` in a process of its own, whose memory is then nobody else's. */
async function serve(modelFolder: string, words: readonly string[]): Promise<Serving> {
  const child = spawn(process.execPath, [rookery, "serve", modelFolder, "--port", "0", ...words], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const url = await new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout }).on("line", (line) => {
      const found = / on (http:\S+)$/.exec(line)?.[1];
      if (found !== undefined) resolve(found);
    });
    child.once("exit", () => reject(new Error("the server has ended")));
  });
  const exited = once(child, "exit");
  return {
    url,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await exited;
    },
    async metric(name, label = "") {
      const text = await (await fetch(`${url}/metrics`)).text();
      const line = text.split("\n").find((one) => one.startsWith(`${name}${label}`) && !one.startsWith("#"));
      return Number(line?.slice(line.lastIndexOf(" ")));
    },
    async stop() {
      child.kill("SIGTERM");
      return (await exited)[0] as number | null;
    },
  };
}

/** Runs `work`, and answers with the memory that the server held meanwhile: the median of a look a second. */
async function memoryDuring(server: Serving, work: Promise<unknown>): Promise<number> {
  const samples: number[] = [];
  let isOver = false;
  const over = work.finally(() => {
    isOver = true;
  });
  while (!isOver) {
    samples.push(await server.metric("process_resident_memory_bytes"));
    await Promise.race([over, setTimeout(1000)]);
  }
  return samples.toSorted((a, b) => a - b)[samples.length >> 1]!;
}

it(`${isLong ? "200 clients for 3 minutes" : "40 clients for 3 seconds"} leave the server as they found it`, async () => {
  const changes = isLong ? presets.nano : {};
  const modelFolder = await writeTinyModel(folder, changes);
  await using server = await serve(modelFolder, isLong ? [] : ["--threads", "1", "--cache-bytes", String(1 << 23)]);
  const options = {
    url: server.url,
    clients: isLong ? 200 : 40,
    mostTokens: isLong ? 64 : 16,
    overLongCharacters: isLong ? 50_000 : 5000,
  };
  const watcher = new Worker(watchHealth, { eval: true, workerData: server.url });
  // The cache's pages are touched one after the other in the first minute, so memory is compared between the second and the third.
  const results: SoakResult[] = [];
  const memory: number[] = [];
  for (const seed of [1, 2, 3]) {
    const part = soak({ ...options, seconds: isLong ? 60 : 1, seed });
    memory.push(await memoryDuring(server, part));
    results.push(await part);
  }
  watcher.postMessage("stop");
  const [times] = (await once(watcher, "message")) as [number[]];
  await watcher.terminate();
  const faults = results.flatMap((one) => one.faults);
  const outcomes: Record<string, number> = {};
  for (const [outcome, count] of results.flatMap((one) => Object.entries(one.outcomes))) {
    outcomes[outcome] = (outcomes[outcome] ?? 0) + count;
  }
  assert.deepEqual(faults, []);
  for (const outcome of ["read", "left", "scored", "refused: 400"]) {
    assert.ok((outcomes[outcome] ?? 0) > 0, `${outcome} in ${JSON.stringify(outcomes)}`);
  }
  while (
    (await server.metric("rookery_num_requests_running")) + (await server.metric("rookery_num_requests_waiting")) >
    0
  ) {
    await setTimeout(10);
  }
  assert.equal(await server.metric("rookery_kv_cache_pages", '{state="in_use"}'), 0);
  assert.equal(await server.metric("rookery_http_requests_in_flight"), 0);
  assert.ok(times.every(Number.isFinite), "/health did not answer");
  if (isLong) {
    const sorted = times.toSorted((a, b) => a - b);
    const p99 = sorted[Math.floor(sorted.length * 0.99)]!;
    console.log(JSON.stringify({ outcomes, p99, slowest: sorted.at(-1), memory }));
    assert.ok(p99 < 100, `/health took ${p99} ms at p99`);
    assert.ok(memory[2]! < 1.05 * memory[1]!, `memory has grown from ${memory[1]} to ${memory[2]} bytes`);
  }
  assert.equal(await server.stop(), 0);
});
