/** One training step: micro-batches forward and backward, the gradient checked and clipped, one update. */
import { PackedAttention } from "../model/attention.ts";
import type { Recomputation } from "../model/recomputation.ts";
import type { RoutingPlan } from "../model/router.ts";
import type { Transformer } from "../model/transformer.ts";
import type { Execution } from "../tensor/execution.ts";
import { linearCrossEntropy } from "../tensor/ops/cross-entropy.ts";
import { type RoutingReport, reportTensors } from "../tensor/ops/router.ts";
import type { Parameter } from "../tensor/parameter.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { AdamW } from "./optimizer.ts";

/** A packed batch on the host (data/): all of equal length; targets −1 do not count; sequences are (start, length) pairs. */
export type MicroBatch = { tokens: Int32Array; targets: Int32Array; positions: Int32Array; sequences: Int32Array };

export type RoutingSettings = Pick<RoutingPlan, "mode" | "capacityFactor"> & {
  balanceCoefficient: number;
  zCoefficient: number;
};

/** How one layer routed its tokens in a step. */
export type LayerRouting = {
  /** Tokens that chose each expert, before capacity. */
  load: number[];
  slots: number;
  overCapacity: number;
  recycled: number;
  dropped: number;
};

export type StepResult = {
  /** Mean cross-entropy of the targets, in nats. */
  crossEntropy: number;
  /** Load-balance loss and z-loss, summed over layers, without their coefficients. */
  balanceLoss: number;
  zLoss: number;
  /** What was minimised: cross-entropy plus the weighted losses. */
  totalLoss: number;
  gradientNorm: number;
  /** Tokens that counted. */
  targets: number;
  layers: LayerRouting[];
  /** False if the loss or the gradient was not finite; the weights are then as before. */
  updated: boolean;
};

/** int32 [count, 4] for the attention kernels, from (start, length) pairs: within a batch queries and keys are the same rows. */
export function selfAttentionSequences(pairs: Int32Array): Int32Array {
  const sequences = new Int32Array(pairs.length * 2);
  for (let i = 0; i < pairs.length; i += 2) {
    const [start, length] = [pairs[i]!, pairs[i + 1]!];
    sequences.set([start, length, start, length], i * 2);
  }
  return sequences;
}

function countTargets(targets: Int32Array): number {
  let count = 0;
  for (const target of targets) if (target >= 0) count++;
  return count;
}

type ForwardResult = { losses: Tensor; routings: RoutingReport[] };

/**
 * Hidden states [tokens, hidden] of a packed batch, handed to `then` in one scope of the arena, and how each layer routed. While
 * recording, what `then` answers with can be gone back through.
 */
export function forwardHidden<Result>(
  execution: Execution,
  model: Transformer,
  batch: Omit<MicroBatch, "targets">,
  plan: RoutingPlan,
  recomputation: Recomputation,
  then: (hidden: Tensor) => { result: Result; keeps: readonly Tensor[] },
): { result: Result; routings: RoutingReport[] } {
  const { arena } = execution;
  const sequences = selfAttentionSequences(batch.sequences);
  const attend = new PackedAttention(execution, model.config, arena.integers(sequences, sequences.length / 4, 4));
  const input = { tokens: arena.integers(batch.tokens), positions: arena.integers(batch.positions) };
  return arena.scope(
    () => {
      const { hidden, routings } = model.forward(execution, input, attend, plan, recomputation);
      return { ...then(hidden), routings };
    },
    ({ keeps, routings }) => [...keeps, ...routings.flatMap(reportTensors)],
  );
}

/** Losses f32 [tokens] of a packed batch, and the routing of each layer. While recording, gradients of scale · Σ losses. */
export function forwardLoss(
  execution: Execution,
  model: Transformer,
  batch: MicroBatch,
  plan: RoutingPlan,
  scale: number,
  recomputation: Recomputation = "none",
): ForwardResult {
  const { result: losses, routings } = forwardHidden(execution, model, batch, plan, recomputation, (hidden) => {
    const targets = execution.arena.integers(batch.targets);
    const losses = linearCrossEntropy(execution, hidden, model.head, targets, scale);
    return { result: losses, keeps: [losses] };
  });
  return { losses, routings };
}

/**
 * Leaves the gradient of the whole step in the parameters: mean cross-entropy over the targets of all micro-batches together,
 * and the router's losses averaged over micro-batches. It does not depend on how a batch is cut, up to rounding and routing.
 */
export function accumulateGradients(
  execution: Execution,
  model: Transformer,
  batches: readonly MicroBatch[],
  routing: RoutingSettings,
  random: { seed: number; step: number },
  recomputation: Recomputation = "none",
): Omit<StepResult, "gradientNorm" | "updated"> {
  const targets = batches.reduce((sum, batch) => sum + countTargets(batch.targets), 0);
  const scale = 1 / Math.max(targets, 1);
  const { results, routingLoss, ...routed } = goThroughMicroBatches(
    execution,
    [...model.parameters.values()],
    batches,
    { routing, random },
    (batch, plan) => {
      const { losses, routings } = forwardLoss(execution, model, batch, plan, scale, recomputation);
      return { routings, read: () => losses.toFloat32Array().reduce((sum, loss) => sum + loss, 0) };
    },
  );
  const crossEntropy = results.reduce((sum, loss) => sum + loss, 0) * scale;
  return { crossEntropy, totalLoss: crossEntropy + routingLoss, targets, ...routed };
}

/** What micro-batches leave besides their gradients. */
type RoutedStep = Pick<StepResult, "balanceLoss" | "zLoss" | "layers"> & {
  /** The weighted losses of the routers: part of what is minimised. */
  routingLoss: number;
};

/**
 * Leaves the gradient of all micro-batches together in `parameters`: `forward` runs one and records it, with losses that are
 * scaled already; `read` is asked for its figures when the way back is done. The routers' losses are averaged over micro-batches.
 */
export function goThroughMicroBatches<Batch, Result>(
  execution: Execution,
  parameters: readonly Parameter[],
  batches: readonly Batch[],
  { routing, random }: { routing: RoutingSettings; random: { seed: number; step: number } },
  forward: (batch: Batch, plan: RoutingPlan) => { routings: RoutingReport[]; read: () => Result },
): RoutedStep & { results: Result[] } {
  for (const parameter of parameters) parameter.startGradient();
  const results: Result[] = [];
  let [balanceLoss, zLoss] = [0, 0];
  const layers: LayerRouting[] = [];
  for (const [index, batch] of batches.entries()) {
    const plan: RoutingPlan = {
      ...routing,
      balanceWeight: routing.balanceCoefficient / batches.length,
      zWeight: routing.zCoefficient / batches.length,
      seed: random.seed,
      randomStream: ["step", random.step, "micro-batch", index],
    };
    const { result, tape } = execution.record(() => forward(batch, plan));
    tape.runBackward();
    results.push(result.read());
    for (const [layer, one] of result.routings.entries()) {
      const [balance = 0, z = 0] = one.losses?.toFloat32Array() ?? [];
      balanceLoss += balance / batches.length;
      zLoss += z / batches.length;
      layers[layer] = addRouting(layers[layer], one);
    }
    execution.arena.reset();
  }
  for (const parameter of parameters) parameter.finishGradient();
  const routingLoss = routing.balanceCoefficient * balanceLoss + routing.zCoefficient * zLoss;
  return { results, balanceLoss, zLoss, routingLoss, layers };
}

function addRouting(sum: LayerRouting | undefined, routing: RoutingReport): LayerRouting {
  const load = Array.from(routing.load.toInt32Array(), (tokens, expert) => tokens + (sum?.load[expert] ?? 0));
  const [slots = 0, overCapacity = 0, recycled = 0, dropped = 0] = routing.counts.toInt32Array();
  return {
    load,
    slots: slots + (sum?.slots ?? 0),
    overCapacity: overCapacity + (sum?.overCapacity ?? 0),
    recycled: recycled + (sum?.recycled ?? 0),
    dropped: dropped + (sum?.dropped ?? 0),
  };
}

/** The scale that brings a gradient norm down to `limit`, as PyTorch's clip_grad_norm_ computes it. */
export function clippingScale(norm: number, limit: number): number {
  return Math.min(1, limit / (norm + 1e-6));
}

export type Rates = { learningRate: number; expertLearningRate: number };

/**
 * The one place where gradients reach the optimizer. A loss or a gradient that is not finite leaves weights and moments alone.
 * @param rates learning rates of this step, for the dense parameters and for the specialised experts.
 */
export function applyGradients(
  execution: Execution,
  optimizer: AdamW,
  totalLoss: number,
  { maxGradientNorm, rates }: { maxGradientNorm: number; rates: Rates },
): { gradientNorm: number; updated: boolean } {
  const gradientNorm = optimizer.gradientNorm(execution);
  const updated = Number.isFinite(totalLoss) && Number.isFinite(gradientNorm);
  if (updated) {
    const gradientScale = clippingScale(gradientNorm, maxGradientNorm);
    optimizer.update(execution, { ...rates, gradientScale });
  }
  execution.arena.reset();
  return { gradientNorm, updated };
}

/** The gradient of a step, and its update. */
export function trainStep(
  execution: Execution,
  model: Transformer,
  optimizer: AdamW,
  batches: readonly MicroBatch[],
  settings: {
    routing: RoutingSettings;
    maxGradientNorm: number;
    rates: Rates;
    random: { seed: number; step: number };
    recomputation?: Recomputation;
  },
): StepResult {
  const { routing, random, recomputation } = settings;
  const result = accumulateGradients(execution, model, batches, routing, random, recomputation);
  return { ...result, ...applyGradients(execution, optimizer, result.totalLoss, settings) };
}
