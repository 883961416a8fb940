/** The load report as a user asks for it: from the shell, with a model of a few thousand weights and few requests. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import type { BenchServeResult } from "../../src/bench/serve.ts";
import { cacheBytesPerToken } from "../../src/engine/pages.ts";
import { listen } from "../../src/serve/listen.ts";
import { tinyConfig, writeTinyModel } from "../tiny-model.ts";
import { wellFormedElements } from "../well-formed.ts";

const rookery = path.join(import.meta.dirname, "../../bin/rookery.js");
const root = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-load-"));
let model = "";
before(async () => {
  model = await writeTinyModel(root);
});
after(() => fs.rmSync(root, { recursive: true, force: true }));

async function bench(...words: string[]): Promise<{ code: unknown; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [rookery, "bench", "serve", ...words], { cwd: root });
  const ended = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name].on("data", (bytes) => {
      ended[name] += bytes;
    });
  }
  const code = await new Promise((resolve) => child.on("close", resolve));
  return { code, ...ended };
}

async function measured(...words: string[]): Promise<BenchServeResult> {
  const { code, stdout, stderr } = await bench(...words, "--json");
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as BenchServeResult;
}

const small = ["--concurrency", "1", "--concurrency", "3", "--output-tokens", "6", "--threads", "1", "--rounds", "2"];

describe("rookery bench serve", () => {
  it("tells for every number of clients what they wait for, what is cached and what it costs", async () => {
    const { points } = await measured(model, ...small, "--prompt-tokens", "200", "--price-per-hour", "2");
    assert.deepEqual(
      points.map(({ mix, concurrency, requests }) => [mix, concurrency, requests]),
      [
        ["separate", 1, 2],
        ["separate", 3, 6],
        ["shared-prefix", 1, 2],
        ["shared-prefix", 3, 6],
      ],
    );
    for (const point of points) {
      const { timeToFirstToken: first, interTokenLatency: gap } = point;
      assert.equal(point.outputTokens, point.requests * 6);
      assert.ok(first.p50 > 0 && first.p50 <= first.p95 && first.p95 <= first.p99);
      assert.ok(gap !== null && gap.p50 > 0 && gap.p50 <= gap.p99);
      assert.ok(Math.abs(point.costPerMillionTokens! - 2e6 / (3600 * point.tokensPerSecond.median)) < 1e-6);
      const own = cacheBytesPerToken(tinyConfig, "bf16");
      assert.equal(point.cacheBytesPerToken, own);
      // 5 layers in groups of 2 keep three copies and read five
      assert.equal(point.cacheBytesReadPerStep, (point.concurrency * 203 * own * 5) / 3);
      if (point.mix === "separate") {
        assert.equal(point.cachedPromptTokens, 0);
        assert.ok(point.liveBytesPerToken! >= own && point.liveBytesPerToken! < 2 * own);
      } else assert.ok(point.cachedPromptTokens! > 0);
    }
  });

  it("compares attention variants of one size, prints a table, and writes a page that stands alone", async () => {
    const words = ["--variants", "--prompt-tokens", "20", "--mixes", "separate", "--write", "load.html"];
    const { code, stdout, stderr } = await bench(model, ...small, ...words);
    assert.equal(code, 0, stderr);
    assert.match(stderr, /GQA\+CLA +separate +3 +[\d.K]+ /);
    const bytes = (name: string) => new RegExp(`^${name} +separate +3 +([\\d.]+ [KMB]i?B?)`, "m").exec(stdout)?.[1];
    assert.deepEqual([bytes("MHA"), bytes("GQA"), bytes("GQA\\+CLA")], ["1.88 KiB", "960 B", "576 B"]);
    const page = fs.readFileSync(path.join(root, "load.html"), "utf8");
    const plots = [...page.matchAll(/<svg.*?<\/svg>/gs)].map(([svg]) => svg);
    assert.equal(plots.length, 4);
    for (const svg of plots) assert.ok(wellFormedElements(svg).includes("polyline"));
    assert.equal(page.match(/<tr>/g)!.length, 1 + 6);
    assert.doesNotMatch(page, /<script|<link|src=|@import/);
  });

  it("measures a server from outside", async () => {
    const answer = async (request: Request): Promise<Response> => {
      if (request.method === "GET") return Response.json({ data: [{ id: "one" }] });
      const { prompt, max_tokens: count } = (await request.json()) as { prompt: number[]; max_tokens: number };
      assert.equal(prompt.length, 20);
      const events = Array.from({ length: count }, () => ({ choices: [{ text: "x" }] }));
      const text = [...events, { choices: [{ text: "", finish_reason: "length" }] }].map((one) => JSON.stringify(one));
      return new Response([...text, "[DONE]"].map((data) => `data: ${data}\n\n`).join(""));
    };
    const server = await listen(answer, { host: "127.0.0.1", port: 0 });
    try {
      const { points } = await measured(server.url, ...small, "--prompt-tokens", "20", "--mixes", "separate");
      assert.equal(points.length, 2);
      assert.equal(points[1]!.outputTokens, 6 * 6);
      assert.equal(points[1]!.cacheBytesPerToken, null);
      const variants = await bench(server.url, "--variants");
      assert.equal(variants.code, 2);
      assert.match(variants.stderr, /--variants needs a model/);
    } finally {
      await server.close(0, () => {});
    }
  });
});
