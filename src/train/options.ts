/** What a user can say about a training run; the schema is the flags, the configuration file and the type at once. */
import { z } from "zod";
import { dataOptionsSchema } from "../data/options.ts";
import { runsFolderOption } from "../interop/resolve.ts";
import { modelConfigSchema } from "../model/config.ts";
import { initializations } from "../model/initialize.ts";
import { recomputations } from "../model/recomputation.ts";
import { stagePresetNames, stageSchema } from "./stages.ts";

const positive = z.number().positive();
const share = z.number().min(0).max(1);

export const trainablePresets = ["pico", "nano", "nano-portable", "mini", "mini-portable", "bench-1b"] as const;

export const trainOptionsSchema = z.strictObject({
  preset: z
    .enum(trainablePresets)
    .default("nano")
    .describe("the model to train; `rookery info NAME` tells what it costs"),
  model: modelConfigSchema.partial().prefault({}).describe("what differs from the preset: --set model.numExperts=16"),
  ...dataOptionsSchema.shape,
  tokenizer: z
    .string()
    .optional()
    .describe("a folder with tokenizer.json to use; by default one is trained on the data")
    .meta({ valueName: "FOLDER" }),
  from: z
    .string()
    .min(1)
    .optional()
    .describe("begin with the weights and the tokenizer of this run or directory, not with fresh ones")
    .meta({ valueName: "MODEL" }),
  stage: z
    .enum(stagePresetNames)
    .optional()
    .describe("what comes after pre-training, or at once with --from: longer rows with a larger RoPE base"),
  stages: z
    .array(stageSchema)
    .max(64)
    .default([])
    .describe("the same one by one, in a file: name, sequenceLength, ropeTheta, tokens, longShare, mixture and others"),
  name: z
    .string()
    .optional()
    .describe("name of the run; by default the preset and the next free number")
    .meta({ valueName: "RUN" }),
  resume: z.boolean().default(false).describe("go on with the run --name from its newest checkpoint"),
  minutes: positive
    .max(100_000)
    .optional()
    .describe("train for about this long: measured once, then a fixed number of steps"),
  tokens: z.int().positive().optional().describe("train on this many tokens"),
  steps: z
    .int()
    .positive()
    .max(2 ** 31 - 1)
    .optional()
    .describe("train for this many updates"),
  sequenceLength: z
    .int()
    .min(8)
    .max(2 ** 20)
    .default(256)
    .describe("tokens a row; documents are packed into rows"),
  batchTokens: z
    .int()
    .min(8)
    .max(2 ** 26)
    .default(4096)
    .describe("tokens an update"),
  microBatchTokens: z
    .int()
    .min(8)
    .max(2 ** 22)
    .optional()
    .describe("tokens a forward pass; less takes less memory, and the update is the same up to rounding"),
  learningRate: positive.max(1).default(3.5e-3).describe("peak learning rate of the dense parameters"),
  expertLearningRateRatio: positive
    .max(100)
    .optional()
    .describe(
      "learning rate of the specialised experts as a share of the dense one; by default from the batch-size law",
    ),
  batchToNoiseRatio: z
    .number()
    .min(0)
    .default(0.26)
    .describe("B / B_noise, for that law; 0.26 is where the report's ratio of 0.31 for 16 experts comes from"),
  warmupShare: share.default(0.03).describe("share of the steps in which the learning rate rises"),
  annealingShare: share.default(0.05).describe("share of the steps, at the end, that anneal on the best data"),
  finalLearningRateShare: share.default(0.1).describe("learning rate of the annealing, as a share of the peak"),
  initialization: z
    .enum(initializations)
    .default("scaled")
    .describe(
      "fresh weights: official (one deviation for all), or scaled (layers start as the identity; small models learn faster)",
    ),
  weightDecay: z.number().min(0).max(10).default(0.1).describe("AdamW's decoupled decay; norms have none"),
  beta1: z.number().min(0).max(0.9999).default(0.9).describe("AdamW's decay of the first moment"),
  beta2: z.number().min(0).max(0.99999).default(0.95).describe("AdamW's decay of the second moment"),
  firstMomentType: z
    .enum(["f32", "bf16"])
    .default("f32")
    .describe("type of AdamW's first moment; bf16 saves two bytes a parameter, rounded to nearest even"),
  epsilon: positive.max(1).default(1e-8).describe("AdamW's epsilon"),
  maxGradientNorm: positive.default(1).describe("the gradient is scaled down to this norm"),
  routing: z
    .enum(["recycle", "drop", "dropless"])
    .default("recycle")
    .describe("what becomes of tokens over an expert's capacity"),
  capacityFactor: positive.max(1024).default(1.25).describe("tokens an expert takes, as a multiple of an even load"),
  balanceCoefficient: z.number().min(0).max(10).default(0.01).describe("weight of the load-balance loss (GShard form)"),
  zCoefficient: z.number().min(0).max(10).default(0).describe("weight of the router's z-loss"),
  seed: z
    .int()
    .min(0)
    .max(2 ** 31 - 1)
    .default(1)
    .describe("fixes weights, data order and recycling"),
  computeType: z
    .enum(["bf16", "f32"])
    .default("bf16")
    .describe("type of activations and products; sums are always f32"),
  recomputation: z
    .enum(recomputations)
    .default("none")
    .describe(
      "activations recomputed in the backward pass: none, or block (half the memory for them or less, about a fifth slower); results do not depend on it",
    ),
  threads: z.int().min(1).max(256).optional().describe("threads of the kernels; results do not depend on it"),
  evaluateEvery: z
    .int()
    .positive()
    .optional()
    .describe(
      "steps between measurements on held-out text; by default a tenth of the run, or what keeps them under a tenth of the time",
    ),
  checkpointEvery: z.int().positive().optional().describe("steps between checkpoints; by default about two minutes"),
  keepCheckpoints: z.int().min(1).max(1000).default(2).describe("newest checkpoints that are kept"),
  maxSkippedSteps: z
    .int()
    .min(1)
    .default(5)
    .describe("steps in a row with a loss that is not finite, before the run stops"),
  runsFolder: runsFolderOption,
});

export type TrainOptionsInput = z.input<typeof trainOptionsSchema>;
export type TrainOptions = z.output<typeof trainOptionsSchema>;
