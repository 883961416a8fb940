/** A stage in the middle of its run, as a checkpoint holds it. */
import { RookeryError } from "../base/errors.ts";
import type { OpenCheckpoint } from "../train/checkpoint.ts";
import type { AdamW } from "../train/optimizer.ts";
import type { RunDirectory } from "../train/run-directory.ts";
import { tensorToWrite } from "../train/tensor-to-write.ts";
import type { SettledOptions } from "./options.ts";
import type { Figures, Stage, StageName } from "./stage.ts";

/** Everything of a run that lives as long as it does. */
export type Running = {
  stage: StageName;
  options: SettledOptions;
  run: RunDirectory;
  made: Stage;
  optimizer: AdamW;
  /** Names the data and the model that the run began with. */
  fingerprint: string;
};

/** What a run remembers besides weights and moments. */
export type Counters = { tokens: number; skippedSteps: number; skippedInARow: number; measurements: Figures[] };

export const countersOfStart = (): Counters => ({ tokens: 0, skippedSteps: 0, skippedInARow: 0, measurements: [] });

/** What a checkpoint after `step` updates holds. */
export function checkpointOf({ made, optimizer, fingerprint }: Running, step: number, counters: Counters) {
  const weights = made.trainedParameters().map(({ parameter }) => tensorToWrite(parameter.name, parameter.weight));
  const extra = made.extraState().map(({ name, tensor }) => tensorToWrite(name, tensor));
  return {
    step,
    weights: [...weights, ...extra],
    optimizer: optimizer.stateTensors().map(({ name, tensor }) => tensorToWrite(name, tensor)),
    state: { ...counters, optimizerSteps: optimizer.steps, fingerprint },
  };
}

/** Brings weights, moments and counters back. @throws RookeryError INVALID_OPTION where data or model have changed since. */
export function restore({ made, optimizer, run, fingerprint }: Running, checkpoint: OpenCheckpoint): Counters {
  const state = checkpoint.state as Counters & { optimizerSteps: number; fingerprint: string };
  if (state.fingerprint !== fingerprint) {
    throw new RookeryError(
      "INVALID_OPTION",
      `the data or the model of ${run.paths.path} is not what the run began with`,
      "put them back, or start a new run",
    );
  }
  for (const { parameter } of made.trainedParameters())
    parameter.weight.setBytes(checkpoint.weights.read(parameter.name));
  for (const { name, tensor } of made.extraState()) tensor.setBytes(checkpoint.weights.read(name));
  for (const { name, tensor } of optimizer.stateTensors()) tensor.setBytes(checkpoint.optimizer.read(name));
  optimizer.restoreSteps(state.optimizerSteps);
  const { tokens, skippedSteps, skippedInARow, measurements } = state;
  return { tokens, skippedSteps, skippedInARow, measurements };
}
