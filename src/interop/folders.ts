/** Where what a stage is given lies. */
import fs from "node:fs";
import path from "node:path";
import { RookeryError } from "../base/errors.ts";
import { isPlainName } from "../base/files.ts";
import { resolveModel } from "./resolve.ts";

/** The model directory of a run or a path. @throws RookeryError MODEL_NOT_FOUND for a preset, which has no weights. */
export function folderOfRunOrDirectory(model: string, runsFolder: string): string {
  // a run that is named like a preset is meant before the preset: nothing here could begin with a preset
  const run = isPlainName(model) ? path.join(runsFolder, model, "model") : "";
  if (run !== "" && fs.existsSync(path.join(run, "config.json"))) return run;
  const resolved = resolveModel(model, { runsFolder });
  if (resolved.kind !== "preset") return resolved.path;
  throw new RookeryError("MODEL_NOT_FOUND", `${model} is a preset, which has no weights`, "train one: rookery train");
}

/** What people call a model: the name of the run that it lies in, or the last part of its path. */
export function nameOfModel(model: string): string {
  const folder = path.resolve(model);
  // a run can be called "model", too
  const isPath = model !== path.basename(model);
  return path.basename(isPath && path.basename(folder) === "model" ? path.dirname(folder) : folder);
}
