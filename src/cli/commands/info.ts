import { availableParallelism } from "node:os";
import { z } from "zod";
import { RookeryError } from "../../base/errors.ts";
import { type Accounting, account } from "../../model/accounting.ts";
import { checkModelConfig, type ModelConfig, modelConfigSchema } from "../../model/config.ts";
import type { Recomputation } from "../../model/transformer.ts";
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

export const command = defineCommand({
  schema,
  positionals: ["model"],
  examples: [
    { line: "rookery info hunyuan-large", purpose: "what the largest preset costs to keep, to train and to serve" },
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
  run({ model, rows, sequenceLength, architecture }): InfoResult {
    const config = checkModelConfig(modelConfigSchema.parse(architecture));
    const accounting = account(config, sequenceLength);
    const training = trainingOf(config, rows, accounting.flopsPerToken.sequenceLength);
    return { model, ...accounting, training, architecture: config };
  },
  describe: ({ model, parameters, flopsPerToken, kvCache, memory, training, architecture }) => {
    const { sequenceLength } = flopsPerToken;
    const cacheBytes = kvCache.bytesPerToken * sequenceLength;
    return alignColumns([
      ["model", model],
      ["parameters", `${shortNumber(parameters.total)} total, ${shortNumber(parameters.activated)} activated`],
      [
        "layers",
        `${architecture.numHiddenLayers}, each ${architecture.numSharedExperts} shared + ${architecture.numExperts} specialised experts, top-${architecture.topK}`,
      ],
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
