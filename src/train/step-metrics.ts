/** A step in two forms: the line of `metrics.jsonl`, and the event that a display draws. */
import type { TrainingStepEvent } from "./events.ts";
import type { MetricsRecord } from "./run-directory.ts";
import type { LayerRouting } from "./step.ts";
import type { StepReport } from "./trainer.ts";

/** Busiest expert over an even load, in one layer. */
function loadFactor({ load }: LayerRouting): number {
  const total = load.reduce((sum, tokens) => sum + tokens, 0);
  return (Math.max(...load) * load.length) / Math.max(total, 1);
}

function shareOf(layers: readonly LayerRouting[], key: "overCapacity" | "recycled" | "dropped"): number {
  const slots = layers.reduce((sum, layer) => sum + layer.slots, 0);
  return layers.reduce((sum, layer) => sum + layer[key], 0) / Math.max(slots, 1);
}

export function stepMetrics(
  report: StepReport,
  speed: { stage: string; seconds: number; tokensPerSecond: number; shareOfPeak: number; peakMemoryBytes: number },
): MetricsRecord {
  const { step, layers, targets: _targets, ...numbers } = report;
  return {
    step,
    kind: "step",
    ...numbers,
    ...speed,
    recycledShare: shareOf(layers, "recycled"),
    droppedShare: shareOf(layers, "dropped"),
    layers,
  };
}

export function stepEvent(
  report: StepReport,
  run: Pick<
    TrainingStepEvent,
    "stage" | "steps" | "tokensPerSecond" | "shareOfPeak" | "peakMemoryBytes" | "secondsLeft"
  >,
): TrainingStepEvent {
  const { step, tokens, crossEntropy, gradientNorm, learningRate, layers } = report;
  return {
    type: "training-step",
    ...{ step, tokens, crossEntropy, gradientNorm, learningRate },
    ...run,
    maxLoad: Math.max(...layers.map(loadFactor)),
    overCapacityShare: shareOf(layers, "overCapacity"),
    recycledShare: shareOf(layers, "recycled"),
    droppedShare: shareOf(layers, "dropped"),
  };
}
