/** `rookery serve` as it is typed: how it starts, who may ask, and how it ends. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, it } from "node:test";
import { startLiveServer } from "../live-server.ts";
import { json, readEvents } from "../serving.ts";
import { writeTinyModel } from "../tiny-model.ts";

const rookery = path.join(import.meta.dirname, "../../bin/rookery.js");
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-serve-"));
let model = "";
before(async () => {
  model = await writeTinyModel(folder);
});
after(() => fs.rmSync(folder, { recursive: true }));

type Environment = Record<string, string>;

function start(words: readonly string[], environment: Environment = {}) {
  const child = spawn(process.execPath, [rookery, "serve", model, "--threads", "1", ...words], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...environment },
  });
  const output = { stdout: "", stderr: "" };
  const ready = Promise.withResolvers<string>();
  const lines = { stdout: createInterface({ input: child.stdout }), stderr: createInterface({ input: child.stderr }) };
  for (const name of ["stdout", "stderr"] as const) {
    lines[name].on("line", (line) => {
      output[name] += `${line}\n`;
      const url = / on (http:\S+)$/.exec(line)?.[1];
      if (name === "stdout" && url !== undefined) ready.resolve(url);
    });
  }
  const ended = once(child, "close").then(([code]) => ({ code: code as number | null, ...output }));
  void ended.then(() => ready.reject(new Error(output.stderr)));
  ready.promise.catch(() => {});
  return { child, ready: ready.promise, ended };
}

async function refused(words: readonly string[], environment: Environment = {}): Promise<string> {
  const { code, stdout, stderr } = await start(words, environment).ended;
  assert.deepEqual([code, stdout], [2, ""]);
  return stderr;
}

const ask = (url: string, body: object, headers: Environment = {}) =>
  fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify({ messages: [{ role: "user", content: "the rock" }], ...body }),
  });

describe("rookery serve", () => {
  it("answers, and at SIGTERM lets a running stream end before it does", async () => {
    const { child, ready, ended } = start(["--port", "0"]);
    const url = await ready;
    assert.equal((await json(fetch(`${url}/v1/models`))).data[0].id, path.basename(folder));
    const response = await ask(url, { max_tokens: 200, ignore_eos: true, stream: true });
    child.kill("SIGTERM");
    const events = readEvents(await response.text());
    assert.equal(events.at(-1)?.data, "[DONE]");
    const { code, stdout, stderr } = await ended;
    assert.equal(code, 0, stderr);
    assert.match(
      stdout,
      /^serving rookery-serve-\w+ on http:\S+\n1 requests in \d+ s: \d+ tokens read, 200 written\n$/,
    );
  });

  it("ends what does not end in time, with an error event", async () => {
    const { child, ready, ended } = start(["--port", "0", "--drain-seconds", "0"]);
    const response = await ask(await ready, { max_tokens: 690, n: 16, ignore_eos: true, stream: true });
    child.kill("SIGINT");
    const last = readEvents(await response.text()).at(-1)?.data ?? "";
    assert.equal(JSON.parse(last).error.code, "service_unavailable");
    assert.equal((await ended).code, 0);
  });

  it("takes keys from a file and from the environment", async () => {
    const file = path.join(folder, "keys.txt");
    fs.writeFileSync(file, "first-key\r\n\n  second-key\n");
    const { child, ready, ended } = start(["--port", "0", "--api-key-file", file], { ROOKERY_API_KEY: "third-key" });
    const url = await ready;
    assert.equal((await ask(url, { max_tokens: 1 })).status, 401);
    for (const key of ["first-key", "second-key", "third-key"]) {
      assert.equal((await ask(url, { max_tokens: 1 }, { Authorization: `Bearer ${key}` })).status, 200, key);
    }
    child.kill("SIGTERM");
    const { stdout, stderr } = await ended;
    assert.doesNotMatch(stdout + stderr, /-key(?!-file)/);
  });

  it("binds to other addresses than this machine's own only with a key", async () => {
    assert.match(await refused(["--host", "0.0.0.0"]), /^rookery: --host 0\.0\.0\.0 can be reached .*--api-key-file/);
    const { child, ready, ended } = start(["--host", "0.0.0.0", "--port", "0", "--api-key", "k"]);
    const url = (await ready).replace("0.0.0.0", "127.0.0.1");
    assert.equal((await ask(url, { max_tokens: 1 }, { Authorization: "Bearer k" })).status, 200);
    child.kill("SIGTERM");
    await ended;
  });

  it("refuses in one line what cannot be served", async () => {
    const empty = path.join(folder, "empty.txt");
    fs.writeFileSync(empty, "\n\n");
    assert.match(await refused(["--api-key-file", empty]), /has no keys/);
    assert.match(await refused(["--api-key", "a b"]), /visible ASCII/);
    assert.match(await refused(["--api-key-file", path.join(folder, "none")]), /none/);
    assert.match(await refused(["--max-model-len", "0"]), /--max-model-len is 0/);
    const taken = net.createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const { port } = taken.address() as net.AddressInfo;
    assert.match(await refused(["--port", String(port)]), /another program has that port/);
    taken.close();
  });
});

describe("a server that loads its model", () => {
  it("answers /health already, and says 503 to all else", async () => {
    const early = Promise.withResolvers<void>();
    const server = await startLiveServer({
      onState: (state, url) => {
        if (state !== "loading") return;
        const paths = ["/health", "/ready", "/v1/models"].map((path) => fetch(url + path));
        Promise.all(paths)
          .then(async (responses) => {
            assert.deepEqual(
              responses.map(({ status }) => status),
              [200, 503, 503],
            );
            assert.equal(responses[1]?.headers.get("retry-after"), "1");
            assert.equal((await json(responses[1]!)).error.code, "service_unavailable");
          })
          .then(early.resolve, early.reject);
      },
    });
    await early.promise;
    assert.equal((await fetch(`${server.url}/ready`)).status, 200);
    await server.close();
  });
});
