import fs from "node:fs";
import path from "node:path";
import { RookeryError } from "../base/errors.ts";
import { commitDirectory, makeFolder, readJsonFile, writeFileAtomic } from "../base/files.ts";
import type { TensorToWrite } from "../formats/safetensors.ts";
import { writeShardedSafetensors } from "../formats/safetensors-shards.ts";
import { checkModelConfig, type ModelConfig } from "../model/config.ts";
import { type GenerationSettings, readGenerationConfig, toGenerationConfig, tokenIdKeys } from "./generation-config.ts";
import { chooseLayout, fromLayoutConfig, type Layout, toLayoutConfig } from "./layout.ts";
import {
  checkTensors,
  expectedTensors,
  type LayerRange,
  type ModelTensors,
  openModelTensors,
} from "./model-tensors.ts";
import { type Quantization, readQuantization, toQuantizationConfig } from "./quantization.ts";
import { checkQuantizedTensors } from "./quantized-tensors.ts";

// A model directory is a Hugging Face model directory: config.json, generation_config.json, README.md (the model card),
// the tokenizer's files, and model.safetensors or its shards and their index.

export const defaultMaxShardBytes = 5_000_000_000;

export type ModelDirectoryContents = {
  config: ModelConfig;
  /** Every tensor of the official state dict, in F32, BF16 or F16, in any order; codes and scales where it is quantized. */
  tensors: Iterable<TensorToWrite>;
  generation: GenerationSettings;
  /** The text of README.md. */
  modelCard: string;
  /** Puts the tokenizer's files into a folder. */
  writeTokenizer: (folder: string) => void;
  /** By default the one that other engines run, where it can say the model. */
  layout?: Layout;
  /** How weights are stored, and the modules that are not. */
  quantization?: { quantization: Quantization; ignored: readonly string[] } | undefined;
  /** Weights over this size are split into several files (5 GB unless told). */
  maxShardBytes?: number;
  /** Replace a model directory that is there already. */
  replace?: boolean;
};

/**
 * Writes a model directory, whole or not at all. Everything is checked before anything is written: INVALID_CONFIG,
 * UNSUPPORTED_MODEL when the layout cannot say the model, FILE_DAMAGED when tensors and configuration do not fit. Throws
 * FILE_UNWRITABLE when the disk is full or `folder` is there and `replace` is not set. Returns the layout.
 */
export function writeModelDirectory(folder: string, contents: ModelDirectoryContents): Layout {
  const config = checkModelConfig(contents.config);
  const layout = contents.layout ?? chooseLayout(config);
  const tensors = [...contents.tensors];
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  const expected = expectedTensors(config);
  const { quantization } = contents;
  if (quantization) checkQuantizedTensors(byName, config, quantization.quantization, `the model for ${folder}`);
  else {
    checkTensors(byName, expected, `the model for ${folder}`);
    // Passing over a bias is right for a file that someone else wrote, but not for ours.
    const extra = tensors.find(({ name }) => !expected.has(name));
    if (extra !== undefined) throw new TypeError(`the model for ${folder} must not have the tensor ${extra.name}`);
  }
  const configKeys = {
    ...configKeysOf(config, layout, contents.generation, byName),
    ...(quantization && {
      quantization_config: toQuantizationConfig(quantization.quantization, quantization.ignored),
    }),
  };
  makeFolder(path.dirname(folder));
  commitDirectory(
    folder,
    (temporary) => {
      const write = (name: string, text: string): void => writeFileAtomic(path.join(temporary, name), text);
      const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;
      write("config.json", json(configKeys));
      write("generation_config.json", json(toGenerationConfig(contents.generation)));
      write("README.md", contents.modelCard);
      contents.writeTokenizer(temporary);
      writeShardedSafetensors(temporary, "model", tensors, {
        maxShardBytes: contents.maxShardBytes ?? defaultMaxShardBytes,
        // transformers refuses files without this.
        metadata: { format: "pt" },
      });
    },
    contents.replace === true ? { replace: true } : {},
  );
  return layout;
}

/** The keys of config.json. Throws UNSUPPORTED_MODEL when the layout cannot say the model. */
export function configKeysOf(
  config: ModelConfig,
  layout: Layout,
  generation: GenerationSettings,
  tensors: ReadonlyMap<string, Pick<TensorToWrite, "dtype">>,
): Record<string, unknown> {
  return { ...toLayoutConfig(config, layout), ...tokenIdKeys(generation), torch_dtype: torchDtype(tensors) };
}

/** The type that most weights have is the one of the embedding table; norms and router may be wider. */
function torchDtype(tensors: ReadonlyMap<string, Pick<TensorToWrite, "dtype">>): string {
  const names: Record<string, string> = { F32: "float32", BF16: "bfloat16", F16: "float16" };
  return names[tensors.get("model.embed_tokens.weight")?.dtype ?? "F32"] ?? "float32";
}

/** A model directory whose configuration was read; its weights are opened on demand. */
export type ModelDirectory = {
  readonly path: string;
  readonly layout: Layout;
  readonly config: ModelConfig;
  readonly generation: GenerationSettings;
  /** How weights of 8 and 4 bits are stored; null for a model in bf16 or wider. */
  readonly quantization: Quantization | null;
  /**
   * Opens and checks the weights, or those of some layers; close them, or hold them with `using`. Throws FILE_UNREADABLE,
   * FILE_DAMAGED, and UNSUPPORTED_MODEL for a quantized model: `loadTransformer` alone reads its weights.
   */
  openTensors(layers?: LayerRange): ModelTensors;
};

/**
 * Reads the configuration of a model directory. Nothing in it is executed. Throws MODEL_NOT_FOUND when it is none,
 * UNSUPPORTED_MODEL with the reason when it cannot be built, INVALID_CONFIG and FILE_DAMAGED for broken files.
 */
export function readModelDirectory(folder: string): ModelDirectory {
  const configPath = path.join(folder, "config.json");
  if (!fs.existsSync(configPath)) {
    throw new RookeryError(
      "MODEL_NOT_FOUND",
      `${folder} is no model directory: it has no config.json`,
      "give a directory with config.json and safetensors weights",
    );
  }
  const values = readJsonFile(configPath);
  const { layout, config } = fromLayoutConfig(values, configPath);
  const quantization = readQuantization(values, configPath);
  const generation = readGenerationConfig(path.join(folder, "generation_config.json"));
  return {
    path: folder,
    layout,
    config,
    generation,
    quantization,
    openTensors: (layers) => {
      if (quantization === null) return openModelTensors(folder, config, layers);
      throw new RookeryError(
        "UNSUPPORTED_MODEL",
        `${folder}: its weights are quantized`,
        "give the bf16 release of the model",
      );
    },
  };
}
