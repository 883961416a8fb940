/** The tensors of a quantized model directory: which there must be, and how they come into a model's small weights. */
import { RookeryError } from "../base/errors.ts";
import type { CommandContext } from "../base/events.ts";
import { quoteForMessage } from "../base/files.ts";
import type { SafetensorsDtype, TensorInfo, TensorSource } from "../formats/safetensors.ts";
import type { ModelConfig } from "../model/config.ts";
import type { ParameterDescription } from "../model/parameters.ts";
import { Transformer } from "../model/transformer.ts";
import type { QuantizedWeight, WeightFormat } from "../tensor/quantized-weight.ts";
import { toFloats } from "./floats.ts";
import { checkTensors, expectedTensors, openWeights, sameShape } from "./model-tensors.ts";
import { isQuantizable, moduleOf, type Quantization, quantizedTensors } from "./quantization.ts";

type StoredTensor = { shapes: readonly (readonly number[])[]; dtypes: readonly SafetensorsDtype[] };

const floats: readonly SafetensorsDtype[] = ["F32", "BF16", "F16"];

/** What is stored for a weight [out, in] of codes: its name or its module's, and an ending. */
export function storedTensors(
  name: string,
  [out = 0, columns = 0]: readonly number[],
  { codes, groupSize, scales, activations }: Quantization,
): Map<string, StoredTensor> {
  const module = moduleOf(name);
  if (codes === "fp8") {
    const one = [[], [1]];
    return new Map<string, StoredTensor>([
      [name, { shapes: [[out, columns]], dtypes: ["F8_E4M3"] }],
      [`${module}.weight_scale`, { shapes: scales === "channel" ? [[out, 1]] : one, dtypes: floats }],
      ...(activations === "static"
        ? ([[`${module}.input_scale`, { shapes: one, dtypes: floats }]] as [string, StoredTensor][])
        : []),
    ]);
  }
  const words = Math.ceil(columns / (codes === "int4" ? 8 : 4));
  return new Map<string, StoredTensor>([
    [`${module}.weight_packed`, { shapes: [[out, words]], dtypes: ["I32"] }],
    [`${module}.weight_scale`, { shapes: [[out, columns / (groupSize ?? columns)]], dtypes: floats }],
    [`${module}.weight_shape`, { shapes: [[2]], dtypes: ["I64"] }],
  ]);
}

/**
 * Checks that `found` are the tensors of a quantized model. Returns notes on what is passed over. Throws FILE_DAMAGED.
 */
export function checkQuantizedTensors(
  found: ReadonlyMap<string, Pick<TensorInfo, "dtype" | "shape">>,
  config: ModelConfig,
  quantization: Quantization,
  where: string,
): string[] {
  const damaged = (what: string) =>
    new RookeryError("FILE_DAMAGED", `${where}: ${what}`, "check that config.json and the weights belong together");
  const rest = new Map(found);
  const plain = expectedTensors(config);
  for (const [name, shape] of quantizedTensors(config, quantization)) {
    plain.delete(name);
    for (const [stored, { shapes, dtypes }] of storedTensors(name, shape, quantization)) {
      const tensor = found.get(stored);
      if (tensor === undefined) throw damaged(`tensor ${quoteForMessage(stored)} is missing`);
      if (!dtypes.includes(tensor.dtype) || !shapes.some((shape) => sameShape(shape, tensor.shape))) {
        const wanted = shapes.map((shape) => `[${shape.join(", ")}]`).join(" or ");
        const is = `${tensor.dtype} [${tensor.shape.join(", ")}]`;
        throw damaged(`tensor ${quoteForMessage(stored)} is ${is} instead of ${dtypes.join(" or ")} ${wanted}`);
      }
      rest.delete(stored);
    }
  }
  const cacheScales = [...rest.keys()].filter((name) =>
    /\.self_attn\.(?:[kv]_scale|kv_scale|[kv]_proj\.output_scale)$/.test(name),
  );
  for (const name of cacheScales) rest.delete(name);
  const notes = checkTensors(rest, plain, where);
  if (cacheScales.length > 0) {
    notes.push(`${cacheScales.length} scales of a KV cache were passed over: ours, if it is FP8, needs none`);
  }
  return notes;
}

/** How a parameter lies in memory; undefined where it stays in higher precision. Throws UNSUPPORTED_MODEL. */
function formatOf(
  parameter: ParameterDescription,
  quantization: Quantization,
  where: string,
): WeightFormat | undefined {
  if (!isQuantizable(parameter)) return undefined;
  const ignored = parameter.official.filter(({ name }) => quantization.isIgnored(moduleOf(name)));
  if (ignored.length === parameter.official.length) return undefined;
  const unsupported = (what: string) =>
    new RookeryError("UNSUPPORTED_MODEL", `${where}: ${what}`, "give the bf16 release of the model");
  if (ignored.length > 0) throw unsupported(`${ignored[0]!.name} is not quantized, but others that it runs with are`);
  const columns = parameter.shape.at(-1)!;
  const { codes, groupSize, activations } = quantization;
  if (groupSize !== null && columns % groupSize !== 0) {
    throw unsupported(`groups of ${groupSize} do not divide the ${columns} columns of ${parameter.official[0]!.name}`);
  }
  if (codes !== "fp8" && columns % 8 !== 0) throw unsupported(`${columns} columns do not fill words of 32 bits`);
  return { codes, segment: groupSize ?? columns, activations };
}

const progressEveryBytes = 256 * 2 ** 20;

/**
 * Builds the model of a quantized directory: codes go from the file into the layout that products read, a tensor at a time, and
 * are never made wider. Throws FILE_UNREADABLE, FILE_DAMAGED, UNSUPPORTED_MODEL, OUT_OF_MEMORY, and the signal's reason.
 */
export function loadQuantized(
  { path, config }: { path: string; config: ModelConfig },
  quantization: Quantization,
  { signal, onEvent }: CommandContext = {},
): { model: Transformer; notes: readonly string[] } {
  using source = openWeights(path, () => true);
  const notes = checkQuantizedTensors(source.tensors, config, quantization, path);
  const model = new Transformer(config, { formatOf: (parameter) => formatOf(parameter, quantization, path) });
  try {
    const total = [...source.tensors.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
    let [done, reported] = [0, 0];
    const views = new Map(model.officialTensors().map(({ name, tensor }) => [name, tensor]));
    for (const description of model.descriptions) {
      const { quantized, out } = model.parameter(description.name);
      for (const { name, shape, firstRow, rows } of description.official) {
        signal?.throwIfAborted();
        if (quantized) {
          const place = { group: Math.floor(firstRow / out), firstRow: firstRow % out, rows };
          done += fillQuantized(quantized, place, source, name, shape, quantization, path);
        } else {
          const tensor = views.get(name)!;
          const { dtype, byteLength } = source.tensors.get(name)!;
          let start = 0;
          for (const piece of source.chunks(name)) {
            const values = toFloats(piece, dtype);
            tensor.reshape(tensor.elements).rows(start, values.length).setFloats(values);
            start += values.length;
          }
          done += byteLength;
        }
        if (done - reported < progressEveryBytes) continue;
        reported = done;
        onEvent?.({ type: "progress", what: `loading ${path}`, done, total, unit: "bytes" });
      }
    }
    return { model, notes };
  } catch (error) {
    model[Symbol.dispose]();
    throw error;
  }
}

/** Packs one official tensor; returns the bytes that were read. */
function fillQuantized(
  weight: QuantizedWeight,
  place: { group: number; firstRow: number; rows: number },
  source: TensorSource,
  name: string,
  shape: readonly number[],
  { codes: format, groupSize, scales: scalesOf }: Quantization,
  where: string,
): number {
  const module = moduleOf(name);
  const [out = 0, columns = 0] = shape;
  const damaged = (what: string) => new RookeryError("FILE_DAMAGED", `${where}: ${what}`, "get the file again");
  const readScales = (tensor: string): Float32Array => {
    const values = toFloats(source.read(tensor), source.tensors.get(tensor)!.dtype);
    if (!values.every((value) => Number.isFinite(value) && value >= 0)) {
      throw damaged(`${quoteForMessage(tensor)} holds a scale that is no number from 0 on`);
    }
    return values;
  };
  if (format !== "fp8") {
    const bytes = source.read(`${module}.weight_shape`);
    const sizes = [...new BigInt64Array(bytes.slice().buffer)];
    if (sizes[0] !== BigInt(out) || sizes[1] !== BigInt(columns)) {
      throw damaged(
        `${quoteForMessage(`${module}.weight_shape`)} is [${sizes.join(", ")}] instead of [${shape.join(", ")}]`,
      );
    }
  }
  const codes = source.read(format === "fp8" ? name : `${module}.weight_packed`);
  if (format === "fp8" && codes.some((code) => (code & 0x7f) === 0x7f))
    throw damaged(`${quoteForMessage(name)} holds a NaN`);
  let scales = readScales(`${module}.weight_scale`);
  if (scalesOf === "tensor") scales = new Float32Array(out * (columns / (groupSize ?? columns))).fill(scales[0]!);
  weight.pack(null, place, codes, scales);
  if (weight.format.activations === "static") {
    const scale = readScales(`${module}.input_scale`)[0]!;
    // gate and up read the same rows: as in vLLM, the larger of their scales rounds them
    weight.setActivationScale(
      place.group,
      Math.max(scale, place.firstRow === 0 ? 0 : weight.activationScale(place.group)),
    );
  }
  return codes.byteLength + 4 * scales.length;
}
