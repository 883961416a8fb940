/**
 * The three releases of the report: pretrained, instruct, and instruct in FP8, each a model directory with its card. The first two are
 * what their runs leave; the third is made of the second.
 */
import fs from "node:fs";
import path from "node:path";
import { RookeryError } from "../base/errors.ts";
import type { CommandContext } from "../base/events.ts";
import { type QuantizeResult, quantizeAndMeasure, quantizeSchema } from "./commands/quantize.ts";

/** Folders of the three models that are there to be used. */
export type Releases = { pretrained: string; instruct: string; instructFp8: string };

/** The FP8 release of a run's model, beside it, in the place of an older one. @throws RookeryError as `quantizeAndMeasure` does. */
export function makeFp8Release(
  instruct: string,
  options: { runsFolder: string; threads: number | undefined },
  context: CommandContext,
): Promise<QuantizeResult> {
  return quantizeAndMeasure(
    quantizeSchema.parse({ model: instruct, scheme: "fp8", overwrite: true, ...options }),
    context,
  );
}

/** @throws RookeryError FILE_DAMAGED for a release without its card. */
export function checkReleases(releases: Releases): Releases {
  const bare = Object.values(releases).find((folder) => !fs.existsSync(path.join(folder, "README.md")));
  if (bare === undefined) return releases;
  throw new RookeryError("FILE_DAMAGED", `${bare} has no card (README.md)`, "make that release again");
}
