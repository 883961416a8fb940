/**
 * How a model is split over devices to train it, and what each then holds. Mixed precision as is usual on accelerators: bf16
 * weights, f32 gradients, and f32 weights and moments of AdamW that the data-parallel ranks share (ZeRO-1, Rajbhandari et al., 2020).
 */
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

/** What there is to be split: elements of each kind, and the activations of a row. */
type Sizes = {
  experts: number;
  /** The two ends of the network, which lie on one stage. */
  ends: number;
  dense: number;
  /** Bytes of one micro-batch of one row, over all layers. */
  activations: Record<Layout["recomputation"], number>;
  /** Bytes of a chunk of logits. */
  logits: number;
};

function sizesOf(config: ModelConfig, rowTokens: number): Sizes {
  const parameters = describeParameters(config).map(({ role, shape }) => ({ role, elements: elementCount(shape) }));
  const sumOf = (list: typeof parameters) => list.reduce((sum, { elements }) => sum + elements, 0);
  const experts = sumOf(parameters.filter(({ role }) => role === "expert"));
  const ends = sumOf(parameters.filter(({ role }) => role === "embedding" || role === "head"));
  const { kept, betweenGroups, perGroup } = countActivations(config, 2);
  return {
    experts,
    ends,
    dense: sumOf(parameters) - experts - ends,
    activations: { none: kept * rowTokens, block: (betweenGroups + perGroup) * rowTokens },
    logits: 6 * config.vocabularySize * Math.min(rowTokens, 1024),
  };
}

/** What the fullest device holds: the first stage of the pipeline, which has the most micro-batches in flight. */
function bytesPerDevice(sizes: Sizes, split: Split): Layout["bytesPerDevice"] {
  const { tensorParallel, pipelineParallel, expertParallel, dataParallel, recomputation } = split;
  const slice = tensorParallel * pipelineParallel;
  const denseHeld = sizes.dense / slice + sizes.ends / tensorParallel;
  const expertsHeld = sizes.experts / (slice * expertParallel);
  const held = denseHeld + expertsHeld;
  const optimizer = optimizerBytes * (denseHeld / dataParallel + expertsHeld / (dataParallel / expertParallel));
  // one micro-batch of one row for every stage that is yet to answer, a pipeline's part of the layers each
  const activations = (sizes.activations[recomputation] + sizes.logits) / tensorParallel;
  const parts = { weights: weightBytes * held, gradients: gradientBytes * held, optimizer, activations };
  return { ...parts, total: parts.weights + parts.gradients + parts.optimizer + parts.activations };
}

function powersUpTo(most: number): number[] {
  return Array.from({ length: Math.floor(Math.log2(Math.max(1, most))) + 1 }, (_, i) => 2 ** i);
}

function divisorsOf(number: number): number[] {
  return Array.from({ length: number }, (_, i) => i + 1).filter((divisor) => number % divisor === 0);
}

/**
 * The splits that the model allows, without their data-parallel ranks: KV heads and widths go evenly over tensor-parallel devices of
 * one node, whole CLA groups of layers over stages, experts over ranks.
 */
function splitsOf(config: ModelConfig, { devicesPerNode }: Accelerator): Omit<Split, "dataParallel">[] {
  const { numKeyValueHeads, intermediateSize, numExperts } = config;
  const tensor = powersUpTo(devicesPerNode).filter((n) => numKeyValueHeads % n === 0 && intermediateSize % n === 0);
  const expert = divisorsOf(Math.max(1, numExperts));
  return tensor.flatMap((tensorParallel) =>
    divisorsOf(numKeyValueGroups(config)).flatMap((pipelineParallel) =>
      expert.flatMap((expertParallel) =>
        (["none", "block"] as const).map((recomputation) => {
          return { tensorParallel, pipelineParallel, expertParallel, recomputation };
        }),
      ),
    ),
  );
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
  const sizes = sizesOf(config, rowTokens);
  const candidates = splitsOf(config, accelerator).flatMap((one): Layout[] => {
    const ranks = Math.floor(devices / (one.tensorParallel * one.pipelineParallel));
    const dataParallel = Math.floor(ranks / one.expertParallel) * one.expertParallel;
    if (dataParallel === 0) return [];
    const split = { ...one, dataParallel };
    const bytes = bytesPerDevice(sizes, split);
    const used = one.tensorParallel * one.pipelineParallel * dataParallel;
    return [{ devices: used, ...split, bytesPerDevice: bytes, usableBytes, isFeasible: bytes.total <= usableBytes }];
  });
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

/** The fewest devices, whole nodes once one node is too small, on which some layout fits; null where none ever does. */
export function fewestDevices(config: ModelConfig, accelerator: Accelerator, rowTokens: number): number | null {
  const usableBytes = usableShare * accelerator.memoryBytes;
  const sizes = sizesOf(config, rowTokens);
  const { devicesPerNode } = accelerator;
  const counts = splitsOf(config, accelerator).flatMap((one) => {
    // only the optimizer's part shrinks with the data-parallel ranks, of which there is one for each expert group at least
    const { optimizer, total } = bytesPerDevice(sizes, { ...one, dataParallel: one.expertParallel });
    const room = usableBytes - (total - optimizer);
    if (room <= 0) return [];
    const groups = Math.max(1, Math.ceil(optimizer / room));
    const devices = one.tensorParallel * one.pipelineParallel * one.expertParallel * groups;
    return [devices > devicesPerNode ? Math.ceil(devices / devicesPerNode) * devicesPerNode : devices];
  });
  return counts.length === 0 ? null : Math.min(...counts);
}
