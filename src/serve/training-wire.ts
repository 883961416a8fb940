/** What the training page is told about a run. Types alone: the page imports them. */

/** A column each; a row is a step, or the mean of several neighboring ones in a long run. Null: not finite. */
export type TrainingRows = {
  /** The last step of the row. */
  step: number[];
  /** Nats a token. */
  loss: (number | null)[];
  gradientNorm: (number | null)[];
  learningRate: (number | null)[];
  expertLearningRate: (number | null)[];
  tokensPerSecond: (number | null)[];
  recycledShare: (number | null)[];
  droppedShare: (number | null)[];
  /** The most that the process had held. */
  peakMemoryBytes: (number | null)[];
  /** [layers][rows][experts]: tokens an expert was sent, as a multiple of an even load. */
  load: number[][][];
};

export type TrainingEvaluation = { step: number; bitsPerByte: number; crossEntropy: number };

/** A part of a run with a length of rows of its own; steps are counted over the whole run. */
export type TrainingStretch = {
  name: string;
  firstStep: number;
  lastStep: number;
  sequenceLength: number;
  batchTokens: number;
  /** What it sets; null where it goes on with the one before. */
  ropeTheta: number | null;
  ropeAlpha: number | null;
};

export type TrainingStatus = "running" | "finished" | "stopped";

export type TrainingSnapshot = {
  format: "rookery-training/1";
  rookeryVersion: string;
  name: string;
  status: TrainingStatus;
  totalSteps: number | null;
  /** Tokens read so far. */
  tokens: number;
  /** What the run was started with, as far as one line holds it. */
  settings: Record<string, string | number | boolean>;
  /** Pre-training and the stages behind it; empty for a run without stages. */
  stretches: TrainingStretch[];
  stepsPerRow: number;
  rows: TrainingRows;
  evaluations: TrainingEvaluation[];
};

/** What came after a snapshot; the event `snapshot` replaces everything instead. */
export type TrainingUpdate = Pick<TrainingSnapshot, "tokens" | "rows" | "evaluations">;
