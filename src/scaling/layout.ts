/**
 * How a model is split over devices to train it, and what each then holds. Mixed precision as is usual on accelerators: bf16
 * weights, f32 gradients, and f32 weights and moments of AdamW that the data-parallel ranks share (ZeRO-1, Rajbhandari et al., 2020).
 */
import { account } from "../model/accounting.ts";
import { countActivations } from "../model/activations.ts";
import { type ModelConfig, numKeyValueGroups } from "../model/config.ts";
import { describeParameters, elementCount } from "../model/parameters.ts";
import type { Accelerator } from "./accelerators.ts";

const weightBytes = 2;
const gradientBytes = 4;
const optimizerBytes = 12;
/** What frameworks, buffers of communication and fragments take: a tenth of the device is left to them. */
const usableShare = 0.9;

export type Layout = {
  devices: number;
  tensorParallel: number;
  pipelineParallel: number;
  /** Within the data-parallel ranks: they hold different experts. */
  expertParallel: number;
  dataParallel: number;
  recomputation: "none" | "block";
  bytesPerDevice: { weights: number; gradients: number; optimizer: number; activations: number; total: number };
  usableBytes: number;
  isFeasible: boolean;
};

type Split = Pick<Layout, "tensorParallel" | "pipelineParallel" | "expertParallel" | "dataParallel" | "recomputation">;

/** What the fullest device holds: the first stage of the pipeline, which has the most micro-batches in flight. */
function bytesPerDevice(config: ModelConfig, split: Split, rowTokens: number): Layout["bytesPerDevice"] {
  const { tensorParallel, pipelineParallel, expertParallel, dataParallel } = split;
  const parameters = describeParameters(config).map(({ role, shape }) => ({ role, elements: elementCount(shape) }));
  const sumOf = (list: typeof parameters) => list.reduce((sum, { elements }) => sum + elements, 0);
  const experts = sumOf(parameters.filter(({ role }) => role === "expert"));
  const ends = sumOf(parameters.filter(({ role }) => role === "embedding" || role === "head"));
  const dense = account(config).parameters.total - experts - ends;
  const slice = tensorParallel * pipelineParallel;
  // the two ends of the network lie on one stage
  const denseHeld = dense / slice + ends / tensorParallel;
  const expertsHeld = experts / (slice * expertParallel);
  const held = denseHeld + expertsHeld;
  const optimizer = optimizerBytes * (denseHeld / dataParallel + expertsHeld / (dataParallel / expertParallel));
  const { kept, betweenGroups, perGroup } = countActivations(config, 2);
  const perToken = split.recomputation === "block" ? betweenGroups : kept;
  // one micro-batch of one row for every stage that is yet to answer, a pipeline's part of the layers each
  const inFlight = perToken + (split.recomputation === "block" ? perGroup : 0);
  const logits = (6 * config.vocabularySize * Math.min(rowTokens, 1024)) / tensorParallel;
  const activations = (inFlight * rowTokens) / tensorParallel + logits;
  const parts = { weights: weightBytes * held, gradients: gradientBytes * held, optimizer, activations };
  return { ...parts, total: parts.weights + parts.gradients + parts.optimizer + parts.activations };
}

function powersUpTo(most: number): number[] {
  return Array.from({ length: Math.floor(Math.log2(Math.max(1, most))) + 1 }, (_, i) => 2 ** i);
}

/**
 * The split with the least of what costs speed, in this order: recomputation, tensor parallelism beyond need, stages, expert
 * parallelism. If none fits, the one that comes nearest, marked so.
 */
export function chooseLayout(
  config: ModelConfig,
  accelerator: Accelerator,
  devices: number,
  rowTokens: number,
): Layout {
  const usableBytes = usableShare * accelerator.memoryBytes;
  const groups = numKeyValueGroups(config);
  const heads = config.numKeyValueHeads;
  const candidates = powersUpTo(Math.min(accelerator.devicesPerNode, devices)).flatMap((tensorParallel) =>
    powersUpTo(devices / tensorParallel).flatMap((pipelineParallel) => {
      const ranks = Math.floor(devices / (tensorParallel * pipelineParallel));
      if (heads % tensorParallel !== 0 || groups % pipelineParallel !== 0 || ranks < 1) return [];
      return powersUpTo(ranks).flatMap((expertParallel) => {
        if (expertParallel > 1 && (config.numExperts === 0 || config.numExperts % expertParallel !== 0)) return [];
        const dataParallel = Math.floor(ranks / expertParallel) * expertParallel;
        return (["none", "block"] as const).map((recomputation): Layout => {
          const split = { tensorParallel, pipelineParallel, expertParallel, dataParallel, recomputation };
          const bytes = bytesPerDevice(config, split, rowTokens);
          const used = tensorParallel * pipelineParallel * dataParallel;
          return {
            devices: used,
            ...split,
            bytesPerDevice: bytes,
            usableBytes,
            isFeasible: bytes.total <= usableBytes,
          };
        });
      });
    }),
  );
  const costOf = ({ devices: used, ...one }: Layout) =>
    4 * (one.recomputation === "block" ? 1 : 0) +
    Math.log2(one.tensorParallel) +
    1.5 * Math.log2(one.pipelineParallel) +
    0.5 * Math.log2(one.expertParallel) +
    // devices that the split leaves idle
    20 * (1 - used / devices);
  const fitting = candidates.filter(({ isFeasible }) => isFeasible);
  if (fitting.length > 0) return fitting.reduce((best, one) => (costOf(one) < costOf(best) ? one : best));
  return candidates.reduce((best, one) => (one.bytesPerDevice.total < best.bytesPerDevice.total ? one : best));
}

/** The fewest devices, whole nodes once one node is too small, on which some layout fits; null beyond a million. */
export function fewestDevices(config: ModelConfig, accelerator: Accelerator, rowTokens: number): Layout | null {
  for (let devices = 1; devices <= 2 ** 20; devices *= 2) {
    const layout = chooseLayout(config, accelerator, devices, rowTokens);
    if (layout.isFeasible) return layout;
  }
  return null;
}
