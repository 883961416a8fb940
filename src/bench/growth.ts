/** `rookery bench growth`: how the cost of training grows with each size, beside a model that explains it. */
import { cpus, totalmem } from "node:os";
import { z } from "zod";
import { RookeryError } from "../base/errors.ts";
import { checkModelConfig } from "../model/config.ts";
import { attentionFlops } from "./attention-flops.ts";
import { Contest } from "./contest.ts";
import { type ExpertCost, measureExpertCost } from "./expert-cost.ts";
import { predictStep, type Rates, type StepParts, stateBytesPerWeight, stepCosts, totalOf } from "./growth-model.ts";
import { type GrowthAxis, type GrowthPlan, growthAxes, growthPoints } from "./growth-points.ts";
import { type BenchContext, commonBenchOptions, computeTypeOption } from "./options.ts";
import { type Profile, profileOf } from "./profile.ts";
import type { AttentionWork, BenchComputeType, GemmWork, TrainWork } from "./protocol.ts";
import { type Spread, spreadOf } from "./statistics.ts";
import { recomputationOption, trainShapeOptions, trainWork } from "./train-shape.ts";
import { benchModel } from "./work/train.ts";

export const benchGrowthSchema = z.strictObject({
  axes: z
    .array(z.enum(growthAxes))
    .min(1)
    .default([...growthAxes])
    .describe("what to let grow")
    .meta({ valueName: "AXIS" }),
  values: z
    .array(
      z
        .int()
        .min(1)
        .max(2 ** 20),
    )
    .min(1)
    .optional()
    .describe("values of the axis instead of its own list; with one axis")
    .meta({ valueName: "N" }),
  ...trainShapeOptions,
  quick: z.boolean().default(false).describe("few and small points: a minute or two"),
  computeType: computeTypeOption,
  recomputation: recomputationOption,
  ...commonBenchOptions,
  rounds: z.int().min(1).max(1000).default(3).describe("measurements of each point"),
  roundSeconds: z.number().positive().max(3600).default(1).describe("how long each takes, at least one step"),
  memory: z
    .number()
    .positive()
    .optional()
    .describe("skip points that are predicted to need more; by default half of the machine's memory")
    .meta({ valueName: "GIB" }),
  checkBits: z
    .boolean()
    .default(true)
    .describe("train each point on 1 thread, on all, and on all again: weights must be equal"),
});

export type BenchGrowthOptions = z.output<typeof benchGrowthSchema>;

export type GrowthPoint = {
  axis: GrowthAxis;
  value: number;
  threads: number;
  tokensPerStep: number;
  parameters: number;
  secondsPerStep: Spread;
  tokensPerSecond: Spread;
  /** Seconds that the model gives to each part, and all of them together. */
  predicted: StepParts & { total: number };
  predictedTokensPerSecond: number;
  shareOfPeak: number;
  peakMemoryBytes: number | null;
  sameBits: boolean | null;
  profile: Profile;
};

export type SkippedPoint = { axis: GrowthAxis; value: number; skipped: string };

export type BenchGrowthResult = {
  bench: "growth";
  machine: string;
  threads: number;
  level: string;
  computeType: BenchComputeType;
  /** The shape of which one size at a time is changed. */
  base: TrainWork;
  /** What the model is made of, by the number of threads. */
  rates: (Rates & { threads: number; peakFlops: number })[];
  points: GrowthPoint[];
  skipped: SkippedPoint[];
  /** From 8 experts to the most that were measured at the same tokens a step. */
  expertCost: ExpertCost | null;
  ratioToPeer: null;
  shareOfPeak: Spread | null;
  peakMemoryBytes: { ours: number | null; peer: null };
  sameBits: boolean | null;
};

const gibibyte = 2 ** 30;
const bitsSteps = 2;

/** Measures how cost grows. A point that needs too much memory, or that fails, is skipped with a word. */
export async function benchGrowth(
  options: BenchGrowthOptions,
  context: BenchContext<GrowthPoint | SkippedPoint>,
): Promise<BenchGrowthResult> {
  const { onEvent } = context;
  const { axes, threads, computeType } = options;
  if (options.values && axes.length > 1) {
    throw new RookeryError("INVALID_OPTION", `--values goes with one axis, not with ${axes.length}`, "add --axes AXIS");
  }
  const base = trainWork(options);
  const contest = new Contest(options, context);
  const plans = [...new Set(axes)].flatMap((axis) => growthPoints(axis, base, options));
  for (const { work } of plans) checkModelConfig(benchModel(work));
  const ratesOf = new Map<number, Awaited<ReturnType<typeof measureRates>>>();
  for (const count of new Set(plans.map((plan) => plan.threads))) {
    ratesOf.set(count, await measureRates(contest, count, computeType));
  }
  onEvent?.({ type: "note", message: planOf(plans, ratesOf, options) });
  const mostBytes = options.memory === undefined ? totalmem() / 2 : options.memory * gibibyte;
  const points: GrowthPoint[] = [];
  const skipped: SkippedPoint[] = [];
  for (const [index, plan] of plans.entries()) {
    const { axis, value } = plan;
    let row: GrowthPoint | SkippedPoint;
    try {
      row = await measurePoint(contest, plan, ratesOf.get(plan.threads)!, mostBytes, options);
    } catch (error) {
      if (!(error instanceof RookeryError)) throw error;
      row = { axis, value, skipped: error.message };
    }
    if ("skipped" in row) skipped.push(row);
    else points.push(row);
    onEvent?.({ type: "measured", row });
    onEvent?.({ type: "progress", what: "growth", done: index + 1, total: plans.length, unit: "points" });
  }
  const expertCost = axes.includes("experts")
    ? await measureExpertCost(contest, plans, { ...options, mostBytes })
    : null;
  const memories = points.flatMap((point) => point.peakMemoryBytes ?? []);
  const rates = ratesOf.get(threads) ?? [...ratesOf.values()].at(-1)!;
  return {
    bench: "growth",
    machine: `${cpus()[0]?.model.trim() ?? "unknown CPU"}, ${Math.round(totalmem() / gibibyte)} GiB`,
    ...{ threads, computeType, base },
    level: rates.level,
    rates: [...ratesOf].map(([count, { level: _level, ...one }]) => ({ threads: count, ...one })),
    ...{ points, skipped },
    expertCost,
    ratioToPeer: null,
    shareOfPeak: points.length > 0 ? spreadOf(points.map((point) => point.shareOfPeak)) : null,
    peakMemoryBytes: { ours: memories.length > 0 ? Math.max(...memories) : null, peer: null },
    sameBits: options.checkBits ? points.every((point) => point.sameBits) : null,
  };
}

/** The model's constants: a large product, a long attention, and the read bandwidth. */
async function measureRates(contest: Contest, threads: number, computeType: BenchComputeType) {
  const { contestant, level } = await contest.ours(threads);
  await using ours = contestant;
  const { flopsPerSecond, bytesPerSecond } = await ours.call("peaks", { computeType, withBandwidth: true });
  const sizes = { m: 1024, k: 1024, n: 1024, offsets: [0, 1024] };
  const product: GemmWork = { kind: "gemm", operation: "product", computeType, ...sizes };
  const heads = { heads: 8, keyValueHeads: 2, headDim: 32 };
  const attention: AttentionWork = { kind: "attention", computeType, sequences: 1, length: 2048, ...heads };
  await ours.call("prepare", { work: product });
  const products = (await ours.call("round", { seconds: 0.5 })).seconds.product!;
  await ours.call("prepare", { work: attention });
  const { forward, backward } = (await ours.call("round", { seconds: 0.5 })).seconds;
  const flops = attentionFlops(attention);
  return {
    level,
    peakFlops: flopsPerSecond,
    products: (2 * sizes.m * sizes.k * sizes.n) / products,
    attention: (flops.forward + flops.backward) / (forward! + backward!),
    bytes: bytesPerSecond,
  };
}

async function measurePoint(
  contest: Contest,
  { axis, value, threads, work }: GrowthPlan,
  rates: Rates & { peakFlops: number },
  mostBytes: number,
  { rounds, roundSeconds, checkBits }: BenchGrowthOptions,
): Promise<GrowthPoint | SkippedPoint> {
  const { contestant } = await contest.ours(threads);
  await using ours = contestant;
  const { totalBytes } = await ours.call("predict", { work });
  if (totalBytes > mostBytes) {
    const gigabytes = (bytes: number) => (bytes / gibibyte).toFixed(1);
    return { axis, value, skipped: `needs ${gigabytes(totalBytes)} GiB, and --memory is ${gigabytes(mostBytes)}` };
  }
  const { parameters = 0 } = await ours.call("prepare", { work }, 1800);
  const seconds: number[] = [];
  for (let round = 0; round < rounds; round++) {
    seconds.push((await ours.call("round", { seconds: roundSeconds })).seconds.step!);
  }
  const { peakBytes } = await ours.call("memory", {});
  const profile = profileOf(await ours.call("profile", { repetitions: 1 }));
  const digests = checkBits ? await digestsOf(contest, threads, work) : [];
  const tokensPerStep = work.batch * work.sequenceLength;
  const predicted = predictStep(work, rates);
  const total = totalOf(predicted);
  const costs = stepCosts(work);
  const secondsPerStep = spreadOf(seconds);
  return {
    ...{ axis, value, threads, tokensPerStep, parameters, secondsPerStep },
    tokensPerSecond: spreadOf(seconds.map((one) => tokensPerStep / one)),
    predicted: { ...predicted, total },
    predictedTokensPerSecond: tokensPerStep / total,
    shareOfPeak: (costs.products + costs.attention) / secondsPerStep.median / rates.peakFlops,
    peakMemoryBytes: peakBytes,
    sameBits: checkBits ? new Set(digests).size === 1 : null,
    profile,
  };
}

/** In a process of its own, so that the memory of the point stays the point's. */
async function digestsOf(contest: Contest, threads: number, work: GrowthPlan["work"]): Promise<string[]> {
  const { contestant } = await contest.ours(threads);
  await using ours = contestant;
  return (await ours.call("bits", { work, repetitions: bitsSteps }, 3600)).digests;
}

function planOf(
  plans: readonly GrowthPlan[],
  rates: ReadonlyMap<number, Rates>,
  { rounds, roundSeconds, checkBits }: BenchGrowthOptions,
): string {
  const initializationSeconds = 60e-9; // a weight, drawn in TypeScript
  const seconds = plans.reduce((sum, { work, threads }) => {
    const step = 2 * totalOf(predictStep(work, rates.get(threads)!)); // no step is as quick as the model
    const models = checkBits ? 4 : 1;
    const parameters = stepCosts(work).state / stateBytesPerWeight;
    const steps = 3 + (checkBits ? 3 * bitsSteps + bitsSteps * threads : 0);
    return (
      sum + 1.5 + models * parameters * initializationSeconds + steps * step + rounds * Math.max(roundSeconds, step)
    );
  }, 0);
  return `plan: ${plans.length} points, each in a process of its own; about ${Math.max(1, Math.ceil(seconds / 60))} min`;
}
