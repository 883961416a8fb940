/** What a sweep leaves: `sweeps/NAME/` with its settings, jobs, training runs and table. */
import fs from "node:fs";
import path from "node:path";
import { makeRunConfig, resolveOptions } from "../base/config.ts";
import { RookeryError } from "../base/errors.ts";
import { checkName, makeFolder, quoteForMessage, removeDirectory, writeFileAtomic } from "../base/files.ts";
import { refuseContradictions } from "../train/resolve.ts";
import { readRunConfig } from "../train/run-directory.ts";
import { freeOnSweepResume, type SweepOptions, sweepOptionsSchema } from "./sweep-options.ts";

export type SweepPaths = { path: string; config: string; jobs: string; runs: string; tokenizer: string; table: string };

export const sweepCommand = "scale run";

/** @throws RookeryError INVALID_OPTION for a name that is none. Touches no file. */
export function sweepPaths({ sweepsFolder, name }: Pick<SweepOptions, "sweepsFolder" | "name">): SweepPaths {
  checkName(name, "a sweep");
  const folder = path.join(sweepsFolder, name);
  return {
    path: folder,
    config: path.join(folder, "config.json"),
    jobs: path.join(folder, "jobs.sqlite"),
    runs: path.join(folder, "runs"),
    tokenizer: path.join(folder, "tokenizer"),
    table: path.join(folder, "table.parquet"),
  };
}

/**
 * The options of a sweep: as given for a new one, those that it began with for one that goes on.
 * @throws RookeryError RUN_EXISTS, MODEL_NOT_FOUND, or INVALID_OPTION for what contradicts how it began.
 */
export function sweepOptions(given: SweepOptions): SweepOptions {
  const paths = sweepPaths(given);
  const exists = fs.existsSync(paths.config);
  if (!given.resume) {
    if (exists) {
      throw new RookeryError(
        "RUN_EXISTS",
        `a sweep ${quoteForMessage(given.name)} is already there (${paths.path})`,
        "continue it with --resume, or choose another --name",
      );
    }
    return given;
  }
  if (!exists) {
    throw new RookeryError(
      "MODEL_NOT_FOUND",
      `there is no sweep ${quoteForMessage(given.name)} in ${given.sweepsFolder}`,
      "correct --name, or start it without --resume",
    );
  }
  const { command, options } = readRunConfig(paths.config);
  if (command !== sweepCommand) {
    throw new RookeryError(
      "INVALID_OPTION",
      `${paths.config} is of rookery ${command}, not of a sweep`,
      "correct --name",
    );
  }
  const stored = resolveOptions(sweepOptionsSchema, [{ name: paths.config, values: options }]);
  refuseContradictions(given, stored, sweepOptionsSchema.parse({}), freeOnSweepResume);
  const { resume, retryFailed, planOnly, threads, parallel, sweepsFolder } = given;
  return { ...stored, resume, retryFailed, planOnly, threads, parallel, sweepsFolder };
}

/** Makes the folder of a new sweep. @returns what takes it away again, as long as nothing has been trained. */
export function createSweep(options: SweepOptions): () => void {
  const paths = sweepPaths(options);
  const isAllOurs = !fs.existsSync(paths.path);
  makeFolder(paths.runs);
  const config = makeRunConfig(sweepCommand, { ...options, resume: false });
  writeFileAtomic(paths.config, `${JSON.stringify(config, null, 2)}\n`);
  return () => {
    const made = isAllOurs ? [paths.path] : [paths.config, paths.jobs, paths.tokenizer];
    for (const one of made.filter((file) => fs.existsSync(file))) removeDirectory(one);
  };
}
