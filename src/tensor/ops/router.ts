/** The router: which experts a token goes to, with what weight, and the losses that keep the experts' loads even. */
import type { StreamKeys } from "../../base/random.ts";
import {
  type RoutingMode,
  routerBackward,
  routerBackwardScratchBytes,
  routerForward,
  routerForwardScratchBytes,
  routerLosses,
  routerLossesScratchBytes,
  routerSelect,
  routerSelectScratchBytes,
  routingModeCodes,
} from "../../kernels/bindings/moe.ts";
import type { Execution } from "../execution.ts";
import type { Parameter } from "../parameter.ts";
import type { Tensor } from "../tensor.ts";

export type RouteOptions = {
  topK: number;
  /** With topK 1: every gate is 1, which teaches the router nothing. */
  topOneGate?: "one" | undefined;
  mode: RoutingMode;
  /** Most tokens an expert takes; ignored when dropless. */
  capacity: number;
  /** Names the stream of random numbers that orders the tokens and places the recycled ones. */
  keys: StreamKeys;
  /** What the load-balance loss and the z-loss count in the total loss, divided by micro-batches. */
  balanceWeight: number;
  zWeight: number;
  /** Whether the report has the probabilities too. */
  keepsProbabilities?: boolean;
  /** Whether nobody will ask for the losses. */
  skipsLosses?: boolean;
};

/** What outlives the layer: who went where, how even the load was, and the losses. */
export type RoutingReport = Pick<Routing, "topK" | "selected" | "assigned" | "load" | "counts" | "losses"> & {
  /** f32 [tokens, experts], if they were to be kept. */
  keptProbabilities: Tensor | null;
};

export function reportTensors({
  selected,
  assigned,
  load,
  counts,
  losses,
  keptProbabilities,
}: RoutingReport): Tensor[] {
  const tensors = [selected, assigned, load, counts];
  if (losses) tensors.push(losses);
  if (keptProbabilities) tensors.push(keptProbabilities);
  return tensors;
}

/** Where each slot (token, choice) goes. All in native memory: nothing here needs to be read to run the experts. */
export type Routing = {
  topK: number;
  /** f32 [tokens, experts] */
  probabilities: Tensor;
  /** int32 [tokens, topK]: the router's own choice, and the expert that took the slot (−1: dropped). */
  selected: Tensor;
  assigned: Tensor;
  /** f32 [tokens, topK] */
  gates: Tensor;
  /** int32 [experts + 1]: rows of each expert once sorted. */
  offsets: Tensor;
  /** int32 [tokens, topK]: row of a slot among the sorted rows; int32 [tokens · topK]: slot at a row. */
  rowOf: Tensor;
  slotAt: Tensor;
  /** int32 [experts]: tokens that chose the expert, before capacity. */
  load: Tensor;
  /** int32 [4]: slots, over capacity, recycled, dropped. */
  counts: Tensor;
  /** f32 [2]: load-balance loss and z-loss, unweighted; null if nobody wants them. */
  losses: Tensor | null;
  keptProbabilities: Tensor | null;
};

/**
 * Chooses experts for the rows of x [tokens, hidden] with the router's weight [experts, hidden], all in f32.
 * The gradient reaches the router through the gates (of recycled slots too) and through the two losses.
 */
export function route(execution: Execution, x: Tensor, weight: Parameter, options: RouteOptions): Routing {
  const { tape, arena, pool } = execution;
  const { topK, balanceWeight, zWeight } = options;
  const [tokens, hidden] = [x.size(0), x.size(1)];
  const experts = weight.out;
  const probabilities = arena.tensor("f32", tokens, experts);
  const logSumExp = arena.tensor("f32", tokens);
  const dtype = x.dtypeCode;
  const size = { tokens, hidden, experts };
  {
    using scratch = arena.scratch(routerForwardScratchBytes({ hidden, experts }));
    const outputs = { probabilities, logSumExp };
    routerForward({ pool, dtype, x, weight: weight.weight, ...outputs, ...size, scratch: scratch.tensor });
  }
  const choice = chooseExperts(execution, probabilities, options);
  const { selected, assigned, gates, load } = choice;
  const gatesAreOne = options.topOneGate === "one" && topK === 1;
  if (gatesAreOne) gates.setFloats(new Float32Array(gates.elements).fill(1));
  let losses: Tensor | null = null;
  if (!options.skipsLosses) {
    losses = arena.tensor("f32", 2);
    using scratch = arena.scratch(routerLossesScratchBytes({ tokens, experts }));
    routerLosses({ pool, probabilities, logSumExp, load, losses, tokens, experts, scratch: scratch.tensor });
  }

  tape?.record([x, probabilities, logSumExp, selected, assigned, load], () => {
    // Without a consumer of the gates the two losses still teach the router.
    if (balanceWeight !== 0 || zWeight !== 0) tape.zeroedGradientOf(gates);
    using dgates = tape.take(gates);
    if (!dgates) return;
    if (gatesAreOne) dgates.tensor.zero();
    const dx = tape.zeroedGradientOf(x);
    using scratch = arena.scratch(routerBackwardScratchBytes({ tokens, hidden, experts }));
    routerBackward({
      pool,
      dtype,
      dgates: dgates.tensor,
      x,
      weight: weight.weight,
      probabilities,
      logSumExp,
      selected,
      assigned,
      load,
      dx,
      weightGradient: weight.gradientToAddTo(),
      ...size,
      k: topK,
      balanceWeight,
      zWeight,
      scratch: scratch.tensor,
    });
  });
  return {
    topK,
    probabilities,
    losses,
    keptProbabilities: options.keepsProbabilities ? probabilities : null,
    ...choice,
  };
}

/** Top-k choice, capacity and recycling of every token (rookery_router_select in rookery.h). */
function chooseExperts(
  { arena }: Execution,
  probabilities: Tensor,
  { topK: k, mode, capacity, keys }: RouteOptions,
): Omit<Routing, "topK" | "probabilities" | "losses" | "keptProbabilities"> {
  const [tokens, experts] = [probabilities.size(0), probabilities.size(1)];
  const choice = {
    selected: arena.tensor("i32", tokens, k),
    assigned: arena.tensor("i32", tokens, k),
    gates: arena.tensor("f32", tokens, k),
    offsets: arena.tensor("i32", experts + 1),
    rowOf: arena.tensor("i32", tokens, k),
    slotAt: arena.tensor("i32", tokens * k),
    load: arena.tensor("i32", experts),
    counts: arena.tensor("i32", 4),
  };
  using scratch = arena.scratch(routerSelectScratchBytes({ tokens, experts }));
  routerSelect({
    ...choice,
    probabilities,
    tokens,
    experts,
    k,
    mode: routingModeCodes[mode],
    capacity,
    key0: keys[0] | 0,
    key1: keys[1] | 0,
    scratch: scratch.tensor,
  });
  return choice;
}
