/** The stages as functions: a worker does the work, so the caller's thread stays free for signals, HTTP and drawing. */
import { parseOptions } from "../base/config.ts";
import { runOnThread } from "../base/thread.ts";
import {
  type DpoOptionsInput,
  dpoOptionsSchema,
  type RewardOptionsInput,
  rewardOptionsSchema,
  type SftOptionsInput,
  type StageOptions,
  sftOptionsSchema,
} from "./options.ts";
import type { StageContext, StageName, StageResult } from "./stage.ts";

export type StageWork = { stage: StageName; options: StageOptions };

/**
 * Fine-tunes a model on conversations, or goes on with such a run (`resume`), as `runs/NAME` in `runsFolder`. When `signal` is raised,
 * the run is saved after the current step and the promise is rejected with INTERRUPTED.
 * @throws RookeryError naming what is wrong with the options, the data, the disk or the run.
 */
export async function sft(options: SftOptionsInput, context: StageContext = {}): Promise<StageResult> {
  return onThread("sft", parseOptions(sftOptionsSchema, options), context);
}

/** Trains a reward model on preference pairs. As `sft`. */
export async function reward(options: RewardOptionsInput, context: StageContext = {}): Promise<StageResult> {
  return onThread("reward", parseOptions(rewardOptionsSchema, options), context);
}

/** Aligns a model to preference pairs, and to pairs that it samples itself, by DPO. As `sft`. */
export async function dpo(options: DpoOptionsInput, context: StageContext = {}): Promise<StageResult> {
  return onThread("dpo", parseOptions(dpoOptionsSchema, options), context);
}

function onThread(stage: StageName, options: StageOptions, context: StageContext): Promise<StageResult> {
  return runOnThread(import.meta.dirname, { stage, options } satisfies StageWork, context);
}
