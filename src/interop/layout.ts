import { RookeryError } from "../base/errors.ts";
import { quoteForMessage } from "../base/files.ts";
import { isPlainObject } from "../base/option-schema.ts";
import type { ModelConfig } from "../model/config.ts";
import { fromHunyuanConfig, hunyuanArchitecture, toHunyuanConfig, whyNotHunyuan } from "./hunyuan.ts";
import { fromHunyuanV1Config, hunyuanV1Architecture, toHunyuanV1Config, whyNotHunyuanV1 } from "./hunyuan-v1.ts";

/** The layouts of a model directory, by their `model_type`. */
export type Layout = "hunyuan" | "hunyuan_v1_moe";

const whyNot: Record<Layout, (config: ModelConfig) => string[]> = {
  hunyuan_v1_moe: whyNotHunyuanV1,
  hunyuan: whyNotHunyuan,
};

/**
 * The layout a configuration is written in: `hunyuan_v1_moe`, which other engines run, where it can say the model; else
 * the official one. Throws UNSUPPORTED_MODEL with the reasons when neither can.
 */
export function chooseLayout(config: ModelConfig): Layout {
  if (whyNotHunyuanV1(config).length === 0) return "hunyuan_v1_moe";
  if (whyNotHunyuan(config).length === 0) return "hunyuan";
  throw cannotSay(config, ["hunyuan_v1_moe", "hunyuan"]);
}

/** Refuses a layout that cannot say the configuration: UNSUPPORTED_MODEL with every reason. */
export function requireLayout(config: ModelConfig, layout: Layout): void {
  if (whyNot[layout](config).length > 0) throw cannotSay(config, [layout]);
}

function cannotSay(config: ModelConfig, layouts: readonly Layout[]): RookeryError {
  const reasons = layouts.map((layout) => `${layout}: ${whyNot[layout](config).join("; ")}`);
  return new RookeryError(
    "UNSUPPORTED_MODEL",
    `this model cannot be written as a Hugging Face directory (${reasons.join(" | ")})`,
    "the presets nano (official layout) and nano-portable (hunyuan_v1_moe) are shapes that fit",
  );
}

/** The keys of config.json in a layout. Throws UNSUPPORTED_MODEL when it cannot say the configuration. */
export function toLayoutConfig(config: ModelConfig, layout: Layout): Record<string, unknown> {
  requireLayout(config, layout);
  return layout === "hunyuan" ? toHunyuanConfig(config) : toHunyuanV1Config(config);
}

/**
 * Tells the layout of a config.json and reads it. The class decides before `model_type`, which A13B's repository shares
 * with Hunyuan-Large. Throws UNSUPPORTED_MODEL and INVALID_CONFIG, never guesses.
 */
export function fromLayoutConfig(values: unknown, file: string): { layout: Layout; config: ModelConfig } {
  if (!isPlainObject(values)) throw new RookeryError("INVALID_CONFIG", `${file} is no object`, "mend config.json");
  const { architectures, model_type: modelType } = values;
  const architecture: unknown = Array.isArray(architectures) ? architectures[0] : undefined;
  const isV1 = architecture === hunyuanV1Architecture || (architecture === undefined && modelType === "hunyuan_v1_moe");
  if (isV1) return { layout: "hunyuan_v1_moe", config: fromHunyuanV1Config(values, file) };
  const isOfficial = (architecture === hunyuanArchitecture || architecture === undefined) && modelType === "hunyuan";
  if (isOfficial) return { layout: "hunyuan", config: fromHunyuanConfig(values, file) };
  const shown = [architecture, modelType].map((name) => (typeof name === "string" ? quoteForMessage(name) : "none"));
  throw new RookeryError(
    "UNSUPPORTED_MODEL",
    `${file}: the architecture ${shown[0]} with model_type ${shown[1]} is not supported`,
    `supported: ${hunyuanArchitecture} (hunyuan) and ${hunyuanV1Architecture} (hunyuan_v1_moe)`,
  );
}
