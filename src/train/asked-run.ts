/** A run as it was asked for, before anything is made: a new one, or one that goes on. */
import { resolveOptions } from "../base/config.ts";
import { RookeryError } from "../base/errors.ts";
import { type TrainOptions, trainOptionsSchema } from "./options.ts";
import { type Budget, budgetOf, resumedOptions } from "./resolve.ts";
import { isNameFree, openRun, refuseTakenName, runPaths } from "./run-directory.ts";

/** `budget` is undefined when the run's length is known from before. */
export type AskedRun = { options: TrainOptions; name: string; budget: Budget | undefined };

export function askedRun(given: TrainOptions): AskedRun {
  return given.resume ? storedRun(given) : newRun(given);
}

/** A name that is given must be free; without one, it is the preset with the next free number. */
function newRun(options: TrainOptions): AskedRun {
  const { runsFolder, preset } = options;
  const budget = budgetOf(options);
  if (options.name !== undefined) {
    refuseTakenName(runPaths(runsFolder, options.name));
    return { options, name: options.name, budget };
  }
  let number = 1;
  while (!isNameFree(runPaths(runsFolder, `${preset}-${number}`))) number++;
  const name = `${preset}-${number}`;
  return { options: { ...options, name }, name, budget };
}

/** The stored options of a run that goes on. */
function storedRun(given: TrainOptions): AskedRun {
  if (given.name === undefined) {
    throw new RookeryError("INVALID_OPTION", "--resume needs to know which run", "name it with --name RUN");
  }
  using run = openRun(given.runsFolder, given.name);
  const { command, options } = run.config;
  if (command !== "train") {
    throw new RookeryError(
      "INVALID_OPTION",
      `${run.paths.config} is of a run of rookery ${command}, not of training`,
      "correct --name",
    );
  }
  const stored = resolveOptions(trainOptionsSchema, [{ name: run.paths.config, values: options }]);
  if (stored.steps === undefined) {
    throw new RookeryError("FILE_DAMAGED", `${run.paths.config} lacks steps`, "take another copy of it");
  }
  return { options: resumedOptions(given, stored), name: given.name, budget: undefined };
}
