import { byteCount, kernel } from "./declare.ts";

/** h[r, i] = silu(gateUp[r, i]) · gateUp[r, width + i]; gateUp [rows, 2 width]. rowsLimit: an int32 in memory, or null for all rows. */
export const swigluForward = kernel("rookery_swiglu_forward", {
  pool: "memory",
  dtype: "int",
  gateUp: "memory",
  h: "memory",
  rows: "size",
  width: "size",
  rowsLimit: "memory",
});

/**
 * dgateUp [rows, 2 width] from dh [rows, width] and the forward's gateUp. h [rows, width], unless null, is made again on the
 * way, to the bit; it may be dh.
 */
export const swigluBackward = kernel("rookery_swiglu_backward", {
  pool: "memory",
  dtype: "int",
  dh: "memory",
  gateUp: "memory",
  dgateUp: "memory",
  h: "memory",
  rows: "size",
  width: "size",
  rowsLimit: "memory",
});

export const routerForwardScratchBytes = byteCount("rookery_router_forward_scratch_bytes", {
  hidden: "size",
  experts: "size",
});

/** probabilities f32 [tokens, experts] = softmax(x Wᵀ) in f32; x [tokens, hidden], weight f32 [experts, hidden], logSumExp f32 [tokens]. */
export const routerForward = kernel("rookery_router_forward", {
  pool: "memory",
  dtype: "int",
  x: "memory",
  weight: "memory",
  probabilities: "memory",
  logSumExp: "memory",
  tokens: "size",
  hidden: "size",
  experts: "size",
  scratch: "memory",
});

/** The codes of the routing modes. */
export const routingModeCodes = { dropless: 0, drop: 1, recycle: 2 } as const;
export type RoutingMode = keyof typeof routingModeCodes;

export const routerSelectScratchBytes = byteCount("rookery_router_select_scratch_bytes", {
  tokens: "size",
  experts: "size",
});

/** Top-k choice, capacity and recycling; the outputs are described at rookery_router_select in rookery.h. */
export const routerSelect = kernel("rookery_router_select", {
  probabilities: "memory",
  tokens: "size",
  experts: "size",
  k: "size",
  mode: "int",
  capacity: "size",
  key0: "int",
  key1: "int",
  selected: "memory",
  assigned: "memory",
  gates: "memory",
  offsets: "memory",
  rowOf: "memory",
  slotAt: "memory",
  load: "memory",
  counts: "memory",
  scratch: "memory",
});

export const routerLossesScratchBytes = byteCount("rookery_router_losses_scratch_bytes", {
  tokens: "size",
  experts: "size",
});

/** losses f32 [2] = {experts · Σₑ loadₑ/tokens · mean pₑ (GShard), mean logSumExp²}. */
export const routerLosses = kernel("rookery_router_losses", {
  pool: "memory",
  probabilities: "memory",
  logSumExp: "memory",
  load: "memory",
  losses: "memory",
  tokens: "size",
  experts: "size",
  scratch: "memory",
});

export const routerBackwardScratchBytes = byteCount("rookery_router_backward_scratch_bytes", {
  tokens: "size",
  hidden: "size",
  experts: "size",
});

/** Adds to dx [tokens, hidden] and weightGradient f32 [experts, hidden] what comes back from dgates f32 [tokens, k] and the two losses. */
export const routerBackward = kernel("rookery_router_backward", {
  pool: "memory",
  dtype: "int",
  dgates: "memory",
  x: "memory",
  weight: "memory",
  probabilities: "memory",
  logSumExp: "memory",
  selected: "memory",
  assigned: "memory",
  load: "memory",
  dx: "memory",
  weightGradient: "memory",
  tokens: "size",
  hidden: "size",
  experts: "size",
  k: "size",
  balanceWeight: "float",
  zWeight: "float",
  scratch: "memory",
});

/** rows[r] = x[slotAt[r] / k] for r < *rowCount: the tokens sorted by expert. */
export const dispatchForward = kernel("rookery_dispatch_forward", {
  pool: "memory",
  dtype: "int",
  x: "memory",
  slotAt: "memory",
  rowCount: "memory",
  rows: "memory",
  tokens: "size",
  columns: "size",
  k: "size",
});

/** dx[t] (+)= Σ over the slots of t of drows[rowOf[slot]]. */
export const dispatchBackward = kernel("rookery_dispatch_backward", {
  pool: "memory",
  dtype: "int",
  drows: "memory",
  rowOf: "memory",
  dx: "memory",
  tokens: "size",
  columns: "size",
  k: "size",
  accumulate: "int",
});

/** out[t] = base[t] + Σ over the slots of t of gates[slot] · rows[rowOf[slot]]. */
export const combineForward = kernel("rookery_combine_forward", {
  pool: "memory",
  dtype: "int",
  base: "memory",
  rows: "memory",
  rowOf: "memory",
  gates: "memory",
  out: "memory",
  tokens: "size",
  columns: "size",
  k: "size",
});

/** drows[rowOf[slot]] = gates[slot] · dout[t]; dgates[slot] = dout[t] · rows[rowOf[slot]], 0 where dropped. */
export const combineBackward = kernel("rookery_combine_backward", {
  pool: "memory",
  dtype: "int",
  dout: "memory",
  rows: "memory",
  rowOf: "memory",
  gates: "memory",
  drows: "memory",
  dgates: "memory",
  tokens: "size",
  columns: "size",
  k: "size",
});
