/**
 * FLOPs a token, by part and by direction, counted from the description that builds the model. A multiplication and an addition
 * are one FLOP each. Counted is what is a product of matrices: norms, RoPE, softmax and SwiGLU are a fraction of a percent.
 */
import type { ModelConfig } from "./config.ts";
import { activatedElements, describeParameters, type ParameterRole } from "./parameters.ts";
import type { Recomputation } from "./recomputation.ts";

/** Projections are products with q, k, v and o; attention is q kᵀ and p v, which alone depend on the context. */
export const flopParts = ["projections", "attention", "router", "sharedExpert", "experts", "head"] as const;
export type FlopPart = (typeof flopParts)[number];

/** `recomputed`: done once more on the way back, since it was not kept. */
export type PartFlops = { forward: number; backward: number; recomputed: number };

export type FlopCount = {
  parts: Record<FlopPart, PartFlops>;
  forward: number;
  backward: number;
  recomputed: number;
  /** forward + backward: what the mathematics asks for, and what a scaling law's C counts. */
  training: number;
  /** training + recomputed: what the kernels do. */
  executed: number;
};

/** A pure lookup of the embedding is no product; tied, it is the head. */
const partOf: Record<ParameterRole, FlopPart | undefined> = {
  embedding: "head",
  head: "head",
  norm: undefined,
  attention: "projections",
  router: "router",
  sharedExpert: "sharedExpert",
  expert: "experts",
};

/**
 * FLOPs of one token in sequences of `sequenceLength`, each its own document: attention is causal, so that a token sees
 * (sequenceLength + 1) / 2 keys on average. Every token is taken to reach its topK experts.
 * Backward, each product has two gradients, as large as itself. The attention kernel makes q kᵀ again on the way back instead of
 * keeping it (Dao et al., 2022), and recomputation "block" makes all of every block again.
 */
export function countFlops(
  config: ModelConfig,
  { sequenceLength, recomputation = "none" }: { sequenceLength: number; recomputation?: Recomputation },
): FlopCount {
  const forwards = Object.fromEntries(flopParts.map((part) => [part, 0])) as Record<FlopPart, number>;
  for (const parameter of describeParameters(config)) {
    const part = partOf[parameter.role];
    const isLookup = parameter.role === "embedding" && parameter.kind === "array";
    if (part && !isLookup) forwards[part] += 2 * activatedElements(config, parameter);
  }
  const { numHiddenLayers, numAttentionHeads, headDim } = config;
  const scores = numHiddenLayers * 2 * numAttentionHeads * headDim * ((sequenceLength + 1) / 2);
  forwards.attention = 2 * scores;
  const parts = Object.fromEntries(
    flopParts.map((part): [FlopPart, PartFlops] => {
      const forward = forwards[part];
      const again = recomputation === "block" && part !== "head" ? forward : 0;
      return [part, { forward, backward: 2 * forward, recomputed: again + (part === "attention" ? scores : 0) }];
    }),
  ) as Record<FlopPart, PartFlops>;
  const sum = (what: keyof PartFlops) => flopParts.reduce((total, part) => total + parts[part][what], 0);
  const [forward, backward, recomputed] = [sum("forward"), sum("backward"), sum("recomputed")];
  return {
    parts,
    forward,
    backward,
    recomputed,
    training: forward + backward,
    executed: forward + backward + recomputed,
  };
}
