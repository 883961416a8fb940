/** Reads a model, calibrates, rounds, and writes what came of it with its card. */
import fs from "node:fs";
import { availableParallelism } from "node:os";
import path from "node:path";
import { RookeryError } from "../base/errors.ts";
import type { CommandContext } from "../base/events.ts";
import { readTextFile, writeFileAtomic } from "../base/files.ts";
import { folderOfRunOrDirectory, nameOfModel } from "../interop/folders.ts";
import { type ModelDirectory, readModelDirectory } from "../interop/model-directory.ts";
import { type Calibration, calibrate } from "./calibrate.ts";
import { writeQuantized } from "./quantize.ts";
import type { QuantizeOptions, Release } from "./release.ts";
import { type ReleaseReport, releaseCard, summarizeErrors } from "./release-report.ts";
import { type Plan, planQuantization } from "./scheme.ts";

/** Of a text to calibrate or to measure on. */
export const largestTextBytes = 2 ** 30;

/** `quantize` with its options filled in. */
export async function writeRelease(options: QuantizeOptions, context: CommandContext): Promise<Release> {
  const source = folderOfRunOrDirectory(options.model, options.runsFolder);
  const directory = readModelDirectory(source);
  const folder = options.out ?? `${source.replace(/[/\\]+$/, "")}-${options.scheme}`;
  if (fs.existsSync(folder) && !options.overwrite) {
    throw new RookeryError("FILE_UNWRITABLE", `${folder} is there already`, "choose another --out, or add --overwrite");
  }
  const plan = planQuantization(directory.config, options);
  const calibration = await calibrationOf(directory, plan, options, context);
  const errors = writeQuantized(
    folder,
    directory,
    plan,
    {
      threads: options.threads ?? availableParallelism(),
      calibration,
      modelCard: cardOf(source),
      replace: options.overwrite,
    },
    context,
  );
  const unmeasured = (of: string) => ({ fileBytes: weightBytes(of), bitsPerByte: null, decodeTokensPerSecond: null });
  const report: ReleaseReport = {
    scheme: options.scheme,
    groupSize: plan.quantization.groupSize,
    activations: plan.quantization.activations,
    rounding: calibration && options.scheme === "int4" ? "gptq" : "nearest",
    calibrationTokens: calibration?.tokens ?? 0,
    before: unmeasured(source),
    after: unmeasured(folder),
    agreement: null,
    ...summarizeErrors(errors),
  };
  writeReleaseCard({ folder, source, report });
  return { folder, source, report };
}

/** Writes the card of a release, once more when it has been measured. */
export function writeReleaseCard({ folder, source, report }: Release): void {
  const card = releaseCard(report, cardOf(source), nameOfModel(source));
  writeFileAtomic(path.join(folder, "README.md"), card);
}

async function calibrationOf(
  directory: ModelDirectory,
  plan: Plan,
  { scheme, activations, calibration, calibrationTokens, threads = availableParallelism() }: QuantizeOptions,
  context: CommandContext,
): Promise<Calibration | undefined> {
  const isStatic = scheme === "fp8" && activations === "static";
  if (isStatic && calibration === undefined) {
    throw new RookeryError(
      "INVALID_OPTION",
      "static activations need scales that calibration finds",
      "give a text with --calibration, or take --activations dynamic",
    );
  }
  if (calibration === undefined || !(scheme === "int4" || isStatic)) return undefined;
  const text = readTextFile(calibration, largestTextBytes);
  return await calibrate(directory, plan, { threads, text, mostTokens: calibrationTokens }, context);
}

function cardOf(source: string): string {
  const card = path.join(source, "README.md");
  return fs.existsSync(card) ? readTextFile(card) : "";
}

/** Bytes of the weights of a model directory. */
function weightBytes(folder: string): number {
  const names = fs.readdirSync(folder).filter((name) => name.endsWith(".safetensors"));
  return names.reduce((sum, name) => sum + fs.statSync(path.join(folder, name)).size, 0);
}
