/** A run as a synchronous machine: `runStep` until done; between steps it can be measured, saved, and stopped. */
import { RookeryError } from "../base/errors.ts";
import type { BatchStream, DataPosition } from "../data/batches.ts";
import type { Recomputation } from "../model/recomputation.ts";
import type { Transformer } from "../model/transformer.ts";
import type { Execution } from "../tensor/execution.ts";
import type { CheckpointContents, OpenCheckpoint } from "./checkpoint.ts";
import type { AdamW } from "./optimizer.ts";
import { learningRate, phaseOf, type ScheduleSettings } from "./schedule.ts";
import { type MicroBatch, type RoutingSettings, type StepResult, trainStep } from "./step.ts";
import { tensorToWrite } from "./tensor-to-write.ts";

/** A stretch of steps with batches and a schedule of its own. */
export type SegmentSettings = {
  schedule: ScheduleSettings;
  recomputation: Recomputation;
  microBatches: number;
  /** Shares of the sources before and during the annealing; undefined leaves them as they are. */
  mixtures: {
    main: Readonly<Record<string, number>> | undefined;
    annealing: Readonly<Record<string, number>> | undefined;
  };
};

export type TrainerSettings = {
  segments: readonly SegmentSettings[];
  routing: RoutingSettings;
  expertLearningRateRatio: number;
  maxGradientNorm: number;
  seed: number;
  maxSkippedSteps: number;
};

export type TrainerParts = {
  execution: Execution;
  model: Transformer;
  optimizer: AdamW;
  /** Makes the model ready for a segment, and opens its batches from `position` on. */
  enter: (segment: number, position: DataPosition | undefined) => BatchStream;
};

type TrainerState = {
  tokens: number;
  optimizerSteps: number;
  skippedSteps: number;
  skippedInARow: number;
  data: DataPosition;
};

export type StepReport = StepResult & {
  step: number;
  tokens: number;
  learningRate: number;
  expertLearningRate: number;
};

export class Trainer {
  readonly #parts: TrainerParts;
  readonly #settings: TrainerSettings;
  /** Where the batches come from, once a step has been made or gone back to. */
  #entered: { segment: number; stream: BatchStream } | undefined;
  #step = 0;
  #tokens = 0;
  #skippedSteps = 0;
  #skippedInARow = 0;

  constructor(parts: TrainerParts, settings: TrainerSettings) {
    this.#parts = parts;
    this.#settings = settings;
  }

  /** Steps done, skipped ones included. */
  get step(): number {
    return this.#step;
  }

  /** Tokens read so far. */
  get tokens(): number {
    return this.#tokens;
  }

  /** Steps whose loss or gradient was not finite, and that left the weights alone. */
  get skippedSteps(): number {
    return this.#skippedSteps;
  }

  get isDone(): boolean {
    return this.#step >= this.#settings.segments.reduce((sum, { schedule }) => sum + schedule.totalSteps, 0);
  }

  /** The segment of the last step, or the first one; `isOver` when the last step was its last. */
  get segment(): { index: number; isOver: boolean } {
    const { index, step } = this.#place(Math.max(this.#step, 1));
    return { index, isOver: step === this.#settings.segments[index]!.schedule.totalSteps };
  }

  /** The next update. Call `checkProgress` when its report has been kept. */
  runStep(): StepReport {
    const { execution, model, optimizer } = this.#parts;
    const { routing, maxGradientNorm, seed } = this.#settings;
    const step = this.#step + 1;
    const place = this.#place(step);
    const { schedule, recomputation, mixtures, microBatches } = this.#settings.segments[place.index]!;
    const stream = this.#streamOf(place.index);
    const mixture = phaseOf(place.step, schedule) === "annealing" ? mixtures.annealing : mixtures.main;
    if (mixture) stream.setMixture(mixture);
    const batches: MicroBatch[] = Array.from({ length: microBatches }, () => stream.next());
    const rate = learningRate(place.step, schedule);
    const rates = { learningRate: rate, expertLearningRate: rate * this.#settings.expertLearningRateRatio };
    const result = trainStep(execution, model, optimizer, batches, {
      routing,
      maxGradientNorm,
      recomputation,
      rates,
      random: { seed, step },
    });
    this.#step = step;
    for (const batch of batches) this.#tokens += batch.tokens.length;
    this.#skippedInARow = result.updated ? 0 : this.#skippedInARow + 1;
    if (!result.updated) this.#skippedSteps++;
    return { ...result, ...rates, step, tokens: this.#tokens };
  }

  /** What a checkpoint of this moment holds. */
  checkpoint(): CheckpointContents {
    const { model, optimizer } = this.#parts;
    const stream = this.#streamOf(this.segment.index);
    const state: TrainerState = {
      tokens: this.#tokens,
      optimizerSteps: optimizer.steps,
      skippedSteps: this.#skippedSteps,
      skippedInARow: this.#skippedInARow,
      data: stream.position(),
    };
    return {
      step: this.#step,
      weights: [...model.parameters.values()].map(({ name, weight }) => tensorToWrite(name, weight)),
      optimizer: optimizer.stateTensors().map(({ name, tensor }) => tensorToWrite(name, tensor)),
      state,
    };
  }

  /** Goes back to a checkpoint of the same run. */
  restore(checkpoint: OpenCheckpoint): void {
    const { model, optimizer } = this.#parts;
    const state = checkpoint.state as TrainerState;
    for (const { name, weight } of model.parameters.values()) weight.setBytes(checkpoint.weights.read(name));
    for (const { name, tensor } of optimizer.stateTensors()) tensor.setBytes(checkpoint.optimizer.read(name));
    optimizer.restoreSteps(state.optimizerSteps);
    this.#step = checkpoint.step;
    this.#tokens = state.tokens;
    this.#skippedSteps = state.skippedSteps;
    this.#skippedInARow = state.skippedInARow;
    const { index } = this.segment;
    this.#entered = { segment: index, stream: this.#parts.enter(index, state.data) };
  }

  /** The segment of a step, and the step counted from the segment's first. */
  #place(step: number): { index: number; step: number } {
    const { segments } = this.#settings;
    let before = 0;
    for (const [index, { schedule }] of segments.entries()) {
      if (step <= before + schedule.totalSteps) return { index, step: step - before };
      before += schedule.totalSteps;
    }
    throw new RangeError(`step ${step} is after the last of ${before}`);
  }

  #streamOf(segment: number): BatchStream {
    if (this.#entered?.segment !== segment) {
      this.#entered = { segment, stream: this.#parts.enter(segment, undefined) };
    }
    return this.#entered.stream;
  }

  /** @throws RookeryError NON_FINITE when `report` is the last of several steps in a row that could not be used. */
  checkProgress(report: StepReport): void {
    if (this.#skippedInARow < this.#settings.maxSkippedSteps) return;
    throw new RookeryError(
      "NON_FINITE",
      `loss ${report.totalLoss} or gradient norm ${report.gradientNorm} was not finite for ${this.#skippedInARow} steps in a row, up to step ${this.#step}`,
      "start it anew under another --name with a lower --learning-rate, or with --compute-type f32 to see where it begins",
    );
  }
}
