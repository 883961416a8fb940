import type { ModelConfig } from "../model/config.ts";
import { ConfigReader } from "./config-reader.ts";
import { checkCommonKeys, checkRead, limits, readNtkAlpha } from "./hunyuan-keys.ts";

// The official layout of Hunyuan-Large: model_type "hunyuan", class HunYuanForCausalLM. It alone can say cross-layer
// attention, a raw top-1 gate, several shared experts or none, and a model without QK-norm. With one expert its layers are
// dense, as those of Hunyuan-7B are.

export const hunyuanArchitecture = "HunYuanForCausalLM";

/** Why the official layout cannot say this configuration; empty when it can. */
export function whyNotHunyuan(config: ModelConfig): string[] {
  const reasons: string[] = [];
  if (config.headDim * config.numAttentionHeads !== config.hiddenSize) {
    reasons.push(
      `it has no key for headDim, which is always hiddenSize / numAttentionHeads: ${config.hiddenSize} / ` +
        `${config.numAttentionHeads} is not ${config.headDim}`,
    );
  }
  if (config.numExperts === 1) reasons.push("its layers are dense when there is one expert");
  if (config.topOneGate === "one")
    reasons.push("it weighs a top-1 expert by its raw probability, never by 1 (topOneGate)");
  return reasons;
}

/** The keys of the official config.json. Token ids and dtype are added by whoever writes the directory. */
export function toHunyuanConfig(config: ModelConfig): Record<string, unknown> {
  return {
    architectures: [hunyuanArchitecture],
    model_type: "hunyuan",
    vocab_size: config.vocabularySize,
    hidden_size: config.hiddenSize,
    intermediate_size: config.intermediateSize,
    num_hidden_layers: config.numHiddenLayers,
    num_attention_heads: config.numAttentionHeads,
    num_key_value_heads: config.numKeyValueHeads,
    hidden_act: "silu",
    max_position_embeddings: config.maxPositionEmbeddings,
    rms_norm_eps: config.rmsNormEps,
    rope_theta: config.ropeTheta,
    rope_scaling: config.ropeScaling,
    attention_bias: false,
    attention_dropout: 0,
    use_qk_norm: config.useQkNorm,
    use_cla: config.claShareFactor > 1,
    cla_share_factor: config.claShareFactor,
    num_experts: Math.max(1, config.numExperts),
    moe_topk: Math.max(1, config.topK),
    use_mixed_mlp_moe: config.numExperts > 0 && config.numSharedExperts > 0,
    num_shared_expert: Math.max(1, config.numSharedExperts),
    tie_word_embeddings: config.tieWordEmbeddings,
    initializer_range: config.initializerRange,
    pretraining_tp: 1,
    use_cache: true,
  };
}

/**
 * Reads an official config.json. Throws INVALID_CONFIG for values that make no sense, UNSUPPORTED_MODEL with the reason
 * for what cannot be built, an unknown key included.
 */
export function fromHunyuanConfig(values: Readonly<Record<string, unknown>>, file: string): ModelConfig {
  const reader = new ConfigReader(values, file);
  reader.ignore(["architectures"]);
  reader.mustBe("model_type", ["hunyuan"], "the official layout is read");
  checkCommonKeys(reader);

  const hiddenSize = reader.integer("hidden_size", limits.size);
  const numAttentionHeads = reader.integer("num_attention_heads", limits.heads);
  if (hiddenSize % numAttentionHeads !== 0) {
    throw reader.invalid("hidden_size", hiddenSize, `a multiple of num_attention_heads (${numAttentionHeads})`);
  }
  const headDim = hiddenSize / numAttentionHeads;
  for (const key of ["head_dim", "attention_head_dim"]) {
    reader.mustBe(key, [headDim], `the official code always takes hidden_size / num_attention_heads = ${headDim}`);
  }

  const numHiddenLayers = reader.integer("num_hidden_layers", limits.layers);
  const numExperts = reader.integerForAllLayers("num_experts", numHiddenLayers, limits.experts, 1);
  const intermediateSize = reader.integer("intermediate_size", limits.size);
  reader.mustBe("moe_intermediate_size", [intermediateSize], "all experts are as wide as intermediate_size");
  const hasSharedExperts = reader.boolean("use_mixed_mlp_moe", false);
  const numSharedExperts = reader.integerForAllLayers("num_shared_expert", numHiddenLayers, limits.experts, 1);
  const topK = reader.integerForAllLayers("moe_topk", numHiddenLayers, limits.experts, 1);
  // The official code takes the gate of a top-1 choice raw and divides several by their sum, whatever this key says.
  reader.mustBe(
    "norm_topk_prob",
    [topK > 1],
    "the official code divides gate weights by their sum exactly when moe_topk > 1",
  );

  const usesCla = reader.boolean("use_cla", false);
  const shareFactor = reader.integer("cla_share_factor", limits.layers, 1);

  const mixture =
    numExperts > 1
      ? { numExperts, topK, numSharedExperts: hasSharedExperts ? numSharedExperts : 0 }
      : { numExperts: 0, topK: 0, numSharedExperts: 1 };

  const config = {
    vocabularySize: reader.integer("vocab_size", limits.vocabulary),
    hiddenSize,
    intermediateSize,
    numHiddenLayers,
    numAttentionHeads,
    numKeyValueHeads: reader.integer("num_key_value_heads", limits.heads, numAttentionHeads),
    headDim,
    rmsNormEps: reader.positive("rms_norm_eps", 1e-5),
    ropeTheta: reader.positive("rope_theta", 10_000),
    ropeScaling: readRopeScaling(reader, file),
    maxPositionEmbeddings: reader.integer("max_position_embeddings", limits.positions, 2048),
    useQkNorm: reader.boolean("use_qk_norm", false),
    // Files without cross-layer attention may still carry a share factor; use_cla alone decides.
    claShareFactor: usesCla ? shareFactor : 1,
    ...mixture,
    tieWordEmbeddings: reader.boolean("tie_word_embeddings", false),
    initializerRange: reader.positive("initializer_range", 0.02),
  };
  reader.finish();
  return checkRead(config, file);
}

function readRopeScaling(reader: ConfigReader, file: string): ModelConfig["ropeScaling"] {
  const values = reader.object("rope_scaling");
  if (values === null) return null;
  const scaling = new ConfigReader(values, `${file}: "rope_scaling"`);
  scaling.mustBe("type", ["dynamic"], "only NTK scaling by alpha is supported");
  return readNtkAlpha(reader, scaling, '"rope_scaling" has no alpha, so it changes with the length of the text');
}
