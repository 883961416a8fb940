/** What a model of the Hunyuan-Large architecture is made of. One description builds it, accounts for it and saves it. */
import { z } from "zod";
import { RookeryError } from "../base/errors.ts";

const size = (most: number) => z.int().min(1).max(most);

export const ropeScalingSchema = z.strictObject({
  type: z.literal("dynamic").describe("the official name; with alpha the base is the same at every length"),
  alpha: z.number().positive().describe("NTK alpha: the base becomes theta · alpha^(d / (d − 2))"),
  factor: z.number().positive().describe("kept for the official configuration, which asks for it and does not use it"),
});

export const modelConfigSchema = z.strictObject({
  vocabularySize: size(2 ** 24).describe("rows of the embedding table, special tokens and padding included"),
  hiddenSize: size(16_384).describe("width of the residual stream"),
  intermediateSize: size(2 ** 20).describe("width of each expert"),
  numHiddenLayers: size(1024).describe("layers, each an attention and a mixture of experts"),
  numAttentionHeads: size(1024).describe("query heads"),
  numKeyValueHeads: size(1024).describe("KV heads; query heads share them in equal groups (GQA)"),
  headDim: size(1024).describe("width of a head"),
  numExperts: z.int().min(0).max(1024).describe("specialised experts a layer; 0 for a dense model"),
  topK: z
    .int()
    .min(0)
    .max(64)
    .describe("specialised experts a token takes; the gate is raw for 1, renormalised above; 0 in a dense model"),
  topOneGate: z
    .literal("one")
    .optional()
    .describe("with topK 1: the gate is 1, as transformers and llama.cpp have it, instead of the raw probability"),
  numSharedExperts: z.int().min(0).max(64).describe("shared experts, as one expert of that many widths"),
  claShareFactor: size(1024).describe("neighbouring layers that share one K and V (CLA); 1 for none"),
  useQkNorm: z.boolean().describe("RMSNorm on each query and key head, after RoPE"),
  tieWordEmbeddings: z.boolean().describe("the head reads the embedding table"),
  rmsNormEps: z.number().positive().max(1).describe("epsilon of every norm"),
  ropeTheta: z.number().min(1).describe("base of the rotary angles"),
  ropeScaling: ropeScalingSchema.nullable().describe("null rounds the frequencies to bf16, as the official code does"),
  maxPositionEmbeddings: size(2 ** 24).describe("longest sequence the model is meant for"),
  initializerRange: z.number().positive().max(10).describe("standard deviation of fresh weights"),
});

export type ModelConfig = z.infer<typeof modelConfigSchema>;

/** Some fields of a configuration; those without a value are as if they were not there. */
export type ModelDifferences = { [Key in keyof ModelConfig]?: ModelConfig[Key] | undefined };

/** `base` with what differs from it; both together must be whole. @throws RookeryError as `checkModelConfig` does. */
export function configWith(base: Partial<ModelConfig>, differences: ModelDifferences): ModelConfig {
  const given = Object.entries(differences).filter(([, value]) => value !== undefined);
  return checkModelConfig({ ...base, ...Object.fromEntries(given) } as ModelConfig);
}

/**
 * Checks what one field alone cannot show.
 * @throws RookeryError INVALID_CONFIG, naming the two values that do not go together.
 */
export function checkModelConfig(config: ModelConfig): ModelConfig {
  const refuse = (message: string, hint: string): never => {
    throw new RookeryError("INVALID_CONFIG", message, hint);
  };
  if (config.numAttentionHeads % config.numKeyValueHeads !== 0) {
    refuse(
      `numAttentionHeads ${config.numAttentionHeads} is no multiple of numKeyValueHeads ${config.numKeyValueHeads}`,
      "each KV head serves the same number of query heads",
    );
  }
  if ((config.numExperts === 0) !== (config.topK === 0)) {
    refuse(
      `numExperts ${config.numExperts} does not go with topK ${config.topK}`,
      "a dense model has 0 of both, any other at least 1",
    );
  }
  if (config.topK > config.numExperts) {
    refuse(`topK ${config.topK} is more than numExperts ${config.numExperts}`, "lower topK or add experts");
  }
  if (config.numExperts === 0 && config.numSharedExperts !== 1) {
    refuse(
      `numSharedExperts ${config.numSharedExperts} with numExperts 0`,
      "the one feed-forward of a dense layer counts as a shared expert: set numSharedExperts 1",
    );
  }
  if (config.topOneGate !== undefined && config.topK !== 1) {
    refuse(`topOneGate does not go with topK ${config.topK}`, "leave it out: it is about a single choice");
  }
  if (config.headDim % 2 !== 0) refuse(`headDim ${config.headDim} is odd`, "RoPE turns pairs: take an even headDim");
  return config;
}

/** The layer that makes the K and V which `layer` reads: the first of its CLA group (Brandon et al., 2024; interop §1.3). */
export function keyValueOwner(config: ModelConfig, layer: number): number {
  return layer - (layer % config.claShareFactor);
}

/** Groups of layers that share a K and V: what a cache holds. */
export function numKeyValueGroups(config: ModelConfig): number {
  return Math.ceil(config.numHiddenLayers / config.claShareFactor);
}
