/**
 * Why a step takes as long as it does: products at the rate of a product, attention at that of attention, and bytes at the
 * rate at which memory is read. Four constants, each measured in the same run by a benchmark that is no training step.
 */
import { account } from "../model/accounting.ts";
import { describeParameters, elementCount } from "../model/parameters.ts";
import { attentionFlops } from "./attention-flops.ts";
import type { TrainWork } from "./protocol.ts";
import { benchModel } from "./work/train.ts";

/** FLOPs a second of products, of attention, and bytes a second. */
export type Rates = { products: number; attention: number; bytes: number };

export type StepParts = { products: number; attention: number; state: number; activations: number };

/** What one step does: FLOPs of its products and attention, bytes of its state and its activations. */
export function stepCosts(work: TrainWork): StepParts {
  const config = benchModel(work);
  const tokens = work.batch * work.sequenceLength;
  const shape = { ...work, kind: "attention", sequences: work.batch, length: work.sequenceLength } as const;
  const { forward, backward } = attentionFlops({ ...shape, headDim: config.headDim });
  // at a length of 0 no attention is counted: what is left are products
  const products = account(config, 0).flopsPerToken.training - attentionOfNothing(work, config.headDim);
  const parameters = describeParameters(config).reduce((sum, { shape }) => sum + elementCount(shape), 0);
  return {
    products: products * tokens,
    attention: (forward + backward) * work.layers,
    state: parameters * stateBytesPerWeight,
    activations: activationBytes(work) * tokens,
  };
}

/** `account` counts the mean context (length + 1) / 2, which is a half where there is nothing. */
function attentionOfNothing({ layers, heads }: TrainWork, headDim: number): number {
  return 3 * layers * 2 * 2 * heads * headDim * 0.5;
}

/**
 * Bytes a weight moves in a step: AdamW reads weight, gradient and both moments and writes all but the gradient (28); the
 * gradient is written, and read for its norm (8); products read the weight forward and backward, and pack it in the cache (8).
 */
export const stateBytesPerWeight = 28 + 8 + 8;

/**
 * Bytes that a token's activations move: each is written once and read once by what comes next, and the way back moves twice
 * as much. Counted in widths of the residual stream, of queries, of keys and values, and of experts (a shared one and one more).
 */
function activationBytes({ hidden, heads, keyValueHeads, ffn, layers, computeType }: TrainWork): number {
  const keyValues = (hidden / heads) * keyValueHeads;
  const forward = 17 * hidden + 5 * hidden + 4 * keyValues + 2 * 6 * ffn;
  return 3 * forward * layers * (computeType === "bf16" ? 2 : 4);
}

/** Seconds of each part. */
export function predictStep(work: TrainWork, rates: Rates): StepParts {
  const costs = stepCosts(work);
  return {
    products: costs.products / rates.products,
    attention: costs.attention / rates.attention,
    state: costs.state / rates.bytes,
    activations: costs.activations / rates.bytes,
  };
}

export function totalOf({ products, attention, state, activations }: StepParts): number {
  return products + attention + state + activations;
}
