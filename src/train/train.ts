/** Training as one function: a worker does the work, so the caller's thread stays free for signals, HTTP and drawing. */
import { parseOptions } from "../base/config.ts";
import type { CommandContext } from "../base/events.ts";
import { runOnThread } from "../base/thread.ts";
import type { TrainingEvent } from "./events.ts";
import { type TrainOptionsInput, trainOptionsSchema } from "./options.ts";
import type { TrainResult } from "./run.ts";

/**
 * Trains a model, or goes on with a run (`resume`), as `runs/NAME` in `runsFolder`. When `signal` is raised, the run is saved after
 * the current step and the promise is rejected with INTERRUPTED. Two calls in one process do not disturb each other.
 * @throws RookeryError naming what is wrong with the options, the data, the disk or the run.
 */
export async function train(
  given: TrainOptionsInput,
  context: CommandContext<TrainingEvent> = {},
): Promise<TrainResult> {
  return runOnThread(import.meta.dirname, parseOptions(trainOptionsSchema, given), context);
}
