/**
 * What a training step of `nano` takes as its one row grows from 1,024 to 131,072 tokens, with activations recomputed: seconds and
 * the most memory of a process of its own. Writes the section of docs/long-context.md between its markers, and its plots.
 * Run: node bench/long-context.ts [--write] [LENGTH …]   (about seven minutes on 2 cores; each line is JSON)
 */
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { availableParallelism, cpus } from "node:os";
import path from "node:path";
import { writeSection } from "../scripts/docs-section.ts";
import { hash32, streamKeys } from "../src/base/random.ts";
import { account } from "../src/model/accounting.ts";
import { presets } from "../src/model/presets.ts";
import { Transformer } from "../src/model/transformer.ts";
import { plotSvg } from "../src/report/plot.ts";
import { Execution } from "../src/tensor/execution.ts";
import { peakProcessBytes, predictTrainingMemory } from "../src/train/memory.ts";
import { AdamW } from "../src/train/optimizer.ts";
import { trainStep } from "../src/train/step.ts";

type Row = { tokens: number; seconds: number; steps: number; peakBytes: number; predictedBytes: number };

const lengths = [1024, 2048, 4096, 8192, 16_384, 32_768, 65_536, 131_072];
const threads = availableParallelism();
const gibibyte = 2 ** 30;

/** One step that warms up where that is cheap, then as many as make a few seconds. */
function measure(tokens: number): Row {
  const config = { ...presets.nano, ropeTheta: 1e9, maxPositionEmbeddings: Math.max(2048, tokens) };
  const settings = { rows: 1, sequenceLength: tokens, computeType: "bf16", threads, recomputation: "block" } as const;
  const memory = predictTrainingMemory(config, settings);
  using execution = new Execution(settings);
  execution.arena.reserve(memory.arenaBytes);
  using model = new Transformer(config);
  model.initialize(1, "scaled");
  using optimizer = new AdamW(model, { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1 });
  const keys = streamKeys(1, "tokens");
  const ids = Int32Array.from({ length: tokens + 1 }, (_, i) => hash32(keys, i) % config.vocabularySize);
  const batch = {
    tokens: ids.subarray(0, tokens),
    targets: ids.subarray(1),
    positions: Int32Array.from({ length: tokens }, (_, i) => i),
    sequences: Int32Array.of(0, tokens),
  };
  const step = (number: number): number => {
    const start = performance.now();
    trainStep(execution, model, optimizer, [batch], {
      routing: { mode: "recycle", capacityFactor: 1.25, balanceCoefficient: 0.01, zCoefficient: 0 },
      ...{ maxGradientNorm: 1, recomputation: "block", random: { seed: 1, step: number } },
      rates: { learningRate: 1e-4, expertLearningRate: 3e-5 },
    });
    return (performance.now() - start) / 1000;
  };
  const first = step(1);
  const steps = first > 10 ? 1 : Math.max(3, Math.ceil(3 / first));
  const times = first > 10 ? [first] : Array.from({ length: steps }, (_, i) => step(i + 2));
  const seconds = times.sort((a, b) => a - b)[Math.floor(times.length / 2)]!;
  return { tokens, seconds, steps, peakBytes: peakProcessBytes(), predictedBytes: memory.totalBytes };
}

function table(rows: readonly Row[]): string {
  const { parameters } = account(presets.nano);
  return [
    `\`nano\` (${(parameters.total / 1e6).toFixed(1)}M parameters, ${(parameters.activated / 1e6).toFixed(1)}M activated), one row a step, bf16, \`--recomputation block\`, ${threads} threads of ${cpus()[0]?.model.trim() ?? "an unknown CPU"}.`,
    "",
    "| tokens a row | seconds a step | tokens/s | memory at most | predicted |",
    "| --- | --- | --- | --- | --- |",
    ...rows.map(({ tokens, seconds, peakBytes, predictedBytes }) => {
      const gigabytes = (bytes: number) => `${(bytes / gibibyte).toFixed(2)} GiB`;
      return `| ${tokens} | ${seconds.toFixed(seconds < 10 ? 2 : 0)} | ${Math.round(tokens / seconds)} | ${gigabytes(peakBytes)} | ${gigabytes(predictedBytes)} |`;
    }),
    "",
    "![seconds a step by its length](long-context/seconds.svg)",
    "![memory by the length of a row](long-context/memory.svg)",
  ].join("\n");
}

function write(rows: readonly Row[]): void {
  const docs = path.join(import.meta.dirname, "..", "docs");
  const page = path.join(docs, "long-context.md");
  const marks = ["<!-- growth: written by bench/long-context.ts -->", "<!-- growth ends -->"] as const;
  writeSection(page, marks, ["", table(rows), ""]);
  const common = { xLabel: "tokens a row", xTicks: rows.map(({ tokens }) => tokens) };
  const line = (name: string, y: (row: Row) => number, isDashed = false) => {
    return { name, isDashed, points: rows.map((row) => ({ x: row.tokens, y: y(row) })) };
  };
  const folder = path.join(docs, "long-context");
  fs.mkdirSync(folder, { recursive: true });
  const first = rows[0]!;
  fs.writeFileSync(
    path.join(folder, "seconds.svg"),
    plotSvg({
      ...common,
      title: "A step of nano by its length",
      yLabel: "seconds",
      series: [
        line("measured", ({ seconds }) => seconds),
        line("if it grew in proportion", ({ tokens }) => (first.seconds * tokens) / first.tokens, true),
      ],
    }),
  );
  fs.writeFileSync(
    path.join(folder, "memory.svg"),
    plotSvg({
      ...common,
      title: "Memory of a step of nano by its length",
      yLabel: "GiB",
      series: [
        line("measured", ({ peakBytes }) => peakBytes / gibibyte),
        line("predicted", ({ predictedBytes }) => predictedBytes / gibibyte, true),
      ],
    }),
  );
}

const words = process.argv.slice(2);
if (words[0] === "one") {
  console.log(JSON.stringify(measure(Number(words[1]))));
} else {
  const asked = words.filter((word) => /^\d+$/.test(word)).map(Number);
  const rows: Row[] = [];
  for (const tokens of asked.length > 0 ? asked : lengths) {
    const line = execFileSync(process.execPath, [import.meta.filename, "one", String(tokens)], { encoding: "utf8" });
    process.stdout.write(line);
    rows.push(JSON.parse(line) as Row);
  }
  if (words.includes("--write")) write(rows);
}
