import type { ModelConfig } from "../model/config.ts";
import { ConfigReader } from "./config-reader.ts";
import { limits } from "./hunyuan-keys.ts";
import { finishV1, readV1Common, toV1Keys, whyNotV1 } from "./hunyuan-v1.ts";

// The layout of Hunyuan-A13B: model_type "hunyuan_v1_moe", class HunYuanMoEV1ForCausalLM. Gate weights are always divided
// by their sum, and there is one shared expert.

export const hunyuanV1MoeArchitecture = "HunYuanMoEV1ForCausalLM";

/** Why `hunyuan_v1_moe` cannot say this configuration; empty when it can. */
export function whyNotHunyuanV1Moe(config: ModelConfig): string[] {
  const reasons = whyNotV1(config);
  if (config.topK === 1 && config.topOneGate !== "one")
    reasons.push("it divides gate weights by their sum, so a top-1 gate is always 1 instead of the raw probability");
  if (config.numSharedExperts !== 1)
    reasons.push(`it always has one shared expert (numSharedExperts ${config.numSharedExperts})`);
  if (config.numExperts < 2) reasons.push(`it is a mixture of experts (numExperts ${config.numExperts})`);
  return reasons;
}

/**
 * The keys of a `hunyuan_v1_moe` config.json. Numbers a layer are lists, since llama.cpp's converter indexes them. Token ids
 * and dtype are added by whoever writes the directory.
 */
export function toHunyuanV1MoeConfig(config: ModelConfig): Record<string, unknown> {
  const eachLayer = (value: number): number[] => new Array<number>(config.numHiddenLayers).fill(value);
  return {
    architectures: [hunyuanV1MoeArchitecture],
    model_type: "hunyuan_v1_moe",
    ...toV1Keys(config),
    moe_intermediate_size: eachLayer(config.intermediateSize),
    num_experts: config.numExperts,
    moe_topk: eachLayer(config.topK),
    norm_topk_prob: true,
    use_mixed_mlp_moe: true,
    num_shared_expert: eachLayer(1),
  };
}

/**
 * Reads a `hunyuan_v1_moe` config.json of transformers 4.x or 5.x, or of the A13B repository. Throws INVALID_CONFIG for
 * values that make no sense, UNSUPPORTED_MODEL with the reason for what cannot be built, an unknown key included.
 */
export function fromHunyuanV1MoeConfig(values: Readonly<Record<string, unknown>>, file: string): ModelConfig {
  const reader = new ConfigReader(values, file);
  reader.mustBe("model_type", ["hunyuan_v1_moe", "hunyuan"], "a mixture of the V1 family is read");
  const common = readV1Common(reader, file);
  reader.mustBe("norm_topk_prob", [true], "gate weights are always divided by their sum in this layout");
  reader.mustBe("use_mixed_mlp_moe", [true], "this layout always has a shared expert");
  reader.mustBe("num_shared_expert", [1], "this layout always has one shared expert");
  const intermediateSize = reader.integer("intermediate_size", limits.size);
  reader.mustBe("moe_intermediate_size", [intermediateSize], "all experts are as wide as intermediate_size");
  const forAllLayers = (name: string, alias: string): number =>
    reader.integerForAllLayers(
      !reader.has(name) && reader.has(alias) ? alias : name,
      common.numHiddenLayers,
      limits.experts,
    );
  const numExperts = forAllLayers("num_experts", "num_local_experts");
  const topK = forAllLayers("moe_topk", "num_experts_per_tok");
  reader.ignore(["num_local_experts", "num_experts_per_tok"]);
  const topOneGate = topK === 1 ? ({ topOneGate: "one" } as const) : {};
  return finishV1(reader, { ...common, intermediateSize, numExperts, topK, ...topOneGate }, file);
}
