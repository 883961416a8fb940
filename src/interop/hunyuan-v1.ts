import type { ModelConfig } from "../model/config.ts";
import { ConfigReader } from "./config-reader.ts";
import { checkCommonKeys, checkRead, limits, readNtkAlpha } from "./hunyuan-keys.ts";

// The layout of Hunyuan-A13B: model_type "hunyuan_v1_moe", class HunYuanMoEV1ForCausalLM. transformers, vLLM and
// llama.cpp run it. Gate weights are always divided by their sum, QK-norm is always on, there is one shared expert.

export const hunyuanV1Architecture = "HunYuanMoEV1ForCausalLM";

/** Why `hunyuan_v1_moe` cannot say this configuration; empty when it can. */
export function whyNotHunyuanV1(config: ModelConfig): string[] {
  const reasons: string[] = [];
  if (config.claShareFactor > 1)
    reasons.push(`it has no cross-layer attention (claShareFactor ${config.claShareFactor})`);
  if (config.topK === 1)
    reasons.push("it divides gate weights by their sum, so a top-1 gate is always 1 instead of the raw probability");
  if (!config.useQkNorm) reasons.push("its QK-norm is always on (useQkNorm false)");
  if (config.numSharedExperts !== 1)
    reasons.push(`it always has one shared expert (numSharedExperts ${config.numSharedExperts})`);
  if (config.ropeScaling === null) {
    reasons.push(
      "it does not round rotary frequencies to bf16 (ropeScaling null; an alpha of 1 scales nothing either)",
    );
  }
  if (config.numExperts < 2) reasons.push("it is a mixture of experts");
  return reasons;
}

/**
 * The keys of a `hunyuan_v1_moe` config.json that transformers 4.x and 5.x, vLLM and llama.cpp's converter read: the
 * rotary keys as 4.x has them (5.x converts them), numbers a layer as lists, since the converter indexes them. Token ids
 * and dtype are added by whoever writes the directory.
 */
export function toHunyuanV1Config(config: ModelConfig): Record<string, unknown> {
  const eachLayer = (value: number): number[] => new Array<number>(config.numHiddenLayers).fill(value);
  // An alpha of 1 scales nothing; said as null it stays so past max_position_embeddings too, and llama.cpp takes it.
  const ropeScaling = config.ropeScaling?.alpha === 1 ? null : config.ropeScaling;
  return {
    architectures: [hunyuanV1Architecture],
    model_type: "hunyuan_v1_moe",
    vocab_size: config.vocabularySize,
    hidden_size: config.hiddenSize,
    intermediate_size: config.intermediateSize,
    moe_intermediate_size: eachLayer(config.intermediateSize),
    num_hidden_layers: config.numHiddenLayers,
    num_attention_heads: config.numAttentionHeads,
    num_key_value_heads: config.numKeyValueHeads,
    head_dim: config.headDim,
    hidden_act: "silu",
    max_position_embeddings: config.maxPositionEmbeddings,
    rms_norm_eps: config.rmsNormEps,
    rope_theta: config.ropeTheta,
    rope_scaling: ropeScaling,
    attention_bias: false,
    attention_dropout: 0,
    use_qk_norm: true,
    use_cla: false,
    num_experts: config.numExperts,
    moe_topk: eachLayer(config.topK),
    norm_topk_prob: true,
    use_mixed_mlp_moe: true,
    num_shared_expert: eachLayer(1),
    tie_word_embeddings: config.tieWordEmbeddings,
    initializer_range: config.initializerRange,
    pretraining_tp: 1,
    use_cache: true,
  };
}

/**
 * Reads a `hunyuan_v1_moe` config.json of transformers 4.x or 5.x, or of the A13B repository. Throws INVALID_CONFIG for
 * values that make no sense, UNSUPPORTED_MODEL with the reason for what cannot be built, an unknown key included.
 */
export function fromHunyuanV1Config(values: Readonly<Record<string, unknown>>, file: string): ModelConfig {
  const reader = new ConfigReader(values, file);
  reader.ignore(["architectures", "cla_share_factor"]);
  reader.mustBe("model_type", ["hunyuan_v1_moe", "hunyuan"], "a mixture of the V1 family is read");
  checkCommonKeys(reader);
  reader.mustBe("use_cla", [false], "transformers ignores it and gives each layer its own keys and values");
  reader.mustBe("use_qk_norm", [true], "QK-norm is always on in this layout");
  reader.mustBe("norm_topk_prob", [true], "gate weights are always divided by their sum in this layout");
  reader.mustBe("use_mixed_mlp_moe", [true], "this layout always has a shared expert");
  reader.mustBe("num_shared_expert", [1], "this layout always has one shared expert");

  const hiddenSize = reader.integer("hidden_size", limits.size);
  const numAttentionHeads = reader.integer("num_attention_heads", limits.heads);
  // Early files have only attention_head_dim.
  const headDim =
    reader.has("head_dim") || !reader.has("attention_head_dim")
      ? reader.integer("head_dim", limits.size)
      : reader.integer("attention_head_dim", limits.size);
  reader.mustBe("attention_head_dim", [headDim], `head_dim is ${headDim}`);

  const numHiddenLayers = reader.integer("num_hidden_layers", limits.layers);
  const intermediateSize = reader.integer("intermediate_size", limits.size);
  reader.mustBe("moe_intermediate_size", [intermediateSize], "all experts are as wide as intermediate_size");
  const numExperts = reader.integerForAllLayers(
    aliasOf(reader, "num_experts", "num_local_experts"),
    numHiddenLayers,
    limits.experts,
  );
  const topK = reader.integerForAllLayers(
    aliasOf(reader, "moe_topk", "num_experts_per_tok"),
    numHiddenLayers,
    limits.experts,
  );
  if (topK === 1) {
    throw reader.unsupported(
      "it sends each token to one expert with the gate weight 1",
      "this Rookery weighs a top-1 expert by its raw probability; give a model with moe_topk of 2 or more",
    );
  }
  const config = {
    vocabularySize: reader.integer("vocab_size", limits.vocabulary),
    hiddenSize,
    intermediateSize,
    numHiddenLayers,
    numAttentionHeads,
    numKeyValueHeads: reader.integer("num_key_value_heads", limits.heads, numAttentionHeads),
    headDim,
    rmsNormEps: reader.positive("rms_norm_eps", 1e-5),
    ...readRope(reader, file),
    maxPositionEmbeddings: reader.integer("max_position_embeddings", limits.positions, 2048),
    useQkNorm: true,
    claShareFactor: 1,
    numExperts,
    topK,
    numSharedExperts: 1,
    tieWordEmbeddings: reader.boolean("tie_word_embeddings", false),
    initializerRange: reader.positive("initializer_range", 0.02),
  };
  reader.finish();
  return checkRead(config, file);
}

function aliasOf(reader: ConfigReader, name: string, alias: string): string {
  return !reader.has(name) && reader.has(alias) ? alias : name;
}

/** What null means in this layout: the model's own null would round the frequencies, as the official code does. */
const unscaled = { type: "dynamic", alpha: 1, factor: 1 } as const;

/** 5.x has `rope_parameters`; before, `rope_theta` and `rope_scaling` stood side by side. */
function readRope(reader: ConfigReader, file: string): Pick<ModelConfig, "ropeTheta" | "ropeScaling"> {
  const key = reader.has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  const theta = reader.positive("rope_theta", 10_000);
  reader.ignore(["rope_scaling"]);
  const values = reader.object(key);
  if (values === null) return { ropeTheta: theta, ropeScaling: unscaled };
  const scaling = new ConfigReader(values, `${file}: "${key}"`);
  const ropeTheta = scaling.positive("rope_theta", theta);
  scaling.mustBe("partial_rotary_factor", [1], "the whole head is rotated");
  const type = values.rope_type ?? values.type;
  scaling.ignore(["rope_type", "type"]);
  if (type === "default") {
    scaling.finish();
    return { ropeTheta, ropeScaling: unscaled };
  }
  if (type !== "dynamic") throw scaling.invalid("rope_type", type, '"default" or "dynamic"');
  const ropeScaling = readNtkAlpha(reader, scaling, `"${key}" has no alpha, so it changes with the length of the text`);
  return { ropeTheta, ropeScaling };
}
