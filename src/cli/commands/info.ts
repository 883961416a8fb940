import { availableParallelism } from "node:os";
import { z } from "zod";
import { RookeryError } from "../../base/errors.ts";
import { type DirectoryReport, inspectDirectory } from "../../interop/inspect.ts";
import { readModelDirectory } from "../../interop/model-directory.ts";
import { resolveModel } from "../../interop/resolve.ts";
import { type Accounting, account } from "../../model/accounting.ts";
import { checkModelConfig, type ModelConfig, modelConfigSchema } from "../../model/config.ts";
import type { Recomputation } from "../../model/recomputation.ts";
import { predictTrainingMemory, type TrainingMemory } from "../../train/memory.ts";
import { defineCommand } from "../command.ts";
import { configOfModel, modelOption, runsFolderOption } from "../model.ts";
import { alignColumns, formatBytes, shortNumber } from "../text.ts";

const schema = z.strictObject({
  model: modelOption,
  runsFolder: runsFolderOption,
  sequenceLength: z
    .int()
    .min(1)
    .max(2 ** 24)
    .optional()
    .describe("tokens a sequence, for FLOPs, cache and memory; by default the longest the model is meant for")
    .meta({ valueName: "TOKENS" }),
  rows: z
    .int()
    .min(1)
    .max(2 ** 16)
    .default(1)
    .describe("sequences that a training pass takes at once"),
  architecture: modelConfigSchema
    .partial()
    .prefault({})
    .describe("what to change in the model, to see what it would cost"),
});

type InfoResult = Accounting & {
  model: string;
  /** One forward and backward pass of `rows` sequences, by recomputation; null where no kernels can be built. */
  training: { rows: number; sequenceLength: number; memory: Record<Recomputation, TrainingMemory> } | null;
  /** What a model directory or a run's model holds; null of a preset. */
  directory: DirectoryReport | null;
  architecture: ModelConfig;
};

/** @throws RookeryError other than NO_COMPILER: then there is nothing to ask for sizes. */
function trainingOf(config: ModelConfig, rows: number, sequenceLength: number): InfoResult["training"] {
  const settings = { rows, sequenceLength, computeType: "bf16", threads: availableParallelism() } as const;
  const predict = (recomputation: Recomputation) => predictTrainingMemory(config, { ...settings, recomputation });
  try {
    const memory = { none: predict("none"), block: predict("block") };
    return { rows, sequenceLength, memory };
  } catch (error) {
    if (error instanceof RookeryError && error.code === "NO_COMPILER") return null;
    throw error;
  }
}

function describeTraining({ rows, sequenceLength, memory }: NonNullable<InfoResult["training"]>): [string, string][] {
  const { none, block } = memory;
  const of = ({ totalBytes }: TrainingMemory) => formatBytes(totalBytes);
  return [
    [
      `on ${rows} × ${sequenceLength} tokens`,
      `${of(none)} in all, ${formatBytes(none.arenaBytes)} of it activations and scratch`,
    ],
    ["with recomputation", `${of(block)} in all, ${formatBytes(block.arenaBytes)} of it activations and scratch`],
  ];
}

function reportOf(model: string, runsFolder: string): DirectoryReport | null {
  const resolved = resolveModel(model, { runsFolder });
  return resolved.kind === "preset" ? null : inspectDirectory(readModelDirectory(resolved.path));
}

function describeDirectory(report: DirectoryReport): [string, string][] {
  const types = Object.entries(report.bytesOfType).map(([type, bytes]) => `${formatBytes(bytes)} of ${type}`);
  const files = `${report.files} ${report.files === 1 ? "file" : "files"}`;
  return [
    ["layout", report.layout],
    ["weights", `${report.tensors} tensors in ${files}: ${types.join(", ")}`],
    ["tokenizer", report.tokenizer ?? "none"],
    ...report.notes.map((note): [string, string] => ["note", note]),
  ];
}

function describeExperts({ numExperts, numSharedExperts, topK }: ModelConfig): string {
  if (numExperts === 0) return "each dense";
  return `each ${numSharedExperts} shared + ${numExperts} specialised experts, top-${topK}`;
}

export const command = defineCommand({
  schema,
  positionals: ["model"],
  examples: [
    { line: "rookery info hunyuan-large", purpose: "what the largest preset costs to keep, to train and to serve" },
    { line: "rookery info checkpoints/hunyuan-large", purpose: "what a model directory holds, from its headers alone" },
    { line: "rookery info nano --json", purpose: "the same as one JSON object" },
    {
      line: "rookery info mini --sequence-length 4096 --set architecture.numExperts=16",
      purpose: "what if it had twice the experts",
    },
  ],
  preset: ({ model, runsFolder = "runs" }) =>
    typeof model === "string" && typeof runsFolder === "string"
      ? { name: model, values: { architecture: configOfModel(model, runsFolder) } }
      : undefined,
  run({ model, runsFolder, rows, sequenceLength, architecture }): InfoResult {
    const config = checkModelConfig(modelConfigSchema.parse(architecture));
    const accounting = account(config, sequenceLength);
    const training = trainingOf(config, rows, accounting.flopsPerToken.sequenceLength);
    return { model, ...accounting, training, directory: reportOf(model, runsFolder), architecture: config };
  },
  describe: ({ model, parameters, flopsPerToken, kvCache, memory, training, directory, architecture }) => {
    const { sequenceLength } = flopsPerToken;
    const cacheBytes = kvCache.bytesPerToken * sequenceLength;
    return alignColumns([
      ["model", model],
      ...(directory ? describeDirectory(directory) : []),
      ["parameters", `${shortNumber(parameters.total)} total, ${shortNumber(parameters.activated)} activated`],
      ["layers", `${architecture.numHiddenLayers}, ${describeExperts(architecture)}`],
      [
        "FLOPs a token",
        `${shortNumber(flopsPerToken.forward)} forward, ${shortNumber(flopsPerToken.training)} training, at ${sequenceLength} tokens a sequence`,
      ],
      [
        "KV cache",
        `${kvCache.bytesPerToken} bytes a token, ${(100 * kvCache.shareOfMultiHead).toFixed(1)}% of multi-head attention; ${formatBytes(cacheBytes)} a sequence`,
      ],
      ["memory to serve", `${formatBytes(memory.servingWeightBytes)} of bf16 weights, and the cache`],
      [
        "memory to train",
        `${formatBytes(memory.trainingStateBytes)} of weights, gradients and optimizer state, and the activations`,
      ],
      ...(training ? describeTraining(training) : []),
    ]);
  },
});
