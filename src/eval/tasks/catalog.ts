/** Every task by its name: those written out in this folder, and those in own/*.yaml, which read as a user's own do. */
import fs from "node:fs";
import path from "node:path";
import { RookeryError } from "../../base/errors.ts";
import { didYouMean } from "../../base/nearest.ts";
import { arcChallenge, arcEasy, ceval, cmmlu, hellaswag, mmlu, piqa, winogrande } from "./choice-tasks.ts";
import type { TaskDefinition } from "./definition.ts";
import { families, gsm8k, humaneval, math, unseenFamilies } from "./generate-tasks.ts";
import { ifeval } from "./ifeval.ts";
import { type LoadedTask, loadTaskFile } from "./task-file.ts";

const written: readonly TaskDefinition[] = [
  ...[mmlu, hellaswag, arcEasy, arcChallenge, winogrande, piqa, cmmlu, ceval],
  ...[gsm8k, math, humaneval, ifeval, families, unseenFamilies],
];

const ownFolder = path.join(import.meta.dirname, "own");
const ownNames = () => fs.readdirSync(ownFolder).map((file) => file.replace(/\.yaml$/, ""));

/** Names that --tasks knows. */
export function taskNames(): string[] {
  return [...written.map(({ name }) => name), ...ownNames()].sort();
}

/**
 * @param name of a task, or the path of an own one.
 * @throws RookeryError INVALID_OPTION with the nearest name; what reading the file throws.
 */
export async function loadTask(name: string): Promise<LoadedTask> {
  if (/\.(ya?ml|[mc]?[tj]s)$/.test(name)) return await loadTaskFile(name);
  const task = written.find((one) => one.name === name);
  if (task) return { task };
  if (ownNames().includes(name)) return await loadTaskFile(path.join(ownFolder, `${name}.yaml`));
  throw new RookeryError("INVALID_OPTION", `there is no task "${name}"`, didYouMean(name, taskNames()));
}
