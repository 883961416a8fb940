/** What a model costs, counted from the description that builds it: parameters, FLOPs a token, KV cache, memory. */
import { type ModelConfig, numKeyValueGroups } from "./config.ts";
import { countFlops } from "./flops.ts";
import { activatedElements, describeParameters, elementCount } from "./parameters.ts";

export type Accounting = {
  parameters: { total: number; activated: number };
  /** Multiplications and additions, each one FLOP, for one token at the given sequence length; `flops.ts` has them by part. */
  flopsPerToken: { forward: number; training: number; sequenceLength: number };
  kvCache: {
    /** bf16 bytes that one token takes in the cache. */
    bytesPerToken: number;
    /** The same for multi-head attention without sharing, and ours as a share of it. */
    multiHeadBytesPerToken: number;
    shareOfMultiHead: number;
  };
  memory: {
    /** bf16 weights, as served. */
    servingWeightBytes: number;
    /** f32 weights, gradients and both moments. */
    trainingStateBytes: number;
  };
};

const bf16Bytes = 2;
const f32Bytes = 4;

/**
 * @param sequenceLength tokens a sequence; attention costs a token its mean causal context, half of this.
 * Training is counted as three forward passes (report-style: forward once, backward twice), without recomputation.
 */
export function account(config: ModelConfig, sequenceLength = config.maxPositionEmbeddings): Accounting {
  const parameters = describeParameters(config);
  let total = 0;
  let activated = 0;
  for (const parameter of parameters) {
    total += elementCount(parameter.shape);
    activated += activatedElements(config, parameter);
  }
  const { numHiddenLayers, numAttentionHeads, numKeyValueHeads, headDim } = config;
  const { forward, training } = countFlops(config, { sequenceLength });
  const bytesPerToken = 2 * bf16Bytes * numKeyValueHeads * headDim * numKeyValueGroups(config);
  const multiHeadBytesPerToken = 2 * bf16Bytes * numAttentionHeads * headDim * numHiddenLayers;
  return {
    parameters: { total, activated },
    flopsPerToken: { forward, training, sequenceLength },
    kvCache: {
      bytesPerToken,
      multiHeadBytesPerToken,
      shareOfMultiHead: bytesPerToken / multiHeadBytesPerToken,
    },
    memory: {
      servingWeightBytes: total * bf16Bytes,
      trainingStateBytes: total * 4 * f32Bytes,
    },
  };
}
