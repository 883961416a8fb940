/** From options to everything a run stands on: the configuration of the model, a tokenizer, and tokenized data. */
import fs from "node:fs";
import path from "node:path";
import { RookeryError } from "../base/errors.ts";
import type { CommandContext } from "../base/events.ts";
import { makeFolder, sha256OfFile } from "../base/files.ts";
import type { Dataset } from "../data/dataset.ts";
import { documentEncoder } from "../data/encoder.ts";
import { type HeldOut, heldOutBatches } from "../data/held-out.ts";
import type { DataOptions } from "../data/options.ts";
import { dataOptionsSchema } from "../data/options.ts";
import { type PreparedData, prepareData, textsForTokenizer } from "../data/prepare.ts";
import { folderOfRunOrDirectory } from "../interop/folders.ts";
import { type LoadedModel, loadModel } from "../interop/load.ts";
import { configWith, type ModelConfig } from "../model/config.ts";
import { presets } from "../model/presets.ts";
import { BpeTrainer } from "../text/bpe-trainer.ts";
import { Tokenizer } from "../text/tokenizer.ts";
import { type TrainOptions, trainOptionsSchema } from "./options.ts";
import { batchShape } from "./resolve.ts";

/** The part of the options that says what to read. */
export function dataOptionsOf(options: TrainOptions): DataOptions {
  return Object.fromEntries(
    Object.keys(dataOptionsSchema.shape).map((key) => [key, options[key as keyof DataOptions]]),
  ) as DataOptions;
}

/** The preset with what differs from it. */
export function modelConfigOf(options: TrainOptions): ModelConfig {
  // a model to begin with has brought its whole configuration
  return configWith(options.from === undefined ? presets[options.preset] : {}, options.model);
}

/** The model that a run begins with, if it does with one. @throws RookeryError INVALID_OPTION for one in 8 or 4 bits. */
export async function loadBeginning(
  { from, tokenizer, runsFolder }: TrainOptions,
  context: CommandContext,
): Promise<LoadedModel | undefined> {
  if (from === undefined) return undefined;
  const folder = folderOfRunOrDirectory(from, runsFolder);
  const loaded = await loadModel(folder, context);
  const refuse = (message: string, hint: string) => {
    loaded.model[Symbol.dispose]();
    return new RookeryError("INVALID_OPTION", message, hint);
  };
  if (loaded.quantization !== null) throw refuse(`${folder} has quantized weights`, "begin with the model before that");
  if (tokenizer !== undefined && tokenizer !== folder) {
    throw refuse(`--tokenizer ${tokenizer} is given beside --from ${from}`, "leave it out: a model has its tokenizer");
  }
  return loaded;
}

const changeable: readonly string[] = ["ropeTheta", "ropeScaling", "maxPositionEmbeddings"];

/** The options with the model's own configuration and tokenizer. @throws RookeryError INVALID_OPTION for another shape. */
export function optionsFrom(options: TrainOptions, { config, path: folder }: LoadedModel): TrainOptions {
  if (options.preset !== trainOptionsSchema.parse({}).preset) {
    throw new RookeryError(
      "INVALID_OPTION",
      `--preset ${options.preset} is given beside --from ${options.from}`,
      "leave it out: a model has its configuration",
    );
  }
  const changes = Object.entries(options.model).filter(([, value]) => value !== undefined);
  for (const [key, value] of changes) {
    if (changeable.includes(key) || JSON.stringify(value) === JSON.stringify(config[key as keyof ModelConfig]))
      continue;
    throw new RookeryError(
      "INVALID_OPTION",
      `model.${key} is ${JSON.stringify(value)}, that of --from ${options.from} ${JSON.stringify(config[key as keyof ModelConfig])}`,
      `leave it out: of a trained model only ${changeable.join(", ")} can change`,
    );
  }
  return { ...options, tokenizer: folder, model: { ...config, ...Object.fromEntries(changes) } };
}

/** Where a run keeps its tokenizer. */
export const tokenizerFolderOf = (runFolder: string): string => path.join(runFolder, "tokenizer");

/**
 * The run's own copy of its tokenizer: read if the run has one, copied from `options.tokenizer`, or trained on the training texts.
 * @throws RookeryError INVALID_CONFIG if the vocabulary does not fit the model.
 */
export async function prepareTokenizer(
  options: TrainOptions,
  config: ModelConfig,
  runFolder: string,
  context: CommandContext,
): Promise<{ tokenizer: Tokenizer; folder: string }> {
  const folder = tokenizerFolderOf(runFolder);
  if (!fs.existsSync(path.join(folder, "tokenizer.json"))) {
    const made = options.tokenizer
      ? await Tokenizer.load(options.tokenizer)
      : await trainTokenizer(dataOptionsOf(options), config.vocabularySize, context);
    makeFolder(folder);
    await made.save(folder);
  }
  const tokenizer = await Tokenizer.load(folder);
  if (tokenizer.vocabularySize > config.vocabularySize) {
    throw new RookeryError(
      "INVALID_CONFIG",
      `the tokenizer has ${tokenizer.vocabularySize} tokens, the model's vocabulary ${config.vocabularySize}`,
      `give --set model.vocabularySize=${tokenizer.vocabularySize}`,
    );
  }
  return { tokenizer, folder };
}

async function trainTokenizer(data: DataOptions, vocabularySize: number, context: CommandContext): Promise<Tokenizer> {
  const trainer = new BpeTrainer();
  for await (const text of textsForTokenizer(data, context)) {
    context.signal?.throwIfAborted();
    trainer.add(text);
  }
  return Tokenizer.fromTraining(trainer.train({ ...context, vocabularySize }));
}

/** The run's data, tokenized; from the cache if nothing has changed. */
export function prepareTrainingData(
  options: TrainOptions,
  tokenizer: Tokenizer,
  tokenizerFolder: string,
  context: CommandContext,
): Promise<PreparedData> {
  const encoder = documentEncoder(tokenizer, sha256OfFile(path.join(tokenizerFolder, "tokenizer.json")));
  const cacheFolder = path.join(options.runsFolder, ".cache");
  return prepareData({ data: dataOptionsOf(options), encoder, cacheFolder }, context);
}

/** The held-out text as a run measures it: the same batches for the same data, whatever is trained on it. */
export function heldOutOf(dataset: Dataset, options: TrainOptions, tokenizer: Tokenizer, maxTokens: number): HeldOut {
  return heldOutBatches({
    sources: dataset.heldOut,
    rows: batchShape(options).rows,
    sequenceLength: options.sequenceLength,
    tokenBytes: tokenizer.textByteLengths,
    padToken: tokenizer.controlId("pad"),
    maxTokens,
  });
}
