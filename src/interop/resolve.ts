import fs from "node:fs";
import path from "node:path";
import { z } from "zod";
import { runConfigFormat } from "../base/config.ts";
import { RookeryError } from "../base/errors.ts";
import { isPlainName, quoteForMessage, readJsonFile } from "../base/files.ts";
import { nearest } from "../base/nearest.ts";
import { isPlainObject } from "../base/option-schema.ts";
import { isPresetName, type PresetName, presets } from "../model/presets.ts";

/** `--runs-folder`, the same in every command that knows runs. */
export const runsFolderOption = z
  .string()
  .min(1)
  .default("runs")
  .describe("the folder that holds the runs")
  .meta({ valueName: "FOLDER" });

/** What MODEL named: a preset (a configuration without weights), or a model directory, of a run or by its path. */
export type ResolvedModel =
  | { kind: "preset"; name: PresetName }
  | { kind: "run"; name: string; path: string }
  | { kind: "directory"; path: string };

/**
 * Finds what MODEL means: a preset, the run of that name (its `model/`), a model directory, or `hf:OWNER/NAME@REVISION`.
 * A preset goes before a run of its name, which can be given as a path. Throws MODEL_NOT_FOUND with the nearest name.
 */
export function resolveModel(model: string, options: { runsFolder: string }): ResolvedModel {
  if (model.startsWith("hf:")) throw notYetDownloaded(model);
  if (isPresetName(model)) return { kind: "preset", name: model };
  if (isPlainName(model)) {
    const run = path.join(options.runsFolder, model);
    if (isRun(run)) return modelOfRun(model, run);
  }
  if (!fs.statSync(model, { throwIfNoEntry: false })?.isDirectory()) throw notFound(model, options.runsFolder);
  return isRun(model) ? modelOfRun(path.basename(path.resolve(model)), model) : { kind: "directory", path: model };
}

function notYetDownloaded(model: string): RookeryError {
  const isWellFormed = /^hf:[\w.-]+\/[\w.-]+(@[\w./-]+)?$/.test(model);
  return new RookeryError(
    isWellFormed ? "MODEL_NOT_FOUND" : "INVALID_OPTION",
    isWellFormed
      ? `${model} cannot be downloaded by this Rookery yet`
      : `${quoteForMessage(model)} is no model name of the form hf:OWNER/NAME@REVISION`,
    "download the model with another tool and give its directory",
  );
}

/** A run's folder tells itself by the format of its config.json; a model directory has a config.json without one. */
function isRun(folder: string): boolean {
  const configPath = path.join(folder, "config.json");
  if (!fs.existsSync(configPath)) return false;
  const value = readJsonFile(configPath);
  return isPlainObject(value) && typeof value.format === "string" && value.format.startsWith(runFormatName);
}

const runFormatName = runConfigFormat.slice(0, runConfigFormat.indexOf("/") + 1);

function modelOfRun(name: string, run: string): ResolvedModel {
  const folder = path.join(run, "model");
  if (!fs.existsSync(path.join(folder, "config.json"))) {
    throw new RookeryError(
      "MODEL_NOT_FOUND",
      `the run ${quoteForMessage(name)} has no model yet (${folder})`,
      "let it finish, or continue it: rookery train --resume",
    );
  }
  return { kind: "run", name, path: folder };
}

function notFound(model: string, runsFolder: string): RookeryError {
  let runs: string[] = [];
  try {
    runs = fs.readdirSync(runsFolder).filter((name) => isPlainName(name));
  } catch {
    // No folder of runs yet: then there are none to offer.
  }
  const guess = nearest(model, [...Object.keys(presets), ...runs]);
  return new RookeryError(
    "MODEL_NOT_FOUND",
    `${quoteForMessage(model)} is no preset, no run in ${runsFolder}, and no directory`,
    guess === undefined ? `presets: ${Object.keys(presets).join(", ")}` : `did you mean "${guess}"?`,
  );
}
