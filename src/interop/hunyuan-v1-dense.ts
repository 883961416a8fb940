import type { ModelConfig } from "../model/config.ts";
import { ConfigReader } from "./config-reader.ts";
import { limits } from "./hunyuan-keys.ts";
import { finishV1, readV1Common, toV1Keys, whyNotV1 } from "./hunyuan-v1.ts";

// The layout of the dense Hunyuan models (0.5B to 7B): model_type "hunyuan_v1_dense", class HunYuanDenseV1ForCausalLM.

export const hunyuanV1DenseArchitecture = "HunYuanDenseV1ForCausalLM";

/** Why `hunyuan_v1_dense` cannot say this configuration; empty when it can. */
export function whyNotHunyuanV1Dense(config: ModelConfig): string[] {
  const reasons = whyNotV1(config);
  if (config.numExperts !== 0) reasons.push(`its layers are dense (numExperts ${config.numExperts})`);
  return reasons;
}

/** The keys of a `hunyuan_v1_dense` config.json. Token ids and dtype are added by whoever writes the directory. */
export function toHunyuanV1DenseConfig(config: ModelConfig): Record<string, unknown> {
  return { architectures: [hunyuanV1DenseArchitecture], model_type: "hunyuan_v1_dense", ...toV1Keys(config) };
}

/** Keys of mixtures that released dense models carry along; nothing reads them there. */
const keysOfMixtures = [
  "moe_intermediate_size",
  "moe_topk",
  "num_experts_per_tok",
  "norm_topk_prob",
  "num_shared_expert",
];

/** Reads a `hunyuan_v1_dense` config.json of transformers 4.x or 5.x. Throws as `fromHunyuanV1MoeConfig` does. */
export function fromHunyuanV1DenseConfig(values: Readonly<Record<string, unknown>>, file: string): ModelConfig {
  const reader = new ConfigReader(values, file);
  reader.mustBe("model_type", ["hunyuan_v1_dense", "hunyuan"], "a dense model of the V1 family is read");
  const common = readV1Common(reader, file);
  reader.mustBe("num_experts", [1], "this layout is dense");
  reader.mustBe("use_mixed_mlp_moe", [false], "this layout is dense");
  reader.ignore(keysOfMixtures);
  const intermediateSize = reader.integer("intermediate_size", limits.size);
  return finishV1(reader, { ...common, intermediateSize, numExperts: 0, topK: 0 }, file);
}
