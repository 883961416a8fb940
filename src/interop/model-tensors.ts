import fs from "node:fs";
import path from "node:path";
import { RookeryError } from "../base/errors.ts";
import { quoteForMessage } from "../base/files.ts";
import { SafetensorsFile, type TensorInfo, TensorSource } from "../formats/safetensors.ts";
import { openShardedSafetensors } from "../formats/safetensors-shards.ts";
import type { ModelConfig } from "../model/config.ts";
import { describeParameters } from "../model/parameters.ts";
import { splitFused } from "./fused-tensors.ts";

/** Layers `first` to `first + count − 1`. */
export type LayerRange = { first: number; count: number };

/** The tensors of a model directory, exactly those of its configuration. `notes` says what was passed over, and why. */
export class ModelTensors extends TensorSource {
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly notes: readonly string[];
  readonly #source: TensorSource;

  constructor(source: TensorSource, names: Iterable<string>, notes: readonly string[]) {
    super();
    this.#source = source;
    this.notes = notes;
    this.tensors = new Map([...names].map((name) => [name, source.tensors.get(name)!]));
  }

  readInto(name: string, destination: Uint8Array, byteOffset?: number): void {
    this.#source.readInto(name, destination, byteOffset);
  }

  async readIntoAsync(name: string, destination: Uint8Array, byteOffset?: number): Promise<void> {
    await this.#source.readIntoAsync(name, destination, byteOffset);
  }

  close(): void {
    this.#source.close();
  }
}

const singleName = "model.safetensors";
const indexName = "model.safetensors.index.json";
const floatDtypes = new Set(["F32", "BF16", "F16"]);
const namesShown = 3;

/** Names and shapes of the official state dict of a configuration; `hunyuan_v1_moe` has the same. */
export function expectedTensors(config: ModelConfig): Map<string, readonly number[]> {
  const expected = new Map<string, readonly number[]>();
  for (const { official } of describeParameters(config))
    for (const { name, shape } of official) expected.set(name, shape);
  return expected;
}

/** Whether a tensor belongs to one of the layers, or to none (embedding, last norm, head). */
function isOfLayers(name: string, { first, count }: LayerRange): boolean {
  const layer = /^model\.layers\.(\d+)\./.exec(name)?.[1];
  return layer === undefined || (Number(layer) >= first && Number(layer) < first + count);
}

/**
 * Opens the weights in `folder` and checks that they are those of `config`. Unused biases, rotary tables and the head of
 * a tied model are passed over with a note; a missing, an unexpected, or a wrongly shaped tensor is an error that names
 * it (FILE_DAMAGED). Tensors that several are stored in are taken apart. With `layers`, only the files of those layers are
 * opened, and of what stands outside the layers; the others need not be there. Pickle files are never read.
 */
export function openModelTensors(folder: string, config: ModelConfig, layers?: LayerRange): ModelTensors {
  const isWanted = (name: string): boolean => layers === undefined || isOfLayers(name, layers);
  const source = openWeights(folder, isWanted);
  try {
    const expected = new Map([...expectedTensors(config)].filter(([name]) => isWanted(name)));
    const split = splitFused(source, expected, config, folder);
    const found = new Map([...split.tensors].filter(([name]) => isWanted(name)));
    const notes = checkTensors(found, expected, folder);
    return new ModelTensors(split, expected.keys(), notes);
  } catch (error) {
    source.close();
    throw error;
  }
}

/** Opens the files of those tensors, whatever they are. */
export function openWeights(folder: string, isWanted: (name: string) => boolean): TensorSource {
  // As in transformers, a single file is preferred to an index beside it.
  const single = path.join(folder, singleName);
  if (fs.existsSync(single)) return SafetensorsFile.open(single);
  const index = path.join(folder, indexName);
  if (fs.existsSync(index)) return openShardedSafetensors(index, isWanted);
  const pickle = fs.readdirSync(folder).find((name) => /\.(bin|pt|pth)$/.test(name));
  throw new RookeryError(
    "FILE_UNREADABLE",
    `${folder} has neither ${singleName} nor ${indexName}`,
    pickle === undefined
      ? "give a directory with safetensors weights"
      : `${pickle} is a pickle, which can run code and is never read: save the model as safetensors`,
  );
}

/** Throws for what does not fit; returns a note for each kind of tensor that is passed over. */
export function checkTensors(
  found: ReadonlyMap<string, Pick<TensorInfo, "dtype" | "shape">>,
  expected: ReadonlyMap<string, readonly number[]>,
  where: string,
): string[] {
  const refuse = (what: string, names: readonly string[], hint: string): void => {
    if (names.length === 0) return;
    const shown = names.slice(0, namesShown).join(", ");
    const more = names.length > namesShown ? ` and ${names.length - namesShown} more` : "";
    throw new RookeryError("FILE_DAMAGED", `${where}: ${what}: ${shown}${more}`, hint);
  };
  const missing: string[] = [];
  const misshapen: string[] = [];
  const quantized: string[] = [];
  for (const [name, shape] of expected) {
    const tensor = found.get(name);
    if (tensor === undefined) missing.push(quoteForMessage(name));
    else if (!sameShape(tensor.shape, shape)) {
      misshapen.push(`${quoteForMessage(name)} is [${tensor.shape.join(", ")}] instead of [${shape.join(", ")}]`);
    } else if (!floatDtypes.has(tensor.dtype)) quantized.push(`${quoteForMessage(name)} is ${tensor.dtype}`);
  }
  const passedOver = { biases: 0, rotary: 0, head: 0 };
  const unexpected: string[] = [];
  for (const name of found.keys()) {
    if (expected.has(name)) continue;
    if (name.endsWith(".bias") && expected.has(`${name.slice(0, -".bias".length)}.weight`)) passedOver.biases += 1;
    else if (/(^|\.)rotary_emb\.(inv_freq|cos_cached|sin_cached)$/.test(name)) passedOver.rotary += 1;
    else if (name === "lm_head.weight") passedOver.head += 1;
    else unexpected.push(quoteForMessage(name));
  }
  const hint = "check that config.json and the weights belong together";
  refuse("tensors are missing", missing, hint);
  refuse("tensors have the wrong shape", misshapen, hint);
  refuse("tensors are there that its config.json does not know", unexpected, hint);
  refuse("only F32, BF16 and F16 weights can be used", quantized, "give the bf16 release of the model");
  const notes: string[] = [];
  if (passedOver.biases > 0)
    notes.push(`${passedOver.biases} bias tensors were passed over: this architecture has none`);
  if (passedOver.rotary > 0) notes.push(`${passedOver.rotary} rotary tables were passed over: they are computed`);
  if (passedOver.head > 0) notes.push("lm_head.weight was passed over: the head reads the embedding table");
  return notes;
}

export function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, index) => size === b[index]);
}
