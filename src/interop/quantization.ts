/**
 * `quantization_config` of a config.json: what vLLM and transformers read, and what of it is read here (interop §6).
 *   compressed-tensors  float-quantized (FP8, weights by channel or tensor, activations by token or a static scale),
 *                       pack-quantized (INT8 and INT4 in words of 32 bits, weights alone, by channel or in groups)
 *   fp8                 AutoFP8's: FP8 with one scale a tensor
 * Scales always multiply: weight = code · scale.
 */
import { isPlainObject } from "../base/option-schema.ts";
import type { QuantFormat } from "../kernels/bindings/quant.ts";
import type { ModelConfig } from "../model/config.ts";
import { describeParameters, type ParameterDescription } from "../model/parameters.ts";
import type { ActivationRounding } from "../tensor/quantized-weight.ts";
import { ConfigReader } from "./config-reader.ts";
import { modulePattern } from "./module-pattern.ts";

export type Quantization = {
  codes: QuantFormat;
  /** Elements of a row that share a scale; null for the whole row. */
  groupSize: number | null;
  /** Whether the scales of a weight are one a row, or one in all. */
  scales: "channel" | "tensor";
  activations: ActivationRounding;
  /** Whether a module (a tensor's name without ".weight") stays in higher precision. */
  isIgnored(module: string): boolean;
};

/** The parameters that can be quantized: the matrices of layers but the router. */
export function isQuantizable({ kind, role }: ParameterDescription): boolean {
  return kind === "matrix" && (role === "attention" || role === "sharedExpert" || role === "expert");
}

export function moduleOf(tensorName: string): string {
  return tensorName.replace(/\.weight$/, "");
}

/** The official names of the weights that are stored as codes, with their shapes [out, in]. */
export function quantizedTensors(config: ModelConfig, quantization: Quantization): Map<string, readonly number[]> {
  const names = new Map<string, readonly number[]>();
  for (const description of describeParameters(config)) {
    if (!isQuantizable(description)) continue;
    for (const { name, shape } of description.official)
      if (!quantization.isIgnored(moduleOf(name))) names.set(name, shape);
  }
  return names;
}

/** The `quantization_config` for weights of `config` of which `ignored` modules stay in higher precision. */
export function toQuantizationConfig(
  { codes, groupSize, activations }: Omit<Quantization, "isIgnored">,
  ignored: readonly string[],
): Record<string, unknown> {
  const isFloat = codes === "fp8";
  const common = { num_bits: codes === "int4" ? 4 : 8, type: isFloat ? "float" : "int", symmetric: true };
  const inputs =
    activations === "dynamic"
      ? { ...common, strategy: "token", dynamic: true }
      : activations === "static"
        ? { ...common, strategy: "tensor", dynamic: false }
        : null;
  return {
    quant_method: "compressed-tensors",
    format: isFloat ? "float-quantized" : "pack-quantized",
    quantization_status: "compressed",
    config_groups: {
      group_0: {
        targets: ["Linear"],
        weights: {
          ...common,
          strategy: groupSize === null ? "channel" : "group",
          group_size: groupSize,
          dynamic: false,
        },
        input_activations: inputs,
        output_activations: null,
      },
    },
    kv_cache_scheme: null,
    ignore: [...ignored],
  };
}

/** The quantization of a config.json's values, or null. Throws UNSUPPORTED_MODEL with the reason for what is not read here. */
export function readQuantization(values: unknown, file: string): Quantization | null {
  const value = isPlainObject(values) ? values.quantization_config : undefined;
  if (value === undefined || value === null) return null;
  const where = `${file}: "quantization_config"`;
  const reader = new ConfigReader(isPlainObject(value) ? value : {}, where);
  const method = isPlainObject(value) ? value.quant_method : undefined;
  reader.ignore(["quant_method"]);
  if (method === "compressed-tensors") return readCompressedTensors(reader, value as Record<string, unknown>, where);
  if (method === "fp8") return readFp8(reader, value as Record<string, unknown>);
  throw reader.unsupported(
    `"quant_method" is ${JSON.stringify(method) ?? "missing"}`,
    "compressed-tensors and fp8 are read; else give the bf16 release of the model",
  );
}

function readCompressedTensors(reader: ConfigReader, values: Record<string, unknown>, where: string): Quantization {
  reader.ignore(["quantization_status", "global_compression_ratio", "version", "provider", "kv_cache_scheme"]);
  reader.ignore(["ignore", "config_groups", "format"]);
  for (const key of ["sparsity_config", "transform_config"]) {
    const object = reader.object(key);
    if (object !== null && Object.keys(object).length > 0)
      throw reader.unsupported(`it has a ${key}`, "that is not read");
  }
  reader.finish();
  const groups = Object.values(reader.object("config_groups") ?? {});
  const group = groups[0];
  if (groups.length !== 1 || !isPlainObject(group)) {
    throw reader.unsupported(`it has ${groups.length} config_groups`, "one for all layers is read");
  }
  const groupReader = new ConfigReader(group, `${where}: group`);
  groupReader.mustBe("targets", ["Linear"], "all linear layers have to be quantized alike");
  groupReader.mustBe("output_activations", [null], "outputs are not rounded");
  groupReader.mustBe("format", [values.format], "the format is that of all groups");
  const weights = groupReader.object("weights");
  const inputs = groupReader.object("input_activations");
  groupReader.finish();
  if (weights === null) throw reader.unsupported("it does not say how weights are stored", "that is not read");
  const isIgnored = readIgnored(reader, values.ignore);
  const { bits, isFloat, strategy, groupSize } = readWeights(new ConfigReader(weights, `${where}: weights`));
  const activations = readActivations(inputs, `${where}: input_activations`);
  const isPacked = values.format === "pack-quantized";
  if (isFloat && bits === 8 && ["float-quantized", "naive-quantized"].includes(String(values.format))) {
    if (strategy === "group")
      throw reader.unsupported("FP8 weights have scales of groups", "by channel or tensor is read");
    if (activations === "none") throw reader.unsupported("FP8 weights without FP8 activations", "W8A8 is read");
    return { codes: "fp8", groupSize: null, scales: strategy, activations, isIgnored };
  }
  if (
    !isFloat &&
    isPacked &&
    activations === "none" &&
    strategy !== "tensor" &&
    (bits === 4 || (bits === 8 && strategy === "channel"))
  ) {
    return { codes: bits === 4 ? "int4" : "int8", groupSize, scales: "channel", activations, isIgnored };
  }
  const kind = `${bits}-bit ${isFloat ? "float" : "integer"} weights by ${strategy}, ${JSON.stringify(values.format)}`;
  throw reader.unsupported(
    `${kind}, activations ${activations}, are not read`,
    "float-quantized FP8, and pack-quantized INT8 by channel or INT4 are",
  );
}

type Weights = { bits: number; isFloat: boolean; strategy: "tensor" | "channel" | "group"; groupSize: number | null };

function readWeights(reader: ConfigReader): Weights {
  reader.mustBe("symmetric", [true], "zero points are not read");
  reader.mustBe("dynamic", [false], "weights have fixed scales");
  reader.mustBe("actorder", [null], "groups have to be of neighboring columns");
  reader.mustBe("block_structure", [null], "blocks are not read");
  reader.ignore(["observer", "observer_kwargs", "scale_dtype", "zp_dtype"]);
  const bits = reader.integer("num_bits", { min: 1, max: 64 });
  const isFloat = oneOf(reader, "type", ["int", "float"]) === "float";
  const strategy = oneOf(reader, "strategy", ["tensor", "channel", "group"]);
  const groupSize = strategy === "group" ? reader.integer("group_size", { min: 32, max: 1 << 20 }) : null;
  if (groupSize !== null && groupSize % 32 !== 0) throw reader.invalid("group_size", groupSize, "a multiple of 32");
  reader.ignore(["group_size"]);
  reader.finish();
  return { bits, isFloat, strategy, groupSize };
}

function readActivations(values: Readonly<Record<string, unknown>> | null, where: string): ActivationRounding {
  if (values === null) return "none";
  const reader = new ConfigReader(values, where);
  reader.mustBe("num_bits", [8], "activations are FP8 or not rounded");
  reader.mustBe("type", ["float"], "activations are FP8 or not rounded");
  reader.mustBe("symmetric", [true], "zero points are not read");
  reader.ignore([
    "observer",
    "observer_kwargs",
    "scale_dtype",
    "zp_dtype",
    "actorder",
    "block_structure",
    "group_size",
  ]);
  const isDynamic = reader.boolean("dynamic", false);
  const strategy = oneOf(reader, "strategy", ["tensor", "token"]);
  reader.finish();
  if (isDynamic !== (strategy === "token")) {
    throw reader.unsupported(
      `dynamic ${isDynamic} by ${strategy}`,
      "dynamic scales by token and static ones by tensor are read",
    );
  }
  return isDynamic ? "dynamic" : "static";
}

function readFp8(reader: ConfigReader, values: Record<string, unknown>): Quantization {
  reader.mustBe("weight_block_size", [null], "scales of blocks are not read");
  if (!("activation_scheme" in values)) throw reader.invalid("activation_scheme", undefined, "static or dynamic");
  const scheme = oneOf(reader, "activation_scheme", ["static", "dynamic"]);
  reader.mustBe("fmt", ["e4m3"], "FP8 is E4M3");
  reader.ignore(["kv_cache_scheme", "ignored_layers", "ignore"]);
  reader.finish();
  const isIgnored = readIgnored(reader, values.ignored_layers ?? values.ignore);
  return { codes: "fp8", groupSize: null, scales: "tensor", activations: scheme, isIgnored };
}

function readIgnored(reader: ConfigReader, value: unknown): (module: string) => boolean {
  const list = value ?? [];
  if (!Array.isArray(list) || list.length > 1 << 20) throw reader.invalid("ignore", value, "a list of module names");
  const names = new Set<string>();
  const patterns: ((module: string) => boolean)[] = [];
  for (const entry of list as unknown[]) {
    if (typeof entry !== "string") throw reader.invalid("ignore", entry, "a module's name");
    if (!entry.startsWith("re:")) {
      names.add(entry);
      continue;
    }
    const pattern = modulePattern(entry.slice(3));
    if (pattern === null || patterns.length === 64) {
      throw reader.unsupported(
        `the pattern ${JSON.stringify(entry.slice(0, 60))} is not read`,
        "names, and patterns of . and .* are",
      );
    }
    patterns.push(pattern);
  }
  return (module) => names.has(module) || patterns.some((matches) => matches(module));
}

function oneOf<Value extends string>(reader: ConfigReader, key: string, allowed: readonly Value[]): Value {
  const value = allowed.find((candidate) => candidate === reader.text(key));
  if (value === undefined) throw reader.invalid(key, reader.text(key), `one of ${allowed.join(", ")}`);
  return value;
}
