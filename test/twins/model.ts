/**
 * A slow f64 twin of the whole model and its loss, with the routing frozen. It follows the official code and not ours: keys
 * are shared raw, and each layer of a CLA group turns and norms them with a key norm of its own.
 */
import type { ModelConfig } from "../../src/model/config.ts";
import { attentionTwin } from "./attention.ts";
import { embeddingForward } from "./loss.ts";
import type { FrozenRouting } from "./moe.ts";
import { rmsnormTwin, ropeNormTwin } from "./norm.ts";
import { gatedExpert, headLoss, linear, mixture, type RouterWeights } from "./ops.ts";
import { roundToBf16 } from "./support.ts";

export type TwinBatch = {
  tokens: ArrayLike<number>;
  targets: ArrayLike<number>;
  positions: ArrayLike<number>;
  /** (start, length) pairs. */
  sequences: ArrayLike<number>;
};

/** Weights by the names of our parameters. */
export type TwinWeights = ReadonlyMap<string, Float64Array>;

function rotary(config: ModelConfig, positions: number) {
  const { headDim, ropeTheta, ropeScaling } = config;
  const half = headDim / 2;
  const base = ropeTheta * (ropeScaling?.alpha ?? 1) ** (headDim / (headDim - 2));
  const angles = Float64Array.from({ length: positions * half }, (_, i) => {
    const frequency = base ** ((-2 * (i % half)) / headDim);
    return Math.floor(i / half) * (ropeScaling ? frequency : roundToBf16(frequency));
  });
  return { cosine: angles.map(Math.cos), sine: angles.map(Math.sin) };
}

function add(a: Float64Array, b: Float64Array): Float64Array {
  return a.map((value, i) => value + b[i]!);
}

/** scale · Σ cross-entropy of the targets, plus every layer's router losses by their weights. */
export function modelLoss(
  config: ModelConfig,
  weights: TwinWeights,
  batch: TwinBatch,
  routings: readonly FrozenRouting[],
  routerWeights: RouterWeights,
  scale: number,
): number {
  const { hiddenSize: hidden, intermediateSize: width, headDim, rmsNormEps: eps } = config;
  const { numAttentionHeads, numKeyValueHeads, numExperts, numSharedExperts } = config;
  const at = (name: string) => {
    const values = weights.get(name);
    if (!values) throw new Error(`the twin has no ${name}`);
    return values;
  };
  const tokens = batch.tokens.length;
  const positions = Array.from(batch.positions);
  const table = rotary(config, Math.max(...positions) + 1);
  const sequences = Array.from({ length: batch.sequences.length / 2 }, (_, i) => {
    const [start, length] = [batch.sequences[2 * i]!, batch.sequences[2 * i + 1]!];
    return { queryRow: start, queries: length, keyRow: start, keys: length };
  });

  let x = embeddingForward(batch.tokens, at("model.embed_tokens.weight"), hidden);
  let shared: Record<"key" | "value", Float64Array> = { key: new Float64Array(), value: new Float64Array() };
  let loss = 0;
  for (let layer = 0; layer < config.numHiddenLayers; layer++) {
    const layerWeight = (name: string) => at(`model.layers.${layer}.${name}`);
    const normed = rmsnormTwin(x, layerWeight("input_layernorm.weight"), eps).y;
    const project = (name: string, from: Float64Array, out: number, input: number) =>
      linear(from, layerWeight(`self_attn.${name}.weight`), { out, in: input });
    if (layer % config.claShareFactor === 0) {
      shared = {
        key: project("k_proj", normed, numKeyValueHeads * headDim, hidden),
        value: project("v_proj", normed, numKeyValueHeads * headDim, hidden),
      };
    }
    const turned = (from: Float64Array, heads: number, norm: string) =>
      ropeNormTwin(from, {
        ...{ heads, headDim, positions, ...table, normalize: config.useQkNorm, eps, weightB: undefined },
        weightA: config.useQkNorm ? layerWeight(`self_attn.${norm}.weight`) : undefined,
      }).y;
    const query = project("q_proj", normed, numAttentionHeads * headDim, hidden);
    const { out } = attentionTwin(
      {
        q: turned(query, numAttentionHeads, "query_layernorm"),
        k: turned(shared.key, numKeyValueHeads, "key_layernorm"),
        v: shared.value,
      },
      { heads: numAttentionHeads, kvHeads: numKeyValueHeads, headDim, scale: 1 / Math.sqrt(headDim), sequences },
    );
    const attended = add(x, project("o_proj", out, hidden, numAttentionHeads * headDim));

    const normedAgain = rmsnormTwin(attended, layerWeight("post_attention_layernorm.weight"), eps).y;
    const gated = (name: string) => ({
      gateUp: layerWeight(`mlp.${name}.gate_up_proj`),
      down: layerWeight(`mlp.${name}.down_proj`),
    });
    const base =
      numSharedExperts > 0
        ? add(attended, gatedExpert(normedAgain, gated("shared_mlp"), { hidden, width: width * numSharedExperts }))
        : attended;
    const mixed = mixture(
      { x: normedAgain, base, router: layerWeight("mlp.gate.wg.weight"), ...gated("experts") },
      { tokens, hidden, experts: numExperts, width },
      routings[layer]!,
      routerWeights,
    );
    x = mixed.output;
    loss += mixed.loss;
  }
  const last = rmsnormTwin(x, at("model.norm.weight"), eps).y;
  const head = at(config.tieWordEmbeddings ? "model.embed_tokens.weight" : "lm_head.weight");
  return loss + headLoss(last, head, batch.targets, hidden, scale).loss;
}
