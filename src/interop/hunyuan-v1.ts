import type { ModelConfig } from "../model/config.ts";
import { ConfigReader } from "./config-reader.ts";
import { checkCommonKeys, checkRead, limits, readNtkAlpha } from "./hunyuan-keys.ts";

// What `hunyuan_v1_moe` and `hunyuan_v1_dense` share: transformers, vLLM and llama.cpp run both. QK-norm is always on,
// no layer shares its keys and values, and the width of a head has a key of its own.

/** Why neither layout of the V1 family can say this configuration; empty when nothing stands against it. */
export function whyNotV1(config: ModelConfig): string[] {
  const reasons: string[] = [];
  if (config.claShareFactor > 1)
    reasons.push(`it has no cross-layer attention (claShareFactor ${config.claShareFactor})`);
  if (!config.useQkNorm) reasons.push("its QK-norm is always on (useQkNorm false)");
  if (config.ropeScaling === null) {
    reasons.push(
      "it does not round rotary frequencies to bf16 (ropeScaling null; an alpha of 1 scales nothing either)",
    );
  }
  return reasons;
}

/** The keys of both layouts, as transformers 4.x has them: 5.x, vLLM and llama.cpp's converter read them too. */
export function toV1Keys(config: ModelConfig): Record<string, unknown> {
  return {
    vocab_size: config.vocabularySize,
    hidden_size: config.hiddenSize,
    intermediate_size: config.intermediateSize,
    num_hidden_layers: config.numHiddenLayers,
    num_attention_heads: config.numAttentionHeads,
    num_key_value_heads: config.numKeyValueHeads,
    head_dim: config.headDim,
    hidden_act: "silu",
    max_position_embeddings: config.maxPositionEmbeddings,
    rms_norm_eps: config.rmsNormEps,
    rope_theta: config.ropeTheta,
    // An alpha of 1 scales nothing; said as null it stays so past max_position_embeddings too, and llama.cpp takes it.
    rope_scaling: config.ropeScaling?.alpha === 1 ? null : config.ropeScaling,
    attention_bias: false,
    attention_dropout: 0,
    use_qk_norm: true,
    use_cla: false,
    tie_word_embeddings: config.tieWordEmbeddings,
    initializer_range: config.initializerRange,
    pretraining_tp: 1,
    use_cache: true,
  };
}

/** What the two layouts read alike. The caller reads what is its own and calls `finish`. */
export type V1Common = Omit<ModelConfig, "numExperts" | "topK" | "topOneGate" | "intermediateSize">;

export function readV1Common(reader: ConfigReader, file: string): V1Common {
  reader.ignore(["architectures", "cla_share_factor"]);
  checkCommonKeys(reader);
  reader.mustBe("use_cla", [false], "transformers ignores it and gives each layer its own keys and values");
  reader.mustBe("use_qk_norm", [true], "QK-norm is always on in this layout");
  const numAttentionHeads = reader.integer("num_attention_heads", limits.heads);
  // Early files have only attention_head_dim.
  const headDim =
    reader.has("head_dim") || !reader.has("attention_head_dim")
      ? reader.integer("head_dim", limits.size)
      : reader.integer("attention_head_dim", limits.size);
  reader.mustBe("attention_head_dim", [headDim], `head_dim is ${headDim}`);
  return {
    vocabularySize: reader.integer("vocab_size", limits.vocabulary),
    hiddenSize: reader.integer("hidden_size", limits.size),
    numHiddenLayers: reader.integer("num_hidden_layers", limits.layers),
    numAttentionHeads,
    numKeyValueHeads: reader.integer("num_key_value_heads", limits.heads, numAttentionHeads),
    headDim,
    rmsNormEps: reader.positive("rms_norm_eps", 1e-5),
    ...readRope(reader, file),
    maxPositionEmbeddings: reader.integer("max_position_embeddings", limits.positions, 2048),
    useQkNorm: true,
    claShareFactor: 1,
    numSharedExperts: 1,
    tieWordEmbeddings: reader.boolean("tie_word_embeddings", false),
    initializerRange: reader.positive("initializer_range", 0.02),
  };
}

/** Refuses the keys that are left, and what the model's own rules refuse. */
export function finishV1(reader: ConfigReader, config: ModelConfig, file: string): ModelConfig {
  reader.finish();
  return checkRead(config, file);
}

/** What null means in this family: the model's own null would round the frequencies, as the official code does. */
const unscaled = { type: "dynamic", alpha: 1, factor: 1 } as const;

/** 5.x has `rope_parameters`; before, `rope_theta` and `rope_scaling` stood side by side. */
function readRope(reader: ConfigReader, file: string): Pick<ModelConfig, "ropeTheta" | "ropeScaling"> {
  const key = reader.has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  const theta = reader.positive("rope_theta", 10_000);
  reader.ignore(["rope_scaling", "rope_parameters"]);
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
  if (type !== "dynamic") {
    throw scaling.unsupported(
      `the scaling is of the type ${JSON.stringify(type)?.slice(0, 40)}`,
      'only "default" and "dynamic" with an alpha are supported',
    );
  }
  const ropeScaling = readNtkAlpha(reader, scaling, `"${key}" has no alpha, so it changes with the length of the text`);
  return { ropeTheta, ropeScaling };
}
