/** A model directory into one with weights of 8 or 4 bits. */
import fs from "node:fs";
import path from "node:path";
import type { CommandContext } from "../base/events.ts";
import type { TensorToWrite } from "../formats/safetensors.ts";
import { toFloats } from "../interop/floats.ts";
import { type ModelDirectory, writeModelDirectory } from "../interop/model-directory.ts";
import { moduleOf, quantizedTensors } from "../interop/quantization.ts";
import { ThreadPool } from "../kernels/bindings/threads.ts";
import type { Calibration } from "./calibrate.ts";
import { decode, type RoundedMatrix, roundMatrix, squaredError } from "./round.ts";
import type { Plan } from "./scheme.ts";

/** How far a matrix is from what it was: ‖W − Ŵ‖ / ‖W‖, and both squared, for sums over several. */
export type MatrixError = { name: string; relative: number; error: number; norm: number };

export type QuantizeOptions = {
  threads: number;
  /** What was rounded already, and scales of inputs. */
  calibration?: Calibration | undefined;
  modelCard: string;
  replace?: boolean;
};

/**
 * Writes `folder` with the weights of `directory` as `plan` says, and `modelCard`; each matrix is rounded to the nearest codes
 * unless `calibration` has rounded it already. Returns the error of every matrix. Throws as `writeModelDirectory` and reading
 * the weights do, and the signal's reason.
 */
export function writeQuantized(
  folder: string,
  directory: ModelDirectory,
  { quantization, ignored }: Plan,
  { threads, calibration, modelCard, replace = false }: QuantizeOptions,
  { signal, onEvent }: CommandContext = {},
): MatrixError[] {
  using source = directory.openTensors();
  using pool = new ThreadPool(threads);
  const quantized = quantizedTensors(directory.config, quantization);
  const tensors: TensorToWrite[] = [];
  const errors: MatrixError[] = [];
  let done = 0;
  for (const { name, dtype, shape } of source.tensors.values()) {
    if (!quantized.has(name)) {
      tensors.push({ name, dtype, shape, bytes: lazily(() => source.read(name)) });
      continue;
    }
    signal?.throwIfAborted();
    const [rows = 0, columns = 0] = shape;
    const segment = quantization.groupSize ?? columns;
    const values = toFloats(source.read(name), dtype);
    const rounded =
      calibration?.rounded.get(name) ?? roundMatrix(pool, quantization.codes, values, { rows, columns, segment });
    const { error, norm } = squaredError(decode(quantization.codes, rounded, segment), values);
    errors.push({ name, relative: norm === 0 ? 0 : Math.sqrt(error / norm), error, norm });
    tensors.push(...storedForm(name, [rows, columns], rounded, quantization.codes, calibration?.inputScales.get(name)));
    done += 1;
    onEvent?.({ type: "progress", what: "quantizing", done, total: quantized.size, unit: "matrices" });
  }
  const { config, layout, generation } = directory;
  writeModelDirectory(folder, {
    config,
    layout,
    generation,
    tensors,
    modelCard,
    quantization: { quantization, ignored },
    writeTokenizer: (into) => copyTokenizer(directory.path, into),
    replace,
  });
  return errors;
}

/** Files of the tokenizer and its templates; what the model's writer makes itself is not copied. */
function copyTokenizer(from: string, into: string): void {
  for (const name of fs.readdirSync(from)) {
    if (
      !/^(tokenizer.*\.json|special_tokens_map\.json|.*\.tiktoken|chat_template\.jinja|vocab\.json|merges\.txt)$/.test(
        name,
      )
    )
      continue;
    fs.copyFileSync(path.join(from, name), path.join(into, name));
  }
}

function* lazily(bytes: () => Uint8Array): Generator<Uint8Array> {
  yield bytes();
}

/** The tensors that stand for a matrix of codes. */
function storedForm(
  name: string,
  shape: [number, number],
  { codes, scales }: RoundedMatrix,
  format: Plan["quantization"]["codes"],
  inputScale: number | undefined,
): TensorToWrite[] {
  const module = moduleOf(name);
  const [rows] = shape;
  const segments = scales.length / rows;
  if (format === "fp8") {
    const tensors: TensorToWrite[] = [
      { name, dtype: "F8_E4M3", shape, bytes: codes },
      { name: `${module}.weight_scale`, dtype: "F32", shape: [rows, 1], bytes: new Uint8Array(scales.buffer) },
    ];
    if (inputScale === undefined) return tensors;
    const bytes = new Uint8Array(Float32Array.of(inputScale).buffer);
    return [...tensors, { name: `${module}.input_scale`, dtype: "F32", shape: [1], bytes }];
  }
  const words = codes.byteLength / rows / 4;
  const sizes = new Uint8Array(BigInt64Array.from(shape, BigInt).buffer);
  return [
    { name: `${module}.weight_packed`, dtype: "I32", shape: [rows, words], bytes: codes },
    { name: `${module}.weight_scale`, dtype: "BF16", shape: [rows, segments], bytes: bf16Bytes(scales) },
    { name: `${module}.weight_shape`, dtype: "I64", shape: [2], bytes: sizes },
  ];
}

/** Scales that are bf16 numbers already. */
function bf16Bytes(scales: Float32Array): Uint8Array {
  const words = new Uint32Array(scales.buffer, scales.byteOffset, scales.length);
  return new Uint8Array(Uint16Array.from(words, (word) => word >>> 16).buffer);
}
