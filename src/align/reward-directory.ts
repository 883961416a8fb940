/** A reward model as a Hugging Face directory: the model's own, with `score.weight` and the class for sequences. */
import fs from "node:fs";
import path from "node:path";
import { RookeryError } from "../base/errors.ts";
import { commitDirectory, makeFolder, quoteForMessage, readJsonFile, writeFileAtomic } from "../base/files.ts";
import { isPlainObject } from "../base/option-schema.ts";
import { writeSafetensors } from "../formats/safetensors.ts";
import { openShardedSafetensors } from "../formats/safetensors-shards.ts";
import { toFloats } from "../interop/floats.ts";
import { fromLayoutConfig } from "../interop/layout.ts";
import { loadOfficialTensors, Transformer } from "../model/transformer.ts";
import { Parameter } from "../tensor/parameter.ts";
import { Tokenizer } from "../text/tokenizer.ts";
import { tensorToWrite } from "../train/tensor-to-write.ts";
import type { RewardOptions } from "./options.ts";
import { type SavedFacts, saveChatModel } from "./save.ts";
import type { StageParts } from "./stage.ts";

export const scoreName = "score.weight";
const modelClass = "ForCausalLM";
const rewardClass = "ForSequenceClassification";
const indexName = "model.safetensors.index.json";
const scoreFile = "model-score.safetensors";

/** Writes `folder` in the place of an older one, whole or not at all. @throws RookeryError FILE_UNWRITABLE. */
export function saveRewardModel(
  folder: string,
  head: Parameter,
  options: RewardOptions,
  parts: StageParts,
  facts: SavedFacts,
): void {
  makeFolder(path.dirname(folder));
  commitDirectory(
    folder,
    (temporary) => {
      const languageModel = path.join(temporary, "language-model");
      saveChatModel(languageModel, "reward", options, parts, facts);
      for (const name of fs.readdirSync(languageModel)) {
        fs.renameSync(path.join(languageModel, name), path.join(temporary, name));
      }
      fs.rmdirSync(languageModel);
      rewriteConfig(path.join(temporary, "config.json"));
      writeSafetensors(path.join(temporary, scoreFile), [tensorToWrite(scoreName, head.weight)], { format: "pt" });
      writeIndex(temporary, parts.base.model, head);
    },
    { replace: true },
  );
}

function rewriteConfig(file: string): void {
  const config = readJsonFile(file) as Record<string, unknown>;
  const architectures = (config.architectures as string[]).map((name) => name.replace(modelClass, rewardClass));
  // one label is how transformers says that the score is a number and no class
  const labels = { num_labels: 1, id2label: { 0: "score" }, label2id: { score: 0 } };
  writeFileAtomic(file, `${JSON.stringify({ ...config, architectures, ...labels }, null, 2)}\n`);
}

/** Names the file of every tensor; a single file of weights gets another name, since it would be read without the index. */
function writeIndex(folder: string, model: Transformer, head: Parameter): void {
  const indexFile = path.join(folder, indexName);
  const single = path.join(folder, "model.safetensors");
  let index: { metadata: { total_size: number }; weight_map: Record<string, string> };
  if (fs.existsSync(indexFile)) index = readJsonFile(indexFile) as typeof index;
  else {
    const name = "model-weights.safetensors";
    const total = fs.statSync(single).size;
    fs.renameSync(single, path.join(folder, name));
    const names = model.officialTensors().map((tensor) => [tensor.name, name] as const);
    index = { metadata: { total_size: total }, weight_map: Object.fromEntries(names) };
  }
  index.weight_map[scoreName] = scoreFile;
  index.metadata.total_size += head.weight.byteLength;
  writeFileAtomic(indexFile, `${JSON.stringify(index, null, 2)}\n`);
}

/** A reward model, to be disposed of. */
export type RewardModel = Disposable & { model: Transformer; head: Parameter; tokenizer: Tokenizer };

/**
 * Reads what `saveRewardModel` has written.
 * @throws RookeryError UNSUPPORTED_MODEL for a directory of another class, FILE_UNREADABLE, FILE_DAMAGED.
 */
export async function loadRewardModel(folder: string): Promise<RewardModel> {
  const file = path.join(folder, "config.json");
  const values = readJsonFile(file);
  const name = isPlainObject(values) && Array.isArray(values.architectures) ? (values.architectures[0] as unknown) : "";
  if (typeof name !== "string" || !name.endsWith(rewardClass)) {
    throw new RookeryError(
      "UNSUPPORTED_MODEL",
      `${file}: ${quoteForMessage(String(name))} is no reward model`,
      "make one: rookery reward",
    );
  }
  const ofLanguageModel = { ...(values as object), architectures: [name.replace(rewardClass, modelClass)] };
  for (const label of ["num_labels", "id2label", "label2id"]) Reflect.deleteProperty(ofLanguageModel, label);
  const { config } = fromLayoutConfig(ofLanguageModel, file);
  const tokenizer = await Tokenizer.load(folder);
  using source = openShardedSafetensors(path.join(folder, indexName));
  const model = new Transformer(config);
  const head = new Parameter(scoreName, [1, config.hiddenSize], "matrix");
  const dispose = () => {
    model[Symbol.dispose]();
    head[Symbol.dispose]();
  };
  try {
    const read = (tensor: string) => {
      const info = source.tensors.get(tensor);
      if (info) return { shape: info.shape, values: toFloats(source.read(tensor), info.dtype) };
      throw new RookeryError("FILE_DAMAGED", `${folder} lacks ${tensor}`, "take another copy of it");
    };
    const names = [...source.tensors.keys()].filter((tensor) => tensor !== scoreName);
    loadOfficialTensors(model, lazily(names, read));
    head.weight.setFloats(read(scoreName).values);
  } catch (error) {
    dispose();
    throw error;
  }
  return { model, head, tokenizer, [Symbol.dispose]: dispose };
}

function* lazily<Read extends object>(names: readonly string[], read: (name: string) => Read) {
  for (const name of names) yield { name, ...read(name) };
}
