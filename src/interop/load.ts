import { setImmediate } from "node:timers/promises";
import { RookeryError } from "../base/errors.ts";
import type { CommandContext } from "../base/events.ts";
import type { SafetensorsDtype, TensorSource } from "../formats/safetensors.ts";
import { Transformer } from "../model/transformer.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { Tokenizer } from "../text/tokenizer.ts";
import { type ModelDirectory, readModelDirectory } from "./model-directory.ts";

/** A model that can be run once `model.pack` has been called. Dispose of `model` when done. */
export type LoadedModel = ModelDirectory & {
  readonly model: Transformer;
  readonly tokenizer: Tokenizer;
  /** What was passed over in the weights, and why. */
  readonly notes: readonly string[];
};

/** Models smaller than this are there before anyone could read how far they are. */
const progressEveryBytes = 256 * 2 ** 20;

/**
 * Reads a model directory: configuration, tokenizer, and the weights as f32. Throws what `readModelDirectory`,
 * `Tokenizer.load` and opening the weights throw, OUT_OF_MEMORY, and UNSUPPORTED_MODEL when the tokenizer has more ids than
 * the model.
 */
export async function loadModel(folder: string, context: CommandContext = {}): Promise<LoadedModel> {
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
  return { ...directory, tokenizer, ...(await loadTransformer(directory, context)) };
}

/**
 * Builds the model of a directory and fills it with its F32, BF16 or F16 weights, a piece at a time, so that beside the model
 * only one piece is in memory. Throws FILE_UNREADABLE, FILE_DAMAGED, OUT_OF_MEMORY, and the signal's reason when aborted.
 */
export async function loadTransformer(
  directory: ModelDirectory,
  { signal, onEvent }: CommandContext = {},
): Promise<{ model: Transformer; notes: readonly string[] }> {
  using source = directory.openTensors();
  const model = new Transformer(directory.config);
  try {
    const total = [...source.tensors.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
    let done = 0;
    let reported = 0;
    for (const { name, tensor } of model.officialTensors()) {
      signal?.throwIfAborted();
      fill(tensor, source, name);
      done += source.tensors.get(name)!.byteLength;
      if (done - reported < progressEveryBytes) continue;
      reported = done;
      onEvent?.({ type: "progress", what: `loading ${directory.path}`, done, total, unit: "bytes" });
      await setImmediate();
    }
    return { model, notes: source.notes };
  } catch (error) {
    model[Symbol.dispose]();
    throw error;
  }
}

function fill(tensor: Tensor, source: TensorSource, name: string): void {
  const { dtype } = source.tensors.get(name)!;
  const flat = tensor.reshape(tensor.elements);
  let start = 0;
  for (const piece of source.chunks(name)) {
    const values = toFloats(piece, dtype);
    flat.rows(start, values.length).setFloats(values);
    start += values.length;
  }
}

/** Little-endian F32, BF16 or F16 bytes as f32; every one of their values is exact in it. */
export function toFloats(bytes: Uint8Array, dtype: SafetensorsDtype): Float32Array<ArrayBuffer> {
  // A copy, since typed arrays must start at a multiple of their element's size.
  const { buffer } = bytes.slice();
  if (dtype === "F32") return new Float32Array(buffer);
  if (dtype === "F16") return new Float32Array(new Float16Array(buffer));
  if (dtype !== "BF16") throw new TypeError(`${dtype} is no dtype of weights`);
  const halves = new Uint16Array(buffer);
  const words = new Uint32Array(halves.length);
  for (let i = 0; i < halves.length; i++) words[i] = halves[i]! << 16;
  return new Float32Array(words.buffer);
}
