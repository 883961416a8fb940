/** The points at which growth is measured: one size changes, the others stay. */
import type { TrainWork } from "./protocol.ts";

export const growthAxes = ["hidden", "layers", "sequence", "experts", "batch", "threads"] as const;
export type GrowthAxis = (typeof growthAxes)[number];

export type GrowthPlan = { axis: GrowthAxis; value: number; threads: number; work: TrainWork };

/** What stays, in words, for each axis. */
export const axisNotes: Record<GrowthAxis, string> = {
  hidden: "hidden size, with heads and the width of experts in proportion, 2 layers, 2 experts and a shared one",
  layers: "layers, in pairs that share K and V",
  sequence: "tokens a sequence, at the same tokens a step",
  experts: "specialised experts of constant width, of which a token takes one; at least 256 tokens an expert",
  batch: "rows a step",
  threads: "threads",
};

const fewestTokensPerExpert = 256;

const lists: Record<Exclude<GrowthAxis, "threads">, { full: number[]; quick: number[] }> = {
  hidden: { full: [256, 512, 1024, 2048], quick: [256, 512] },
  layers: { full: [2, 4, 8, 16, 24], quick: [2, 4] },
  sequence: { full: [256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768], quick: [256, 1024, 4096] },
  experts: { full: [4, 8, 16, 32, 64, 128], quick: [4, 8, 16] },
  batch: { full: [1, 2, 4, 8, 16, 32, 64], quick: [1, 8] },
};

/**
 * The points of an axis, smallest first: `base` with one size changed.
 * @param threads what other axes run with, and the threads axis goes up to. @param values instead of the list of the axis.
 */
export function growthPoints(
  axis: GrowthAxis,
  base: TrainWork,
  { threads, quick, values }: { threads: number; quick: boolean; values?: readonly number[] | undefined },
): GrowthPlan[] {
  if (axis === "threads") {
    const counts = [1, 2, 4, 8, 16, 32, 64, 128, 256].filter((count) => count < threads);
    return (values ?? [...counts, threads]).map((value) => ({ axis, value, threads: value, work: base }));
  }
  const list = values ?? lists[axis][quick ? "quick" : "full"];
  const largest = Math.max(...list);
  // as many for all experts up to 64, so that only the number of experts changes
  const tokensFor = (experts: number) => Math.max(Math.min(64, largest), experts) * fewestTokensPerExpert;
  const changes: Record<Exclude<GrowthAxis, "threads">, (value: number) => Partial<TrainWork>> = {
    hidden: (hidden) => {
      const times = hidden / base.hidden;
      const whole = (size: number) => Math.max(1, Math.round(size * times));
      const keyValueHeads = whole(base.keyValueHeads);
      const heads = keyValueHeads * (base.heads / base.keyValueHeads);
      return { hidden, heads, keyValueHeads, ffn: whole(base.ffn), layers: 2, experts: 2 };
    },
    layers: (layers) => ({ layers }),
    sequence: (sequenceLength) => ({ sequenceLength, batch: Math.max(1, Math.round(largest / sequenceLength)) }),
    experts: (experts) => ({ experts, batch: Math.ceil(tokensFor(experts) / base.sequenceLength) }),
    batch: (batch) => ({ batch }),
  };
  return list.map((value) => ({ axis, value, threads, work: { ...base, ...changes[axis](value) } }));
}
