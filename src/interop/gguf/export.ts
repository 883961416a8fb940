/** `rookery export --format gguf`: a model directory as one file for llama.cpp, in its architectures `hunyuan-moe` and `hunyuan-dense`. */
import fs from "node:fs";
import { RookeryError } from "../../base/errors.ts";
import type { CommandContext } from "../../base/events.ts";
import { type GgufTensorType, type GgufValue, writeGguf } from "../../formats/gguf.ts";
import type { ModelConfig } from "../../model/config.ts";
import { Tokenizer } from "../../text/tokenizer.ts";
import { whyNotV1 } from "../hunyuan-v1.ts";
import { readModelDirectory } from "../model-directory.ts";
import { ggufTensors } from "./tensors.ts";
import { vocabularyMetadata, vocabularyNotes, whyNotVocabulary } from "./vocabulary.ts";

/** What the matrices are written as, and llama.cpp's number for a file of that kind. */
const fileTypes = { f32: 0, f16: 1, bf16: 32, q8_0: 7 } as const;

export const ggufTypes = ["f32", "f16", "bf16", "q8_0"] as const satisfies (keyof typeof fileTypes)[];
export type GgufType = (typeof ggufTypes)[number];

export type ExportedGguf = {
  path: string;
  architecture: string;
  type: GgufType;
  tensors: number;
  byteLength: number;
  sha256: string;
  /** What llama.cpp does otherwise, in sentences. */
  notes: string[];
};

/** The most experts that llama.cpp can choose from (LLAMA_MAX_EXPERTS). */
const mostExperts = 512;

/** Why llama.cpp cannot run this configuration (interop §4); empty when it can. */
export function whyNotGguf(config: ModelConfig): string[] {
  const reasons = whyNotV1(config);
  if (config.topK === 1 && config.topOneGate !== "one") {
    reasons.push("it divides gate weights by their sum, so a top-1 gate is always 1 instead of the raw probability");
  }
  if (config.numSharedExperts < 1) reasons.push("it always has a shared expert (numSharedExperts 0)");
  if (config.numExperts > mostExperts) {
    reasons.push(`it chooses among ${mostExperts} experts at most (numExperts ${config.numExperts})`);
  }
  return reasons;
}

function architectureOf({ numExperts }: ModelConfig): string {
  return numExperts === 0 ? "hunyuan-dense" : "hunyuan-moe";
}

/** The base of the rotary angles with alpha in it: GGUF has no key for alpha. */
function rotaryBase({ ropeTheta, ropeScaling, headDim }: ModelConfig): number {
  const alpha = ropeScaling?.alpha ?? 1;
  // a head of two has one angle, which no base changes
  return headDim === 2 ? ropeTheta : ropeTheta * alpha ** (headDim / (headDim - 2));
}

/** The metadata of the architecture (interop §4). */
export function architectureMetadata(config: ModelConfig, type: GgufType, name: string): [string, GgufValue][] {
  const architecture = architectureOf(config);
  const count = (key: string, value: number): [string, GgufValue] => [`${architecture}.${key}`, { type: "u32", value }];
  const real = (key: string, value: number): [string, GgufValue] => [`${architecture}.${key}`, { type: "f32", value }];
  return [
    ["general.architecture", { type: "string", value: architecture }],
    ["general.name", { type: "string", value: name }],
    ["general.file_type", { type: "u32", value: fileTypes[type] }],
    ["general.quantization_version", { type: "u32", value: 2 }],
    count("context_length", config.maxPositionEmbeddings),
    count("embedding_length", config.hiddenSize),
    count("block_count", config.numHiddenLayers),
    // llama.cpp sizes the experts by this key
    count("feed_forward_length", config.intermediateSize),
    count("attention.head_count", config.numAttentionHeads),
    count("attention.head_count_kv", config.numKeyValueHeads),
    count("attention.key_length", config.headDim),
    count("attention.value_length", config.headDim),
    real("attention.layer_norm_rms_epsilon", config.rmsNormEps),
    count("rope.dimension_count", config.headDim),
    real("rope.freq_base", rotaryBase(config)),
    ...(config.numExperts === 0
      ? []
      : [
          count("expert_count", config.numExperts),
          count("expert_used_count", config.topK),
          count("expert_feed_forward_length", config.intermediateSize),
          count("expert_shared_feed_forward_length", config.intermediateSize * config.numSharedExperts),
          count("expert_shared_count", config.numSharedExperts),
        ]),
  ];
}

/**
 * Writes the model in `folder` as the GGUF file `output`, whole or not at all; everything is checked before anything is written.
 * @throws RookeryError UNSUPPORTED_MODEL with every reason for what llama.cpp cannot run, INVALID_OPTION for a type that does not
 * fit the model's sizes, FILE_UNWRITABLE when `output` is there and `replace` is not set; and as reading a model directory.
 */
export async function exportGguf(
  options: { folder: string; output: string; type: GgufType; name: string; replace?: boolean },
  { signal, onEvent }: CommandContext = {},
): Promise<ExportedGguf> {
  const { folder, output, type, name } = options;
  const directory = readModelDirectory(folder);
  const { config, generation } = directory;
  const tokenizer = await Tokenizer.load(folder);
  requireGguf(folder, config, tokenizer);
  if (fs.existsSync(output) && options.replace !== true) {
    throw new RookeryError("FILE_UNWRITABLE", `cannot write ${output}: it already exists`, "choose another name");
  }
  using source = directory.openTensors();
  const total = [...source.tensors.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
  let done = 0;
  const tensors = ggufTensors(config, source, type.toUpperCase() as GgufTensorType, (count) => {
    signal?.throwIfAborted();
    done += count;
    onEvent?.({ type: "progress", what: `writing ${output}`, done, total, unit: "bytes" });
  });
  const metadata = new Map([
    ...architectureMetadata(config, type, name),
    ...vocabularyMetadata(tokenizer.json, tokenizer.config, generation),
  ]);
  const written = writeGguf(output, metadata, tensors);
  return {
    path: output,
    architecture: architectureOf(config),
    type,
    tensors: tensors.length,
    ...written,
    notes: [...source.notes, ...vocabularyNotes(tokenizer.json)],
  };
}

function requireGguf(folder: string, config: ModelConfig, tokenizer: Tokenizer): void {
  const reasons = [...whyNotGguf(config), ...whyNotVocabulary(tokenizer.json, config.vocabularySize)];
  if (reasons.length === 0) return;
  throw new RookeryError(
    "UNSUPPORTED_MODEL",
    `${folder} cannot be run by llama.cpp: ${reasons.join("; ")}`,
    "the presets nano-portable, mini-portable and bench-1b fit, with a tokenizer of exactly their size",
  );
}
