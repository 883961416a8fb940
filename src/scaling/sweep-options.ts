/** What a user can say about a sweep; the schema is the flags, the configuration file and the type at once. */
import { z } from "zod";
import { dataOptionsSchema } from "../data/options.ts";
import { modelConfigSchema } from "../model/config.ts";
import { trainablePresets, trainOptionsSchema } from "../train/options.ts";

const positive = z.number().positive();

/** What all runs of a sweep share of the recipe. */
const recipeSchema = trainOptionsSchema
  .pick({
    initialization: true,
    weightDecay: true,
    beta1: true,
    beta2: true,
    warmupShare: true,
    annealingShare: true,
    finalLearningRateShare: true,
    maxGradientNorm: true,
    routing: true,
    capacityFactor: true,
    balanceCoefficient: true,
    zCoefficient: true,
    batchToNoiseRatio: true,
    computeType: true,
  })
  .partial();

export const sweepOptionsSchema = z.strictObject({
  name: z.string().default("sweep").describe("name of the sweep").meta({ valueName: "NAME" }),
  resume: z.boolean().default(false).describe("go on with the sweep --name where it stopped"),
  retryFailed: z.boolean().default(false).describe("with --resume: train failed points again, from their beginning"),
  planOnly: z.boolean().default(false).describe("print what would be trained and how long it takes, and stop"),
  family: z
    .enum(trainablePresets)
    .default("pico")
    .describe("the preset whose proportions, sparsity and vocabulary all models take"),
  model: modelConfigSchema.partial().prefault({}).describe("what differs from the preset: --set model.numExperts=8"),
  ...dataOptionsSchema.shape,
  tokenizer: z
    .string()
    .optional()
    .describe("a folder with tokenizer.json to use; by default one is trained on the data")
    .meta({ valueName: "FOLDER" }),
  budgets: z
    .array(positive.max(1e30))
    .min(1)
    .max(64)
    .default([1e12, 2e12, 4e12, 8e12])
    .describe("training FLOPs: each makes one curve")
    .meta({ valueName: "FLOPS" }),
  sizesPerBudget: z.int().min(1).max(64).default(6).describe("models a budget").meta({ valueName: "COUNT" }),
  sizeStep: z.number().min(1.05).max(16).default(1.6).describe("factor from one model of a budget to the next"),
  tokensPerParameter: positive
    .max(1e6)
    .default(12)
    .describe("tokens an activated parameter in the middle of each budget's sizes")
    .meta({ valueName: "COUNT" }),
  sizes: z
    .array(positive.max(1e13))
    .min(1)
    .max(64)
    .optional()
    .describe("activated parameters to train at every budget, instead of those sizes")
    .meta({ valueName: "COUNT" }),
  seeds: z.int().min(1).max(100).default(2).describe("runs of each point").meta({ valueName: "COUNT" }),
  sequenceLength: z
    .int()
    .min(8)
    .max(2 ** 20)
    .default(128)
    .describe("tokens a row"),
  batchTokens: z
    .int()
    .min(8)
    .max(2 ** 26)
    .optional()
    .describe("tokens an update at the smallest budget, growing with C^0.3271; by default 0.292 · C^0.3271")
    .meta({ valueName: "TOKENS" }),
  learningRate: z
    .union([z.enum(["rule", "search"]), positive.max(1)])
    .default("rule")
    .describe(
      "peak rate: rule (0.3118 · C^-0.125), a number at the smallest budget that falls with C^-0.125, or search (at the smallest budget, at three of its sizes)",
    )
    .meta({ valueName: "RATE" }),
  recipe: recipeSchema
    .prefault({})
    .describe("what differs from the recipe of `rookery train`: --set recipe.beta2=0.99"),
  maxPasses: positive.max(1000).default(2).describe("how often a run may see its text").meta({ valueName: "COUNT" }),
  measureNoise: z.boolean().default(true).describe("measure the gradient's noise scale at the end of each run"),
  threads: z.int().min(1).max(256).default(1).describe("threads of each run; results do not depend on it"),
  parallel: z
    .int()
    .min(1)
    .max(256)
    .optional()
    .describe("runs at once; by default the cores over --threads")
    .meta({ valueName: "COUNT" }),
  sweepsFolder: z
    .string()
    .min(1)
    .default("sweeps")
    .describe("the folder that holds the sweeps")
    .meta({ valueName: "FOLDER" }),
});

export type SweepOptionsInput = z.input<typeof sweepOptionsSchema>;
export type SweepOptions = z.output<typeof sweepOptionsSchema>;

/** What may be said anew each time a sweep goes on; no result depends on it. */
export const freeOnSweepResume = ["name", "resume", "retryFailed", "planOnly", "threads", "parallel", "sweepsFolder"];
