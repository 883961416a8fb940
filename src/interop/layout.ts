import { RookeryError } from "../base/errors.ts";
import { quoteForMessage } from "../base/files.ts";
import { isPlainObject } from "../base/option-schema.ts";
import type { ModelConfig } from "../model/config.ts";
import { fromHunyuanConfig, hunyuanArchitecture, toHunyuanConfig, whyNotHunyuan } from "./hunyuan.ts";
import {
  fromHunyuanV1DenseConfig,
  hunyuanV1DenseArchitecture,
  toHunyuanV1DenseConfig,
  whyNotHunyuanV1Dense,
} from "./hunyuan-v1-dense.ts";
import {
  fromHunyuanV1MoeConfig,
  hunyuanV1MoeArchitecture,
  toHunyuanV1MoeConfig,
  whyNotHunyuanV1Moe,
} from "./hunyuan-v1-moe.ts";

type LayoutFormat = {
  architecture: string;
  /** Why the layout cannot say a configuration; empty when it can. */
  whyNot(config: ModelConfig): string[];
  toConfig(config: ModelConfig): Record<string, unknown>;
  fromConfig(values: Readonly<Record<string, unknown>>, file: string): ModelConfig;
  /** What would fit, for whoever is refused. */
  fits: string;
};

/** The layouts of a model directory by their `model_type`, in the order in which they are tried for a new model. */
const formats = {
  hunyuan_v1_moe: {
    architecture: hunyuanV1MoeArchitecture,
    whyNot: whyNotHunyuanV1Moe,
    toConfig: toHunyuanV1MoeConfig,
    fromConfig: fromHunyuanV1MoeConfig,
    fits: "the presets nano-portable and mini-portable fit hunyuan_v1_moe",
  },
  hunyuan_v1_dense: {
    architecture: hunyuanV1DenseArchitecture,
    whyNot: whyNotHunyuanV1Dense,
    toConfig: toHunyuanV1DenseConfig,
    fromConfig: fromHunyuanV1DenseConfig,
    fits: "nano-portable with numExperts 0 and topK 0 fits hunyuan_v1_dense",
  },
  hunyuan: {
    architecture: hunyuanArchitecture,
    whyNot: whyNotHunyuan,
    toConfig: toHunyuanConfig,
    fromConfig: fromHunyuanConfig,
    fits: "the presets nano and mini fit the official layout",
  },
} as const satisfies Record<string, LayoutFormat>;

export type Layout = keyof typeof formats;

export const layouts = Object.keys(formats) as Layout[];

/**
 * The layout a configuration is written in: one that other engines run where it can say the model; else the official one.
 * Throws UNSUPPORTED_MODEL with the reasons when none can.
 */
export function chooseLayout(config: ModelConfig): Layout {
  const layout = layouts.find((name) => formats[name].whyNot(config).length === 0);
  if (layout === undefined) {
    // A dense model need not hear why it is no mixture, nor a mixture why it is not dense.
    const near = layouts.filter((name) => name !== (config.numExperts > 0 ? "hunyuan_v1_dense" : "hunyuan_v1_moe"));
    throw cannotSay(config, near);
  }
  return layout;
}

/** Refuses a layout that cannot say the configuration: UNSUPPORTED_MODEL with every reason. */
export function requireLayout(config: ModelConfig, layout: Layout): void {
  if (formats[layout].whyNot(config).length > 0) throw cannotSay(config, [layout]);
}

function cannotSay(config: ModelConfig, names: readonly Layout[]): RookeryError {
  const reasons = names.map((name) => `${name}: ${formats[name].whyNot(config).join("; ")}`);
  return new RookeryError(
    "UNSUPPORTED_MODEL",
    `this model cannot be written as a Hugging Face directory (${reasons.join(" | ")})`,
    names.map((name) => formats[name].fits).join("; "),
  );
}

/** The keys of config.json in a layout. Throws UNSUPPORTED_MODEL when it cannot say the configuration. */
export function toLayoutConfig(config: ModelConfig, layout: Layout): Record<string, unknown> {
  requireLayout(config, layout);
  return formats[layout].toConfig(config);
}

/**
 * Tells the layout of a config.json and reads it. The class decides before `model_type`, which A13B's repository shares
 * with Hunyuan-Large. Throws UNSUPPORTED_MODEL and INVALID_CONFIG, never guesses.
 */
export function fromLayoutConfig(values: unknown, file: string): { layout: Layout; config: ModelConfig } {
  if (!isPlainObject(values)) throw new RookeryError("INVALID_CONFIG", `${file} is no object`, "mend config.json");
  const { architectures, model_type: modelType } = values;
  const architecture: unknown = Array.isArray(architectures) ? architectures[0] : undefined;
  const layout = layouts.find((name) =>
    architecture === undefined ? modelType === name : architecture === formats[name].architecture,
  );
  if (layout !== undefined) return { layout, config: formats[layout].fromConfig(values, file) };
  const shown = [architecture, modelType].map((name) => (typeof name === "string" ? quoteForMessage(name) : "none"));
  throw new RookeryError(
    "UNSUPPORTED_MODEL",
    `${file}: the architecture ${shown[0]} with model_type ${shown[1]} is not supported`,
    `supported: ${layouts.map((name) => `${formats[name].architecture} (${name})`).join(", ")}`,
  );
}
