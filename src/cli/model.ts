/** What MODEL means on the command line, shared by the commands that take one. */
import { z } from "zod";
import { RookeryError } from "../base/errors.ts";
import { readModelDirectory } from "../interop/model-directory.ts";
import { resolveModel } from "../interop/resolve.ts";
import type { ModelConfig } from "../model/config.ts";
import { presets } from "../model/presets.ts";

export { runsFolderOption } from "../interop/resolve.ts";

export const modelOption = z
  .string()
  .min(1)
  .describe(`a preset (${Object.keys(presets).join(", ")}), a run, or a model directory`)
  .meta({ valueName: "MODEL", examples: Object.keys(presets) });

/** The configuration of a preset, a run's model or a model directory. Throws as `resolveModel` and `readModelDirectory`. */
export function configOfModel(model: string, runsFolder: string): ModelConfig {
  const resolved = resolveModel(model, { runsFolder });
  return resolved.kind === "preset" ? presets[resolved.name] : readModelDirectory(resolved.path).config;
}

/** The folder of a run's model, or of a model or tokenizer given by its path. Throws MODEL_NOT_FOUND for a preset. */
export function folderOfModel(model: string, runsFolder: string): string {
  const resolved = resolveModel(model, { runsFolder });
  if (resolved.kind !== "preset") return resolved.path;
  throw new RookeryError(
    "MODEL_NOT_FOUND",
    `${model} is a preset, which has no weights and no tokenizer`,
    "give a run or a directory; a path such as ./NAME reaches one of the same name",
  );
}
