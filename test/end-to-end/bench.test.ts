import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { LlamaRow } from "../../src/bench/llama.ts";
import { supportedLevels } from "../../src/kernels/levels.ts";
import { writeTinyModel } from "../tiny-model.ts";
import { wellFormedElements } from "../well-formed.ts";

const folder = mkdtempSync(join(tmpdir(), "rookery-bench-"));
after(() => rmSync(folder, { recursive: true }));

const root = join(import.meta.dirname, "..", "..");
const fakePeer = join(root, "test", "fake-peer.ts");

async function rookery(...words: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [join(root, "bin", "rookery.js"), ...words]);
  const output = { stdout: "", stderr: "" };
  child.stdout.on("data", (data) => {
    output.stdout += data;
  });
  child.stderr.on("data", (data) => {
    output.stderr += data;
  });
  const code = await new Promise<number>((resolve) => child.on("close", (status) => resolve(status ?? -1)));
  return { code, ...output };
}

/** The last line of words, or the whole of `--json`. */
function lastLine(stdout: string) {
  return JSON.parse(stdout.trimEnd().split("\n").at(-1)!);
}

type Spread = { median: number; min: number; max: number };
function assertSpread({ median, min, max }: Spread): void {
  assert.ok(min > 0 && min <= median && median <= max, JSON.stringify({ min, median, max }));
}

const tinyStep = [
  "--layers",
  "2",
  "--hidden",
  "32",
  "--heads",
  "2",
  "--kv-heads",
  "1",
  "--ffn",
  "40",
  "--vocabulary",
  "96",
];
const tinyTrain = [
  ...tinyStep,
  "--batch",
  "2",
  "--seq",
  "16",
  "--experts",
  "2",
  "--rounds",
  "2",
  "--round-seconds",
  "0.01",
];

test("bench train takes the fastest and the leanest variant that ran, and says what each failed of", async () => {
  const { code, stdout, stderr } = await rookery("bench", "train", ...tinyTrain, "--threads", "2", "--peer", fakePeer);
  assert.equal(code, 0, stderr);
  const result = lastLine(stdout);
  assert.equal(result.format, "rookery-bench/1");
  assert.equal(result.bench, "train");
  assert.equal(result.sameBits, true);
  assertSpread(result.ratioToPeer);
  assertSpread(result.shareOfPeak);
  assertSpread(result.peak.bytesPerSecond);
  assert.equal(result.peakMemoryBytes.peer, 2 ** 40);
  assert.ok(result.peakMemoryBytes.ours > 2 ** 20);
  assert.equal(result.peer.version, "1.0");
  assert.equal(result.tokensPerSecond.peer.median, 32);
  const errors = result.peer.variants.map(({ experts, computeType, compile, error = "" }: Record<string, string>) =>
    [experts, computeType, compile, error.replace(/^fake-peer /, "")].join(" "),
  );
  assert.deepEqual(errors, [
    "loop bf16 false ",
    "loop bf16 true ",
    "loop f32 false ",
    "loop f32 true ",
    "padded bf16 false ",
    "padded bf16 true ended with code 7: the compiler was eaten",
    "bmm bf16 false failed: no bmm here",
    "bmm bf16 true failed: no bmm here",
  ]);
  const names = result.profile.kernels.map((line: { name: string }) => line.name);
  assert.ok(names.includes("adamw"), names.join());
  assert.match(stdout, /same bits +yes/);
  assert.match(stderr, /^plan: /);
});

test("bench train runs without a peer, at a level, as one JSON object", async () => {
  const level = supportedLevels()[0]!;
  const words = ["--peer", "none", "--isa", level, "--compute-type", "f32", "--no-check-bits", "--json"];
  const { code, stdout, stderr } = await rookery("bench", "train", ...tinyTrain, ...words);
  assert.equal(code, 0, stderr);
  const result = JSON.parse(stdout);
  assert.equal(result.level, level);
  assert.deepEqual([result.ratioToPeer, result.peer, result.sameBits], [null, null, null]);
  assert.equal(result.peerMissing, "no peer was asked for");
  assertSpread(result.tokensPerSecond.ours);
});

test("bench gemm has a row a shape and type, and one figure over all of them", async () => {
  const shapes = [
    "--shapes",
    "32x40x48",
    "33x40x48/3",
    "gradient:32x40x48",
    "--rounds",
    "2",
    "--round-seconds",
    "0.01",
  ];
  const { code, stdout, stderr } = await rookery("bench", "gemm", ...shapes, "--threads", "2", "--peer", fakePeer);
  assert.equal(code, 0, stderr);
  const result = lastLine(stdout);
  assert.equal(result.format, "rookery-bench/1");
  assert.deepEqual([result.bench, result.threads, result.sameBits], ["gemm", 2, true]);
  assert.equal(result.rows.length, 6);
  for (const row of result.rows) {
    for (const figure of [row.flopsPerSecond, row.ratioToPeer, row.shareOfPeak]) assertSpread(figure);
    assert.ok(row.shareOfBandwidth > 0);
    assert.equal(row.packingSeconds === null, row.work.operation === "gradient");
  }
  assertSpread(result.ratioToPeer);
  assertSpread(result.shareOfPeak);
  assert.equal(result.peakMemoryBytes.peer, 2 ** 40);
  assert.match(stdout, /^cliffs /m);
  assert.match(stderr, /32x40x48 +bf16/);
});

test("bench attention has forward and backward of each shape", async () => {
  const shapes = ["--shapes", "2x16/2/1/8", "1x33/4/2/16", "--rounds", "1", "--round-seconds", "0.01", "--json"];
  const { code, stdout, stderr } = await rookery("bench", "attention", ...shapes, "--peer", fakePeer);
  assert.equal(code, 0, stderr);
  const result = JSON.parse(stdout);
  assert.equal(result.rows.length, 2);
  for (const row of result.rows) {
    for (const pass of [row.forward, row.backward, row.both]) assertSpread(pass.ratioToPeer);
  }
  assertSpread(result.ratioToPeer);
});

test("bench growth measures each point, skips what does not fit, and writes its page and plots", async () => {
  const page = join(folder, "page.md");
  writeFileSync(page, "# Speed\n\nwords\n");
  const small = [
    ...tinyStep,
    "--batch",
    "2",
    "--seq",
    "16",
    "--rounds",
    "1",
    "--round-seconds",
    "0.01",
    "--threads",
    "2",
  ];
  const axes = ["--axes", "experts", "--values", "8", "16", "1024", "--memory", "0.5", "--write", page];
  const { code, stdout, stderr } = await rookery("bench", "growth", ...small, ...axes);
  assert.equal(code, 0, stderr);
  const result = lastLine(stdout);
  assert.deepEqual([result.format, result.bench, result.sameBits], ["rookery-bench/1", "growth", true]);
  assert.deepEqual(
    result.points.map(({ axis, value, sameBits }: Record<string, unknown>) => [axis, value, sameBits]),
    [
      ["experts", 8, true],
      ["experts", 16, true],
    ],
  );
  for (const point of result.points) {
    assertSpread(point.tokensPerSecond);
    assert.ok(point.predicted.total > 0 && point.peakMemoryBytes > 0);
  }
  assert.deepEqual([result.expertCost.from, result.expertCost.to], [8, 16]);
  assertSpread(result.expertCost.tokensPerSecond.to);
  assert.equal(result.skipped.length, 1);
  const text = readFileSync(page, "utf8");
  assert.match(text, /^# Speed\n\nwords\n[\s\S]*## How cost grows[\s\S]*page\/growth-experts\.svg/);
  assert.ok(wellFormedElements(readFileSync(join(folder, "page", "growth-experts.svg"), "utf8")).includes("polyline"));
});

test("bench llama has prefill, decode and streams, and wants the same bits on both sides", async () => {
  const model = await writeTinyModel(folder, { claShareFactor: 1, topK: 2, vocabularySize: 290 });
  const short = ["--prompt-tokens", "20", "--answer-tokens", "4", "--streams", "3", "--rounds", "2", "--threads", "2"];
  const words = ["bench", "llama", model, ...short];
  const { code, stdout, stderr } = await rookery(...words, "--type", "f32", "--peer", fakePeer);
  assert.equal(code, 0, stderr);
  const result = lastLine(stdout);
  assert.deepEqual([result.format, result.bench, result.type], ["rookery-bench/1", "llama", "f32"]);
  assert.deepEqual(
    result.rows.map(({ part, tokens, tokensPerSecond: { peer } }: LlamaRow) => [part, tokens, peer?.median]),
    [
      ["prefill", 20, 20],
      ["decode", 4, 4],
      ["streams", 12, 12],
    ],
  );
  for (const row of result.rows) assertSpread(row.ratioToPeer);
  assertSpread(result.decodeShareOfBandwidth);
  assert.deepEqual(result.peer, { name: "fake-peer", version: "1.0" });
  const uneven = await rookery(...words, "--type", "q8_0", "--peer", fakePeer);
  assert.equal(uneven.code, 2);
  assert.match(uneven.stderr, /^rookery: --type q8_0 needs --quantized; rookery quantize MODEL/);
});

test("a shape that cannot be built is one line", async () => {
  const { code, stderr } = await rookery("bench", "train", "--hidden", "30", "--heads", "4", "--peer", "none");
  assert.equal(code, 2);
  assert.equal(stderr, "rookery: --hidden 30 is no multiple of --heads 4; change one of them\n");
  const product = await rookery("bench", "gemm", "--shapes", "3x4", "--peer", "none");
  assert.equal(product.code, 2);
  assert.match(product.stderr, /^rookery: --shapes has "3x4"; write MxKxN/);
});
