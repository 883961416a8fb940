/** What a model costs, counted from the description that builds it: parameters, FLOPs a token, KV cache, memory. */
import { type ModelConfig, numKeyValueGroups } from "./config.ts";
import { describeParameters, elementCount, type ParameterDescription } from "./parameters.ts";

export type Accounting = {
  parameters: { total: number; activated: number };
  /** Multiplications and additions, each one FLOP, for one token at the given sequence length. */
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

/** The share of a parameter's elements that one token touches: of the specialised experts only the chosen ones. */
function activatedElements(config: ModelConfig, parameter: ParameterDescription): number {
  const elements = elementCount(parameter.shape);
  return parameter.role === "expert" ? (elements / config.numExperts) * config.topK : elements;
}

/**
 * @param sequenceLength tokens a sequence; attention costs a token its mean causal context, half of this.
 * Training is counted as three forward passes (report-style: forward once, backward twice), without recomputation.
 */
export function account(config: ModelConfig, sequenceLength = config.maxPositionEmbeddings): Accounting {
  const parameters = describeParameters(config);
  let total = 0;
  let activated = 0;
  let multiplied = 0;
  for (const parameter of parameters) {
    const elements = elementCount(parameter.shape);
    total += elements;
    activated += activatedElements(config, parameter);
    // the router is read in place, but multiplied with all the same; a pure lookup is not
    const isProduct = parameter.kind === "matrix" || parameter.role === "router";
    if (isProduct) multiplied += activatedElements(config, parameter);
  }
  const { numHiddenLayers, numAttentionHeads, numKeyValueHeads, headDim } = config;
  const meanContext = (sequenceLength + 1) / 2;
  const attention = numHiddenLayers * 2 * 2 * numAttentionHeads * headDim * meanContext;
  const forward = 2 * multiplied + attention;
  const bytesPerToken = 2 * bf16Bytes * numKeyValueHeads * headDim * numKeyValueGroups(config);
  const multiHeadBytesPerToken = 2 * bf16Bytes * numAttentionHeads * headDim * numHiddenLayers;
  return {
    parameters: { total, activated },
    flopsPerToken: { forward, training: 3 * forward, sequenceLength },
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
