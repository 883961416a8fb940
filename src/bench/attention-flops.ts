import type { AttentionWork } from "./protocol.ts";

/** What causality leaves to do: q kᵀ and p v forward; those gradients' four products and q kᵀ once more backward. */
export function attentionFlops({
  sequences,
  length,
  heads,
  headDim,
}: Pick<AttentionWork, "sequences" | "length" | "heads" | "headDim">): { forward: number; backward: number } {
  const product = 2 * sequences * heads * headDim * ((length * (length + 1)) / 2);
  return { forward: 2 * product, backward: 5 * product };
}
