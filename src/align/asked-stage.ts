/** A stage as it was asked for, before anything is made: a new run, or one that goes on. */
import type { z } from "zod";
import { resolveOptions } from "../base/config.ts";
import { RookeryError } from "../base/errors.ts";
import { refuseContradictions } from "../train/resolve.ts";
import { isNameFree, openRun, refuseTakenName, runPaths } from "../train/run-directory.ts";
import { dpoOptionsSchema, rewardOptionsSchema, type StageOptions, sftOptionsSchema } from "./options.ts";
import type { StageName } from "./stage.ts";

const schemas: Record<StageName, z.ZodType<StageOptions>> = {
  sft: sftOptionsSchema,
  reward: rewardOptionsSchema,
  dpo: dpoOptionsSchema,
};

/**
 * The options of a run: those that are given, with a name, or of one that goes on those that it began with.
 * @throws RookeryError RUN_EXISTS, MODEL_NOT_FOUND, INVALID_OPTION for what is missing and for what contradicts the run.
 */
export function askedOptions(stage: StageName, given: StageOptions): StageOptions {
  return given.resume ? storedOptions(stage, given) : newOptions(stage, given);
}

/** A name that is given must be free; without one, it is the stage with the next free number. */
function newOptions(stage: StageName, options: StageOptions): StageOptions {
  const { runsFolder, model, data } = options;
  if (model === undefined || data.length === 0) {
    throw new RookeryError(
      "INVALID_OPTION",
      `rookery ${stage} needs ${model === undefined ? "a model to begin with" : "data to learn from"}`,
      `give them: rookery ${stage} MODEL --data FILE`,
    );
  }
  if (options.name !== undefined) {
    refuseTakenName(runPaths(runsFolder, options.name));
    return options;
  }
  let number = 1;
  while (!isNameFree(runPaths(runsFolder, `${stage}-${number}`))) number++;
  return { ...options, name: `${stage}-${number}` };
}

/** The stored options of a run that goes on. */
function storedOptions(stage: StageName, given: StageOptions): StageOptions {
  if (given.name === undefined) {
    throw new RookeryError("INVALID_OPTION", "--resume needs to know which run", "name it with --name RUN");
  }
  using run = openRun(given.runsFolder, given.name);
  const { command, options } = run.config;
  if (command !== stage) {
    throw new RookeryError(
      "INVALID_OPTION",
      `${run.paths.config} is of a run of rookery ${command}, not of ${stage}`,
      "correct --name",
    );
  }
  const schema = schemas[stage];
  const stored = resolveOptions(schema, [{ name: run.paths.config, values: options }]);
  refuseContradictions(given, stored, schema.parse({}));
  // the folder may have been moved or copied since
  return { ...stored, name: given.name, runsFolder: given.runsFolder };
}
