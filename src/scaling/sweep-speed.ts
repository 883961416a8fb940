/** How fast this machine trains the models of a sweep, from a few steps of some of them. */
import { Transformer } from "../model/transformer.ts";
import { Execution } from "../tensor/execution.ts";
import type { ComputeType } from "../tensor/tensor.ts";
import { AdamW } from "../train/optimizer.ts";
import { type MicroBatch, trainStep } from "../train/step.ts";
import type { SweepPoint } from "./sweep-plan.ts";

const measuredSteps = 4;
const mostMeasured = 3;
const stepTokens = 16_384;

/** FLOPs a second by size, the smallest model first. */
export type Speed = { activatedParameters: number; flopsPerSecond: number };

type SpeedSettings = { sequenceLength: number; threads: number; computeType: ComputeType };

/** The speed of the smallest, the largest and a middle model. It takes some seconds, and blocks its thread step by step. */
export async function measureSpeeds(
  points: readonly SweepPoint[],
  settings: SpeedSettings,
  signal: AbortSignal | undefined,
): Promise<Speed[]> {
  const sizes = points.toSorted((a, b) => a.activatedParameters - b.activatedParameters);
  const chosen = Array.from({ length: mostMeasured }, (_, index) => {
    return sizes[Math.round((index * (sizes.length - 1)) / (mostMeasured - 1))]!;
  });
  const speeds: Speed[] = [];
  for (const point of new Set(chosen)) {
    signal?.throwIfAborted();
    speeds.push({ activatedParameters: point.activatedParameters, flopsPerSecond: speedOf(point, settings) });
    await new Promise((resolve) => setImmediate(resolve));
  }
  return speeds;
}

function speedOf(point: SweepPoint, { sequenceLength, threads, computeType }: SpeedSettings): number {
  using execution = new Execution({ computeType, threads });
  using model = new Transformer(point.config);
  using optimizer = new AdamW(model, { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0 });
  model.initialize(1, "scaled");
  const rows = Math.max(1, Math.floor(Math.min(point.batchTokens, stepTokens) / sequenceLength));
  const batch = variedBatch(rows, sequenceLength, point.config.vocabularySize);
  const seconds = Array.from({ length: measuredSteps }, (_, index) => {
    const start = performance.now();
    trainStep(execution, model, optimizer, [batch], {
      routing: { mode: "recycle", capacityFactor: 1.25, balanceCoefficient: 0.01, zCoefficient: 0 },
      maxGradientNorm: 1,
      rates: { learningRate: 1e-6, expertLearningRate: 1e-6 },
      random: { seed: 1, step: index + 1 },
    });
    return (performance.now() - start) / 1000;
  });
  return (point.flopsPerToken * rows * sequenceLength) / Math.min(...seconds);
}

function variedBatch(rows: number, sequenceLength: number, vocabularySize: number): MicroBatch {
  const tokens = Int32Array.from({ length: rows * sequenceLength }, (_, index) => (index * 7919) % vocabularySize);
  return {
    tokens,
    targets: tokens,
    positions: tokens.map((_, index) => index % sequenceLength),
    sequences: Int32Array.from({ length: 2 * rows }, (_, index) =>
      index % 2 === 0 ? (index / 2) * sequenceLength : sequenceLength,
    ),
  };
}

/** Seconds that `flops` take a model of that size: as the measured one that is nearest. */
export function secondsFor(flops: number, activatedParameters: number, speeds: readonly Speed[]): number {
  const distance = (speed: Speed) => Math.abs(Math.log(speed.activatedParameters / activatedParameters));
  const nearest = speeds.reduce((best, speed) => (distance(speed) < distance(best) ? speed : best));
  return flops / nearest.flopsPerSecond;
}
