/** Models by name. Where no RoPE scaling is wanted, alpha is 1: with null the official code rounds the frequencies to bf16. */
import type { ModelConfig } from "./config.ts";

const unscaled = { type: "dynamic", alpha: 1, factor: 1 } as const;

const common = {
  useQkNorm: true,
  rmsNormEps: 1e-5,
  ropeTheta: 10_000,
  ropeScaling: unscaled,
  initializerRange: 0.02,
  numSharedExperts: 1,
  tieWordEmbeddings: true,
};

/** What `npm start` trains: every part of the recipe at a size that learns in minutes. */
const nano: ModelConfig = {
  ...common,
  vocabularySize: 4096,
  hiddenSize: 256,
  intermediateSize: 704,
  numHiddenLayers: 6,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  headDim: 64,
  numExperts: 8,
  topK: 1,
  claShareFactor: 2,
  maxPositionEmbeddings: 2048,
};

/** What a sweep scales on one machine: heads and a vocabulary so small that a member of its family has 30,000 parameters. */
const pico: ModelConfig = {
  ...common,
  vocabularySize: 512,
  hiddenSize: 192,
  intermediateSize: 192,
  numHiddenLayers: 8,
  numAttentionHeads: 6,
  numKeyValueHeads: 3,
  headDim: 32,
  numExperts: 4,
  topK: 1,
  claShareFactor: 2,
  maxPositionEmbeddings: 512,
};

const mini: ModelConfig = {
  ...common,
  vocabularySize: 8192,
  hiddenSize: 512,
  intermediateSize: 576,
  numHiddenLayers: 12,
  numAttentionHeads: 8,
  numKeyValueHeads: 2,
  headDim: 64,
  numExperts: 8,
  topK: 1,
  claShareFactor: 2,
  maxPositionEmbeddings: 4096,
};

/** What transformers, vLLM and llama.cpp can express: no cross-layer attention, gates that sum to one. */
const portable = { claShareFactor: 1, topK: 2 };

/** The default shape of the llama.cpp comparison: 0.97B parameters, 0.35B activated. */
const bench1b: ModelConfig = {
  ...common,
  vocabularySize: 8192,
  hiddenSize: 1024,
  intermediateSize: 2816,
  numHiddenLayers: 12,
  numAttentionHeads: 16,
  numKeyValueHeads: 4,
  headDim: 64,
  numExperts: 8,
  topK: 2,
  claShareFactor: 1,
  maxPositionEmbeddings: 32_768,
};

/** Tencent's 389B (report, table 1; the released pretrain configuration). For accounting: nobody instantiates it here. */
const hunyuanLarge: ModelConfig = {
  ...common,
  vocabularySize: 128_512,
  hiddenSize: 6400,
  intermediateSize: 18_304,
  numHiddenLayers: 64,
  numAttentionHeads: 80,
  numKeyValueHeads: 8,
  headDim: 80,
  numExperts: 16,
  topK: 1,
  claShareFactor: 2,
  ropeScaling: { type: "dynamic", alpha: 100_000, factor: 1 },
  maxPositionEmbeddings: 262_144,
};

export const presets = {
  pico,
  nano,
  "nano-portable": { ...nano, ...portable },
  mini,
  "mini-portable": { ...mini, ...portable },
  "bench-1b": bench1b,
  "hunyuan-large": hunyuanLarge,
} as const satisfies Record<string, ModelConfig>;

export type PresetName = keyof typeof presets;

export function isPresetName(name: string): name is PresetName {
  return Object.hasOwn(presets, name);
}
