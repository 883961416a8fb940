/**
 * The compute at which a law is asked. A law whose runs had their noise scale measured is one of C_min, so that what is paid for is
 * turned into that first, at the batch that is planned; every other law takes C as C_min.
 */
import { criticalBatchAt, leastCompute } from "./batch.ts";
import { frontierAt, powerAt, type ScalingLaw } from "./laws.ts";

/** From what a training takes to the tokens of its batch. */
export type BatchAt = (compute: number) => number;

const mostRounds = 50;

/** B_crit where the best model for that C_min is; null for a law that is not one of C_min. */
function criticalAt({ batch, frontier }: ScalingLaw, least: number): number | null {
  if (!batch.critical || !batch.tokens || !frontier) return null;
  return criticalBatchAt(batch.critical, frontierAt(frontier, least));
}

/** C_min of a training that takes `compute` FLOPs at batches of `batchTokens`, or `compute` itself. */
export function leastComputeFor(law: ScalingLaw, compute: number, batchTokens: number): number {
  let least = compute;
  // the critical batch follows the loss, and the loss what the batch leaves of the compute
  for (let round = 0; round < mostRounds; round++) {
    const critical = criticalAt(law, least);
    if (critical === null) return compute;
    least = leastCompute(compute, batchTokens, critical);
  }
  return least;
}

/** FLOPs of the training whose C_min is `least`: the other way around. */
export function computeForLeast(law: ScalingLaw, least: number, batchAt: BatchAt): number {
  const critical = criticalAt(law, least);
  if (critical === null) return least;
  let compute = least;
  // a batch grows more slowly than the compute
  for (let round = 0; round < mostRounds; round++) compute = least * (1 + batchAt(compute) / critical);
  return compute;
}

/** The batch of a law's own runs at that compute; null where it tells none. */
export function ownBatchAt({ batch }: ScalingLaw, compute: number): number | null {
  return batch.tokens && powerAt(batch.tokens, compute);
}
