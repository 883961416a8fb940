import { RookeryError } from "../base/errors.ts";
import { checkModelConfig, type ModelConfig, modelConfigSchema } from "../model/config.ts";
import type { ConfigReader } from "./config-reader.ts";

/** Bounds that no real model comes near; they keep products of sizes exact and absurd files out. */
export const limits = {
  vocabulary: { min: 1, max: 1 << 24 },
  size: { min: 1, max: 1 << 20 },
  layers: { min: 1, max: 10_000 },
  heads: { min: 1, max: 1 << 16 },
  experts: { min: 1, max: 1 << 16 },
  positions: { min: 1, max: 2 ** 40 },
} as const;

/** A list of the tensors of more experts would fill the memory before the first of them is missed. */
const maxExpertsInAll = 1 << 17;

/** Keys of any Hunyuan config.json that do not change what the language model computes. */
const harmlessKeys = [
  // How weights are stored: readQuantization.
  "quantization_config",
  // Who wrote the file, with what, for which code. `auto_map` names Python code that is never run.
  "_name_or_path",
  "auto_map",
  "transformers_version",
  "torch_dtype",
  "dtype",
  "tokenizer_class",
  // How to run or train the model, not what it is.
  "use_cache",
  "pretraining_tp",
  "attention_dropout",
  "output_attentions",
  "output_hidden_states",
  "return_dict",
  "capacity_factor",
  "moe_drop_tokens",
  "moe_random_routing_dropped_token",
  // Token ids: those that matter are taken from generation_config.json.
  "bos_token_id",
  "eos_token_id",
  "pad_token_id",
  "sep_token_id",
  "eod_token_id",
  "pad_id",
  "mask_init_id",
  "text_start_id",
  "text_end_id",
  "im_start_id",
  "im_end_id",
  "im_newline_id",
  "image_token_id",
  "video_start_id",
  "video_end_id",
  // Parts of the code base that the language models do not have.
  "class_num",
  "dense_list",
  "skip_cls_token",
  "anyres_pooling_size",
  "anyres_vit_max_image_size",
  "anyres_vit_two_views",
  "max_image_size",
  "num_media_embeds",
  "vit_add_patchemb_bias",
  "vit_input_resolution",
  "vit_mapping_type",
  "vit_norm_type",
  "vit_patch",
  "vit_path",
  "vit_remove_prenorm",
  "vit_token",
  "vit_type",
  "vit_used_rms_norm",
  "xdrope_section",
  // Sizes of latent attention; `use_mla`, which would switch it on, is checked.
  "kv_lora_rank",
  "q_lora_rank",
  "qk_nope_head_dim",
  "qk_rope_head_dim",
  "v_head_dim",
];

/** Checks what all Hunyuan layouts have in common besides sizes. */
export function checkCommonKeys(reader: ConfigReader): void {
  reader.mustBe("hidden_act", ["silu"], "its layers are SwiGLU, which uses silu");
  reader.mustBe("attention_bias", [false], "biases of the attention are not supported");
  reader.mustBe("mlp_bias", [false], "biases of the feed-forward layers are not supported");
  reader.mustBe("norm_type", ["rms", "hf_rms"], "its norms are RMSNorm");
  reader.mustBe("use_rotary_pos_emb", [true], "its positions are rotary");
  reader.mustBe("position_embedding_xdrope", [false], "only plain rotary positions are supported");
  reader.mustBe("add_classification_head", [false], "it has to be a language model");
  reader.mustBe("use_mla", [false], "latent attention is not supported");
  reader.mustBe("moe_layer_num_skipped", [0], "all layers have to be mixtures of experts");
  reader.mustBe("group_limited_greedy", [false], "experts are chosen among all");
  reader.mustBe("n_group", [1], "experts are chosen among all");
  reader.mustBe("topk_group", [1], "experts are chosen among all");
  reader.mustBe("routed_scaling_factor", [1], "gate weights are not scaled");
  reader.ignore(harmlessKeys);
}

/** The alpha and factor of an NTK-alpha rotary scaling; all its other keys are inert in every implementation. */
export function readNtkAlpha(
  reader: ConfigReader,
  scaling: ConfigReader,
  noAlpha: string,
): { type: "dynamic"; alpha: number; factor: number } {
  if (!scaling.has("alpha")) throw reader.unsupported(noAlpha, "only a fixed alpha is supported");
  const alpha = scaling.positive("alpha");
  const factor = scaling.positive("factor", 1);
  scaling.ignore(["beta_fast", "beta_slow", "mscale", "mscale_all_dim", "original_max_position_embeddings"]);
  scaling.finish();
  return { type: "dynamic", alpha, factor };
}

/** The last word on a configuration that was read: the model's own rules, with the file named. */
export function checkRead(config: ModelConfig, file: string): ModelConfig {
  if (config.headDim === 2 && config.ropeScaling !== null && config.ropeScaling.alpha !== 1) {
    throw new RookeryError(
      "INVALID_CONFIG",
      `${file}: heads of width 2 cannot be scaled: alpha^(d / (d - 2)) has no value`,
      "mend config.json",
    );
  }
  if (config.numHiddenLayers * Math.max(1, config.numExperts) > maxExpertsInAll) {
    throw new RookeryError(
      "INVALID_CONFIG",
      `${file}: ${config.numHiddenLayers} layers of ${config.numExperts} experts are more than any model has`,
      "mend config.json",
    );
  }
  const parsed = modelConfigSchema.safeParse(config);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const where = issue?.path.join(".") ?? "";
    throw new RookeryError(
      "INVALID_CONFIG",
      `${file}: ${where} cannot be built: ${issue?.message}`,
      "mend config.json",
    );
  }
  try {
    return checkModelConfig(parsed.data);
  } catch (error) {
    if (!(error instanceof RookeryError)) throw error;
    throw new RookeryError(error.code, `${file}: ${error.message}`, error.hint, { cause: error });
  }
}
