/**
 * Mixed routing with recycling (report §2.2.2). Every token goes through the shared expert, and its router picks `topK`
 * specialised experts by softmax probability. In training an expert takes at most `capacity` tokens, so that none becomes the
 * straggler of the step. What to do with a token whose expert is full is the routing mode:
 *
 *     dropless   no limit: what inference always does
 *     drop       the token goes without: only the shared expert sees it
 *     recycle    the token goes to a random expert that still has room
 *
 *     capacity 2, router's choice      A→1  B→2  C→1  D→1  E→3        expert 1 is one over
 *     places are kept in random order  C, A keep expert 1;  D is over
 *     free places                      expert 2: one, expert 3: one, expert 4: two
 *     D takes one of the four at random, say expert 4, and is weighted by its own probability for expert 4.
 *
 * With a capacity factor of 1 or more and topK 1 no token is lost. The gate of a recycled token is small when its router
 * did not want that expert, and its gradient teaches the router what the expert was worth.
 */
import { streamKeys } from "../base/random.ts";
import type { RoutingMode } from "../kernels/bindings/moe.ts";
import type { Execution } from "../tensor/execution.ts";
import { type Routing, route } from "../tensor/ops/router.ts";
import type { Parameter } from "../tensor/parameter.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { ModelConfig } from "./config.ts";

/** How tokens are routed in one forward pass. */
export type RoutingPlan = {
  mode: RoutingMode;
  /** An expert's share of the load, as a multiple of an even one. */
  capacityFactor: number;
  /** Weights of the load-balance loss (GShard form) and of the router's z-loss in the total loss. */
  balanceWeight: number;
  zWeight: number;
  /** Names the random choices of this pass; the same numbers repeat them exactly. */
  randomStream: readonly (number | string)[];
  seed: number;
  /** Rates of dropout, of attention's probabilities and of what a layer adds to the residual stream; without, none. */
  dropout?: { attention: number; hidden: number } | undefined;
  /** Whether the reports have the router's probabilities, and whether they lack the losses. */
  keepsProbabilities?: boolean;
  skipsLosses?: boolean;
};

/** Inference: whoever is chosen computes. */
export const dropless: RoutingPlan = {
  mode: "dropless",
  capacityFactor: 1,
  balanceWeight: 0,
  zWeight: 0,
  randomStream: [],
  seed: 0,
};

/** Most tokens an expert takes of `tokens`: ⌈capacityFactor · tokens · topK / numExperts⌉. */
export function expertCapacity(tokens: number, config: ModelConfig, capacityFactor: number): number {
  return Math.ceil((capacityFactor * tokens * config.topK) / config.numExperts);
}

/** Routes the rows of x [tokens, hidden] of one layer. */
export function routeTokens(
  execution: Execution,
  x: Tensor,
  weight: Parameter,
  config: ModelConfig,
  layer: number,
  plan: RoutingPlan,
): Routing {
  return route(execution, x, weight, {
    topK: config.topK,
    topOneGate: config.topOneGate,
    mode: plan.mode,
    capacity: expertCapacity(x.size(0), config, plan.capacityFactor),
    keys: streamKeys(plan.seed, ...plan.randomStream, "routing", layer),
    balanceWeight: plan.balanceWeight,
    zWeight: plan.zWeight,
    keepsProbabilities: plan.keepsProbabilities === true,
    skipsLosses: plan.skipsLosses === true,
  });
}
