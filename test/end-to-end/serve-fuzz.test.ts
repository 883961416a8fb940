/**
 * Random and mutated requests: the server answers each with a right status, and stays as it was. `npm run test:long` sends 100,000.
 * What comes is told by seed and number; `fuzzRequest(1, N)` makes number N again.
 */
import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, it } from "node:test";
import { startEngine } from "../../src/engine/worker-engine.ts";
import { createApp } from "../../src/serve/app.ts";
import { fuzzRequest } from "../fuzz-requests.ts";
import { readEvents } from "../serving.ts";
import { writeTinyModel } from "../tiny-model.ts";

const requests = process.env.ROOKERY_LONG_TESTS ? 100_000 : 2000;
const atATime = 16;
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-fuzz-"));
after(() => fs.rmSync(folder, { recursive: true }));

/** Statuses that a client's mistake, or too much work, may have. */
const expected = new Set([200, 400, 404, 405, 413, 415, 429]);

/** What is wrong with an answer, or undefined. */
async function faultOf(response: Response): Promise<string | undefined> {
  const text = await response.text();
  if (!expected.has(response.status)) return `status ${response.status}: ${text.slice(0, 300)}`;
  const type = response.headers.get("content-type") ?? "";
  if (type.startsWith("text/event-stream")) {
    const last = readEvents(text).at(-1);
    const isWhole = last?.data === "[DONE]" || /^response\.(completed|incomplete)$/.test(last?.event ?? "");
    return isWhole ? undefined : `a stream ended with ${last?.data.slice(0, 300)}`;
  }
  if (!type.startsWith("application/json") || text === "") return undefined;
  const { error } = JSON.parse(text) as { error?: { message: unknown; type: unknown } };
  const isRight = response.status < 400 ? (error ?? null) === null : typeof error?.message === "string";
  return isRight ? undefined : `status ${response.status} with ${text.slice(0, 300)}`;
}

it(`${requests} random and mutated requests get right answers`, async () => {
  const modelFolder = await writeTinyModel(folder);
  const engine = await startEngine(modelFolder, {
    threads: 1,
    maxModelLength: 96,
    cacheBytes: 1 << 22,
    queueLimit: 64,
  });
  // Its thread would keep a failed test from ending.
  await using _ = { [Symbol.asyncDispose]: () => engine.close() };
  const warnings: string[] = [];
  const app = createApp(engine, {
    model: { id: "tiny", tokenizer: engine.tokenizer, generation: engine.directory.generation, createdSeconds: 0 },
    onEvent: (event) => event.type === "warning" && warnings.push(event.message),
  });
  const statuses = new Map<number, number>();
  const faults: string[] = [];
  let next = 0;
  const client = async () => {
    while (next < requests && faults.length < 10) {
      const number = next++;
      const { path, init } = fuzzRequest(1, number);
      const controller = new AbortController();
      // Some clients leave: at once, or while the answer is being made.
      if (number % 10 === 0) queueMicrotask(() => controller.abort());
      if (number % 10 === 1) setImmediate(() => controller.abort());
      try {
        const response = await app.request(path, { ...init, signal: controller.signal });
        if (response.status === 499) continue;
        statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1);
        const fault = await faultOf(response);
        if (fault !== undefined && !controller.signal.aborted) faults.push(`${number}: ${fault}`);
      } catch (error) {
        if (!controller.signal.aborted) faults.push(`${number}: ${(error as Error).stack}`);
      }
    }
  };
  await Promise.all(Array.from({ length: atATime }, client));
  const unexpected = warnings.filter((warning) => !warning.includes("tools"));
  assert.deepEqual({ faults, unexpected }, { faults: [], unexpected: [] });
  for (const status of [200, 400, 404, 405, 415]) assert.ok((statuses.get(status) ?? 0) > 5, `status ${status}`);
  for (;;) {
    const { running, waiting, pagesInUse } = await engine.stats();
    if (running + waiting > 0) continue;
    assert.equal(pagesInUse, 0);
    break;
  }
  assert.match(await (await app.request("/metrics")).text(), /^rookery_http_requests_in_flight 0$/m);
});
