/** The schemes of `rookery quantize`, and what of a model each of them rounds. */
import type { Quantization } from "../interop/quantization.ts";
import { isQuantizable, moduleOf } from "../interop/quantization.ts";
import type { ModelConfig } from "../model/config.ts";
import { describeParameters, type ParameterDescription } from "../model/parameters.ts";

export const schemes = ["fp8", "int8", "int4"] as const;
export type Scheme = (typeof schemes)[number];

export const groupSizes = [128, 64, 32] as const;

export type SchemeOptions = {
  scheme: Scheme;
  /** For int4; by default the largest of 128, 64 and 32 that divides every matrix that any of them divides. */
  groupSize?: number | undefined;
  /** For fp8. */
  activations?: "dynamic" | "static";
};

export type Plan = { quantization: Quantization; ignored: readonly string[] };

/** How a model is quantized: routers, norms, embedding, head and matrices whose sizes do not fit stay as they are. */
export function planQuantization(config: ModelConfig, options: SchemeOptions): Plan {
  const matrices = describeParameters(config).filter(isQuantizable);
  const groupSize = options.scheme === "int4" ? (options.groupSize ?? defaultGroupSize(matrices)) : null;
  const modulus = groupSize ?? (options.scheme === "int8" ? 8 : 1);
  const kept = matrices.filter(({ shape }) => shape.at(-1)! % modulus !== 0);
  const ignored = [
    ...describeParameters(config).filter(({ role }) => role === "router" || role === "head"),
    ...kept,
  ].flatMap(({ official }) => official.map(({ name }) => moduleOf(name)));
  const names = new Set(ignored);
  return {
    quantization: {
      codes: options.scheme,
      groupSize,
      scales: "channel",
      activations: options.scheme === "fp8" ? (options.activations ?? "dynamic") : "none",
      isIgnored: (module) => names.has(module),
    },
    ignored,
  };
}

function defaultGroupSize(matrices: readonly ParameterDescription[]): number {
  const divides = (size: number) => matrices.filter(({ shape }) => shape.at(-1)! % size === 0).length;
  return groupSizes.find((size) => divides(size) === divides(32)) ?? 32;
}
