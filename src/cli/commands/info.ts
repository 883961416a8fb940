import { z } from "zod";
import { type Accounting, account } from "../../model/accounting.ts";
import { checkModelConfig, type ModelConfig, modelConfigSchema } from "../../model/config.ts";
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
    .describe("tokens a sequence, for FLOPs and the cache; by default the longest the model is meant for")
    .meta({ valueName: "TOKENS" }),
  architecture: modelConfigSchema
    .partial()
    .prefault({})
    .describe("what to change in the model, to see what it would cost"),
});

type InfoResult = Accounting & { model: string; architecture: ModelConfig };

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
  run({ model, sequenceLength, architecture }): InfoResult {
    const config = checkModelConfig(modelConfigSchema.parse(architecture));
    return { model, ...account(config, sequenceLength), architecture: config };
  },
  describe: ({ model, parameters, flopsPerToken, kvCache, memory, architecture }) => {
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
    ]);
  },
});
