/** Models of a few thousand weights, random but always the same, for the tests of whatever runs models. */
import fs from "node:fs";
import path from "node:path";
import { writeModelDirectory } from "../src/interop/model-directory.ts";
import type { ModelConfig } from "../src/model/config.ts";
import { presets } from "../src/model/presets.ts";
import { Transformer } from "../src/model/transformer.ts";
import { BpeTrainer } from "../src/text/bpe-trainer.ts";
import { Tokenizer } from "../src/text/tokenizer.ts";

/** Every part of the recipe, sizes that divide no tile, and rows of the embedding that no token has. */
export const tinyConfig: ModelConfig = {
  ...presets.nano,
  vocabularySize: 307,
  hiddenSize: 96,
  intermediateSize: 40,
  numHiddenLayers: 5,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  headDim: 24,
  numExperts: 4,
  maxPositionEmbeddings: 700,
  // Large enough that texts differ: with the usual 0.02 every token is about equally likely.
  initializerRange: 0.2,
};

export function tinyTokenizer(): Tokenizer {
  const trainer = new BpeTrainer();
  trainer.add("the rookery on the rock: the penguins, the chicks and the cold sea");
  return Tokenizer.fromTraining(trainer.train({ vocabularySize: 290 }));
}

export function tinyModel(changes: Partial<ModelConfig> = {}): Transformer {
  const model = new Transformer({ ...tinyConfig, ...changes });
  model.initialize(7);
  return model;
}

/** Writes the tiny model as a model directory and answers with its path. */
export async function writeTinyModel(folder: string, changes: Partial<ModelConfig> = {}): Promise<string> {
  using model = tinyModel(changes);
  return await writeModel(folder, model, tinyTokenizer());
}

/** Writes a model in f32 with its tokenizer as a model directory and answers with its path. */
export async function writeModel(folder: string, model: Transformer, tokenizer: Tokenizer): Promise<string> {
  const files = path.join(folder, "tokenizer");
  await tokenizer.save(files);
  const target = path.join(folder, "model");
  writeModelDirectory(target, {
    config: model.config,
    tensors: model
      .officialTensors()
      .map(({ name, tensor }) => ({ name, dtype: "F32", shape: tensor.shape, bytes: tensor.toBytes() })),
    generation: {
      bosTokenId: tokenizer.controlId("startOfText"),
      eosTokenIds: [tokenizer.controlId("eos")],
      padTokenId: tokenizer.controlId("pad"),
    },
    modelCard: "# A tiny model\n",
    writeTokenizer: (into) => fs.cpSync(files, into, { recursive: true }),
  });
  return target;
}
