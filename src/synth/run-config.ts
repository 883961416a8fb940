/** The configuration of a run: what it was begun with, what of it may change, and what a change does to what is done. */
import fs from "node:fs";
import { makeRunConfig, resolveOptions } from "../base/config.ts";
import { readConfigFile } from "../base/config-file.ts";
import { RookeryError } from "../base/errors.ts";
import { writeFileAtomic } from "../base/files.ts";
import { stableJson } from "../base/stable-json.ts";
import type { Jobs } from "../jobs/jobs.ts";
import { setFilterKeys } from "./filters/index.ts";
import { type SynthOptions, synthOptionsSchema } from "./options.ts";
import { type SynthPaths, synthPaths } from "./run-files.ts";

const commandName = "synth run";

/** Whatever else changes between sessions (addresses, limits, budgets), these make the records what they are. */
const pinned = ["seed", "records", "seeds", "mixture", "tasks", "roles", "generate", "evolve", "answer"] as const;
const filtersItem = "filters";

/** The options of a run as its folder holds them. @throws RookeryError MODEL_NOT_FOUND for a run that is not there; UNKNOWN_FORMAT. */
export function readRunOptions(runsFolder: string, name: string): SynthOptions & { name: string } {
  const { config, folder } = synthPaths(runsFolder, name);
  if (!fs.existsSync(config)) {
    throw new RookeryError(
      "MODEL_NOT_FOUND",
      `there is no run "${name}" (${folder})`,
      "correct the name, or begin a run: rookery synth run",
    );
  }
  const values = { ...readConfigFile(config, commandName), runsFolder, name };
  return { ...resolveOptions(synthOptionsSchema, [{ name: config, values }]), name };
}

export function writeRunOptions({ config }: SynthPaths, options: SynthOptions): void {
  const stored = makeRunConfig(commandName, { ...options, config: undefined, resume: false });
  writeFileAtomic(config, `${JSON.stringify(stored, null, 2)}\n`);
}

/** @throws RookeryError INVALID_OPTION if the run was begun with others. */
export function pinOptions(jobs: Jobs, options: SynthOptions): void {
  for (const key of pinned) jobs.pin(key, options[key]);
}

/**
 * Takes these filters for those of the run. Where they judge records otherwise than those before, every record waits to be judged
 * again; its answers and what the critic said of them stay with it.
 * @returns how many records wait for that.
 */
export function adoptFilters(jobs: Jobs, filters: SynthOptions["filters"]): number {
  const before = jobs.getItem(filtersItem) as SynthOptions["filters"] | undefined;
  return jobs.atomically(() => {
    jobs.setItem(filtersItem, filters);
    return before === undefined || ofRecords(before) === ofRecords(filters) ? 0 : jobs.reopen("filter");
  });
}

/** What filters say of one record does not depend on those that see the whole set. */
function ofRecords(filters: SynthOptions["filters"]): string {
  const isOfSet = (key: string) => (setFilterKeys as readonly string[]).includes(key);
  return stableJson(Object.fromEntries(Object.entries(filters).filter(([key]) => !isOfSet(key))));
}
