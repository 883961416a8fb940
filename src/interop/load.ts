import { RookeryError } from "../base/errors.ts";
import type { CommandContext } from "../base/events.ts";
import { dtypeBytes } from "../formats/safetensors.ts";
import { readAhead } from "../formats/tensor-source.ts";
import type { ThreadPool } from "../kernels/bindings/threads.ts";
import { keyValueOwner, type ModelConfig } from "../model/config.ts";
import { Transformer } from "../model/transformer.ts";
import type { ComputeType } from "../tensor/tensor.ts";
import { Tokenizer } from "../text/tokenizer.ts";
import { toFloats } from "./floats.ts";
import { type ModelDirectory, readModelDirectory } from "./model-directory.ts";
import type { LayerRange } from "./model-tensors.ts";
import { loadQuantized } from "./quantized-tensors.ts";

/** A model that can be run; for serving it is fast once `model.keepPacked` has been called, or loaded so. Dispose of `model` when done. */
export type LoadedModel = ModelDirectory & {
  readonly model: Transformer;
  readonly tokenizer: Tokenizer;
  /** What was passed over in the weights, and why. */
  readonly notes: readonly string[];
};

/** Models smaller than this are there before anyone could read how far they are. */
const progressEveryBytes = 256 * 2 ** 20;

/** For a model that only serves: which products it is for, and who packs its matrices. */
export type ServingLayout = { pool: ThreadPool; computeType: ComputeType };

/**
 * Reads a model directory: configuration, tokenizer, and the weights as f32, or, with `serving`, as `loadTransformer` has it. Throws what `readModelDirectory`,
 * `Tokenizer.load` and opening the weights throw, OUT_OF_MEMORY, and UNSUPPORTED_MODEL when the tokenizer has more ids than
 * the model.
 */
export async function loadModel(
  folder: string,
  context: CommandContext = {},
  serving?: ServingLayout,
): Promise<LoadedModel> {
  const directory = readModelDirectory(folder);
  // The tokenizer first: it is small, and whatever is wrong with it is said before gigabytes are read.
  const tokenizer = await Tokenizer.load(folder);
  const { vocabularySize } = directory.config;
  if (tokenizer.vocabularySize > vocabularySize) {
    throw new RookeryError(
      "UNSUPPORTED_MODEL",
      `${folder}: the tokenizer has ids up to ${tokenizer.vocabularySize - 1}, the model only up to ${vocabularySize - 1}`,
      "check that tokenizer.json and the weights belong together",
    );
  }
  return { ...directory, tokenizer, ...(await loadTransformer(directory, context, { serving })) };
}

/**
 * Builds the model of a directory and fills it with its F32, BF16 or F16 weights, a few pieces at a time, so that beside the
 * model only those are in memory. With `layers`, a model of these alone, which become its layers from 0 on; they start where
 * keys and values are not another layer's. With `serving`, each matrix is packed as soon as it is whole and kept only so: the model takes
 * no more memory than its file, but cannot be trained, saved or quantized. Weights of 8 and 4 bits stay so in any case. Throws FILE_UNREADABLE, FILE_DAMAGED, OUT_OF_MEMORY, INVALID_OPTION, and the signal's
 * reason when aborted.
 */
export async function loadTransformer(
  directory: ModelDirectory,
  context: CommandContext = {},
  { layers, serving }: { layers?: LayerRange | undefined; serving?: ServingLayout | undefined } = {},
): Promise<{ model: Transformer; notes: readonly string[] }> {
  const isQuantized = directory.quantization !== null && layers === undefined;
  const loaded = isQuantized
    ? loadQuantized(directory, directory.quantization, context)
    : await loadFloats(directory, context, layers, serving);
  try {
    // what is not packed yet: a table that tokens are looked up in, which is read in place, whatever else it does
    if (serving) loaded.model.keepPacked(serving.pool, serving.computeType);
    return loaded;
  } catch (error) {
    loaded.model[Symbol.dispose]();
    throw error;
  }
}

async function loadFloats(
  directory: ModelDirectory,
  { signal, onEvent }: CommandContext,
  layers: LayerRange | undefined,
  serving: ServingLayout | undefined,
): Promise<{ model: Transformer; notes: readonly string[] }> {
  const first = layers?.first ?? 0;
  const config = layers === undefined ? directory.config : configOfLayers(directory.config, layers);
  using source = directory.openTensors(layers);
  const model = new Transformer(config);
  try {
    const tensors = new Map(model.officialTensors().map(({ name, tensor }) => [nameFrom(first, name), tensor]));
    const parameters = new Map(
      model.descriptions.flatMap(({ name, role, official }) => {
        const parameter = model.parameter(name);
        const missing = { parameter, values: parameter.weight.elements, isLookedUp: role === "embedding" };
        return official.map((part) => [nameFrom(first, part.name), missing] as const);
      }),
    );
    const total = [...source.tensors.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
    let done = 0;
    let reported = 0;
    for await (const { name, byteOffset, bytes } of readAhead(source, [...tensors.keys()])) {
      signal?.throwIfAborted();
      const tensor = tensors.get(name)!;
      const { dtype } = source.tensors.get(name)!;
      const values = toFloats(bytes, dtype);
      const flat = tensor.reshape(tensor.elements);
      flat.rows(byteOffset / dtypeBytes[dtype], values.length).setFloats(values);
      const missing = parameters.get(name)!;
      missing.values -= values.length;
      if (serving && missing.values === 0 && !missing.isLookedUp)
        missing.parameter.keepOnlyPacked(serving.pool, serving.computeType);
      done += bytes.byteLength;
      if (done - reported < progressEveryBytes) continue;
      reported = done;
      onEvent?.({ type: "progress", what: `loading ${directory.path}`, done, total, unit: "bytes" });
    }
    return { model, notes: source.notes };
  } catch (error) {
    model[Symbol.dispose]();
    throw error;
  }
}

function configOfLayers(config: ModelConfig, { first, count }: LayerRange): ModelConfig {
  const isRange = Number.isSafeInteger(first) && Number.isSafeInteger(count) && first >= 0 && count >= 1;
  if (!isRange || first + count > config.numHiddenLayers || keyValueOwner(config, first) !== first) {
    throw new RookeryError(
      "INVALID_OPTION",
      `${count} layers from ${first} on cannot be loaded of ${config.numHiddenLayers}`,
      config.claShareFactor === 1
        ? "give layers that are there"
        : `begin at a multiple of ${config.claShareFactor}: the layers after it read its keys and values`,
    );
  }
  return { ...config, numHiddenLayers: count };
}

/** The name in the file of a tensor of a model that begins at layer `first` of it. */
function nameFrom(first: number, name: string): string {
  return name.replace(/^model\.layers\.(\d+)\./, (_, layer: string) => `model.layers.${Number(layer) + first}.`);
}
