/** Memory that a training pass keeps for the way back, counted from what the ops of a layer hold on to. */
import type { ModelConfig } from "./config.ts";

export type ActivationBytes = {
  /** Bytes a token that all layers together keep, without recomputation. */
  kept: number;
  /** Bytes a token that go from one CLA group to the next: all that is kept when blocks are recomputed. */
  betweenGroups: number;
  /** Bytes a token of one whole CLA group, which is there while the group is on its way back. */
  perGroup: number;
};

const f32Bytes = 4;

/**
 * @param elementBytes of an activation: 2 for bf16. Scratch, gradients of activations and the head's chunks of logits are not in
 * it; `predictTrainingMemory` has those of this machine.
 */
export function countActivations(config: ModelConfig, elementBytes: number): ActivationBytes {
  const { hiddenSize, intermediateSize, numAttentionHeads, numKeyValueHeads, headDim } = config;
  const { numHiddenLayers, numExperts, topK, numSharedExperts, claShareFactor } = config;
  // with QK-norm a head is kept before the norm and after, and one number for its norm
  const normed = config.useQkNorm ? 1 : 0;
  const perHead = (copies: number) => copies * headDim * elementBytes + normed * f32Bytes;
  const queries = numAttentionHeads * (perHead(2 + normed) + f32Bytes); // the query, what it found, its log-sum-exp
  const keysAndValues = numKeyValueHeads * perHead(2 + normed);
  const stream = 4 * hiddenSize * elementBytes + 2 * f32Bytes; // before each half and normed
  const shared = numSharedExperts * 2 * intermediateSize * elementBytes;
  const routed = topK * (2 * hiddenSize + 2 * intermediateSize) * elementBytes;
  const router = numExperts > 0 ? (numExperts + 1 + 4 * topK) * f32Bytes : 0;
  const layer = stream + queries + shared + routed + router;
  const groups = Math.ceil(numHiddenLayers / claShareFactor);
  return {
    kept: numHiddenLayers * layer + groups * keysAndValues,
    betweenGroups: groups * hiddenSize * elementBytes,
    perGroup: claShareFactor * layer + keysAndValues,
  };
}
