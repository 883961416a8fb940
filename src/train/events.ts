/** What a training run tells besides the events that every command may send. */
import type { RookeryEvent } from "../base/events.ts";

export type TrainingStepEvent = {
  type: "training-step";
  step: number;
  steps: number;
  /** Which part of the run it belongs to: "pre-training", or the name of a stage. */
  stage: string;
  tokens: number;
  crossEntropy: number;
  gradientNorm: number;
  learningRate: number;
  tokensPerSecond: number;
  /** FLOPs a second as a share of the peak measured at the start of the run. */
  shareOfPeak: number;
  /** The most that the process has held so far. */
  peakMemoryBytes: number;
  /** The busiest expert's load as a multiple of an even one, the worst layer. */
  maxLoad: number;
  overCapacityShare: number;
  recycledShare: number;
  droppedShare: number;
  secondsLeft: number;
};

export type TrainingEvent =
  | RookeryEvent
  | TrainingStepEvent
  /** The run has its folder, and its first step comes next. */
  | { type: "run"; name: string; path: string }
  | { type: "evaluation"; step: number; bitsPerByte: number; crossEntropy: number }
  | { type: "checkpoint"; step: number; path: string };
