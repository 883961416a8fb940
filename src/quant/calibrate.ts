/** What a model's matrices meet on a text: the largest inputs, for static scales, and their products, for GPTQ. */
import type { CommandContext } from "../base/events.ts";
import { loadTransformer } from "../interop/load.ts";
import type { ModelDirectory } from "../interop/model-directory.ts";
import { isQuantizable, quantizedTensors } from "../interop/quantization.ts";
import { weightGradient, weightGradientScratchBytes } from "../kernels/bindings/gemm.ts";
import { NativeMemory } from "../kernels/bindings/memory.ts";
import { gptqFactor } from "../kernels/bindings/quant.ts";
import type { ParameterDescription } from "../model/parameters.ts";
import type { Transformer } from "../model/transformer.ts";
import { Execution } from "../tensor/execution.ts";
import { Tokenizer } from "../text/tokenizer.ts";
import { decode, type RoundedMatrix, roundInt4 } from "./round.ts";
import type { Plan } from "./scheme.ts";
import { textBitsPerByte, type WindowedText, windowsOf } from "./text-pass.ts";

/** What running the model on text has shown, by official names. */
export type Calibration = {
  tokens: number;
  /** Matrices that were rounded by GPTQ. */
  rounded: ReadonlyMap<string, RoundedMatrix>;
  /** Scales of inputs for fp8 with static activations. */
  inputScales: ReadonlyMap<string, number>;
};

export type CalibrationOptions = { threads: number; text: string; mostTokens: number };

const windowTokens = 512;
const damping = 0.01;
/** Layers are calibrated together as long as their Hessians fit this. */
const hessianBytes = 1.5 * 2 ** 30;

/**
 * Runs the model on a text. For int4, layers are rounded from the first on, a few at a time, and those after them see what the
 * rounded ones give out. Throws what loading the model throws, and the signal's reason.
 */
export async function calibrate(
  directory: ModelDirectory,
  { quantization }: Plan,
  { threads, text, mostTokens }: CalibrationOptions,
  context: CommandContext,
): Promise<Calibration> {
  const tokenizer = await Tokenizer.load(directory.path);
  const loaded = await loadTransformer(directory, context);
  using model = loaded.model;
  using execution = new Execution({ threads, computeType: "bf16" });
  const longest = Math.min(windowTokens, model.config.maxPositionEmbeddings);
  const windowed = await windowsOf(tokenizer, text, { windowTokens: longest, mostTokens });
  const quantized = quantizedTensors(model.config, quantization);
  const descriptions = model.descriptions.filter((description) => {
    return isQuantizable(description) && description.official.every(({ name }) => quantized.has(name));
  });
  const none = { tokens: windowed.tokens, rounded: new Map(), inputScales: new Map() };
  if (quantization.activations === "static") {
    return { ...none, inputScales: await largestInputs(execution, model, descriptions, windowed, context) };
  }
  if (quantization.groupSize === null) return none;
  const rounded = new Map<string, RoundedMatrix>();
  for (const layers of layersTogether(descriptions)) {
    const found = await roundLayers(execution, model, layers, windowed, quantization.groupSize, context);
    for (const [name, matrix] of found) rounded.set(name, matrix);
  }
  return { ...none, rounded };
}

/** Scales by which the largest input of each matrix becomes 448; of an expert that no token reached, the other experts' largest. */
async function largestInputs(
  execution: Execution,
  model: Transformer,
  descriptions: readonly ParameterDescription[],
  windowed: WindowedText,
  context: CommandContext,
): Promise<Map<string, number>> {
  const largest = new Map(descriptions.map(({ name }) => [name, new Float64Array(model.parameter(name).groups)]));
  execution.observer = (weight, a, offsets) => {
    const groups = largest.get(weight.name);
    if (!groups) return;
    const values = a.toFloat32Array();
    const bounds = offsets?.toInt32Array() ?? Int32Array.of(0, a.size(0));
    for (let group = 0; group < groups.length; group++) {
      const [first, end] = [bounds[group]! * weight.in, bounds[group + 1]! * weight.in];
      for (let i = first; i < end; i++) groups[group] = Math.max(groups[group]!, Math.abs(values[i]!));
    }
  };
  await textBitsPerByte(execution, model, windowed, "calibrating", context);
  execution.observer = undefined;
  const scales = new Map<string, number>();
  for (const { name, official } of descriptions) {
    const groups = largest.get(name)!;
    const { out } = model.parameter(name);
    const ofAll = Math.max(...groups);
    for (const part of official) {
      const found = groups[Math.floor(part.firstRow / out)]! || ofAll || 448;
      scales.set(part.name, Math.fround(found / 448));
    }
  }
  return scales;
}

function* layersTogether(descriptions: readonly ParameterDescription[]): Generator<ParameterDescription[]> {
  let together: ParameterDescription[] = [];
  let bytes = 0;
  for (const layer of new Set(descriptions.map(({ layer }) => layer))) {
    const own = descriptions.filter((description) => description.layer === layer);
    const ownBytes = own.reduce((sum, { shape }) => {
      return sum + 4 * shape.at(-1)! ** 2 * (shape.length === 3 ? shape[0]! : 1);
    }, 0);
    if (bytes + ownBytes > hessianBytes && together.length > 0) {
      yield together;
      [together, bytes] = [[], 0];
    }
    together.push(...own);
    bytes += ownBytes;
  }
  if (together.length > 0) yield together;
}

/** Rounds the matrices of some layers, in the model too. */
async function roundLayers(
  execution: Execution,
  model: Transformer,
  descriptions: readonly ParameterDescription[],
  windowed: WindowedText,
  segment: number,
  context: CommandContext,
): Promise<Map<string, RoundedMatrix>> {
  using resources = new DisposableStack();
  const { pool, arena } = execution;
  const hessians = new Map<string, NativeMemory>();
  for (const { name } of descriptions) {
    const { groups, in: n } = model.parameter(name);
    hessians.set(name, resources.use(new NativeMemory(4 * groups * n * n)));
  }
  execution.observer = (weight, a, offsets) => {
    const hessian = hessians.get(weight.name);
    if (!hessian) return;
    const n = weight.in;
    const size = { dtype: a.dtypeCode, rows: a.size(0), out: n, in: n, groups: weight.groups };
    using scratch = arena.scratch(weightGradientScratchBytes(size));
    const sum = { dy: a, x: a, weightGradient: hessian, offsets, accumulate: 1, squares: null };
    weightGradient({ pool, ...size, ...sum, scratch: scratch.tensor });
  };
  const first = descriptions[0]!.layer;
  const what = `calibrating layers ${first} to ${descriptions.at(-1)!.layer}`;
  await textBitsPerByte(execution, model, windowed, what, context);
  execution.observer = undefined;

  const rounded = new Map<string, RoundedMatrix>();
  const views = new Map(model.officialTensors().map(({ name, tensor }) => [name, tensor]));
  for (const [index, { name, official }] of descriptions.entries()) {
    context.signal?.throwIfAborted();
    const { out, in: n, groups } = model.parameter(name);
    const hessian = hessians.get(name)!;
    using factor = new NativeMemory(4 * n * n);
    for (let group = 0; group < groups; group++) {
      const own = { address: hessian.address + 4 * group * n * n };
      gptqFactor({ pool, hessian: own, factor, n, damping });
      for (const part of official.filter(({ firstRow }) => Math.floor(firstRow / out) === group)) {
        const tensor = views.get(part.name)!;
        const shape = { rows: part.rows, columns: n, segment };
        const matrix = roundInt4(pool, tensor.toFloat32Array(), shape, factor);
        rounded.set(part.name, matrix);
        tensor.setFloats(decode("int4", matrix, segment));
      }
    }
    context.onEvent?.({
      type: "progress",
      what: "rounding",
      done: index + 1,
      total: descriptions.length,
      unit: "matrices",
    });
  }
  return rounded;
}
