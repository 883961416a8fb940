/** What the stages of alignment have in common: steps that can be told apart by number alone, measured, saved and resumed. */
import type { CommandContext, RookeryEvent } from "../base/events.ts";
import type { LoadedModel } from "../interop/load.ts";
import type { TrainedParameter } from "../model/transformer.ts";
import type { Execution } from "../tensor/execution.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { AdamW } from "../train/optimizer.ts";
import type { LayerRouting, Rates } from "../train/step.ts";

export const stageNames = ["sft", "reward", "dpo"] as const;
export type StageName = (typeof stageNames)[number];

export type StageEvent =
  | RookeryEvent
  | { type: "run"; name: string; path: string }
  | {
      type: "stage-step";
      step: number;
      steps: number;
      /** What is minimised, without the routers' losses. */
      loss: number;
      gradientNorm: number;
      learningRate: number;
      tokensPerSecond: number;
      secondsLeft: number;
      figures: Figures;
    }
  | {
      type: "stage-evaluation";
      step: number;
      figures: Figures;
      /** Of the averaged weights, at the end; else of those that are trained. */
      isOfAverage?: true;
    }
  | { type: "checkpoint"; step: number; path: string };

export type StageContext = CommandContext<StageEvent>;

/** Named numbers of a step or of a measurement; null where one is not known. */
export type Figures = Record<string, number | null>;

export type StageStep = {
  loss: number;
  balanceLoss: number;
  layers: LayerRouting[];
  tokens: number;
  gradientNorm: number;
  /** False if the loss or the gradient was not finite; the weights are then as before. */
  updated: boolean;
  figures: Figures;
  /** What looks as if the run were going wrong; each is told once. */
  concerns?: readonly string[];
};

export type StageResult = {
  format: "rookery-stage/1";
  stage: StageName;
  name: string;
  runFolder: string;
  modelFolder: string;
  steps: number;
  skippedSteps: number;
  /** What held-out records say of the model that was saved. */
  figures: Figures;
  /** Records left out, by reason. */
  leftOut: Record<string, number>;
  seconds: number;
  tokensPerSecond: number;
  peakMemoryBytes: number;
};

export type NamedState = { name: string; tensor: Tensor };

/** What a stage is given: the model it begins with, and where to compute. Everything is borrowed. */
export type StageParts = { execution: Execution; base: LoadedModel };

export interface Stage extends Disposable {
  readonly totalSteps: number;
  /** Names everything that the steps depend on besides the options: the data, as it was read. */
  readonly fingerprint: string;
  /** Records left out, by reason. */
  readonly leftOut: Readonly<Record<string, number>>;
  /** One line about the data. */
  readonly summary: string;
  /** What the optimizer changes. */
  trainedParameters(): readonly TrainedParameter[];
  /** What a checkpoint holds besides the trained weights and the optimizer. */
  extraState(): readonly NamedState[];
  /** Update `step`, counted from 1. Depends on nothing but its number, the weights and the moments. */
  runStep(step: number, optimizer: AdamW, rates: Rates): StageStep;
  /** What held-out records say; empty if there are none. */
  evaluate(): Figures;
  /** Ends the training: the model becomes what is to be saved. True if that is another than what `evaluate` has measured. */
  settle(): boolean;
  /** Writes the model that the stage has made, once it has settled. */
  saveModel(folder: string, facts: { name: string; steps: number; figures: Figures; tokenizerFolder: string }): void;
}
