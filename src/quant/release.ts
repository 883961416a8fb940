/** A model's release with weights of 8 or 4 bits: rounded, calibrated where a text is given, with a card that says what it is worth. */
import fs from "node:fs";
import { availableParallelism } from "node:os";
import path from "node:path";
import { z } from "zod";
import { parseOptions } from "../base/config.ts";
import { RookeryError } from "../base/errors.ts";
import type { CommandContext } from "../base/events.ts";
import { readTextFile, writeFileAtomic } from "../base/files.ts";
import { folderOfRunOrDirectory } from "../interop/folders.ts";
import { type ModelDirectory, readModelDirectory } from "../interop/model-directory.ts";
import { type Calibration, calibrate } from "./calibrate.ts";
import { writeQuantized } from "./quantize.ts";
import { type ReleaseReport, releaseCard, summarizeErrors } from "./release-report.ts";
import { type Plan, planQuantization, schemes } from "./scheme.ts";

/** Of a text to calibrate or to measure on. */
export const largestTextBytes = 2 ** 30;

export const quantizeOptionsSchema = z.strictObject({
  model: z.string().min(1).describe("the name of a run, or a model directory").meta({ valueName: "MODEL" }),
  scheme: z
    .enum(schemes)
    .describe("fp8: weights and activations; int8: weights, a scale a row; int4: weights, a scale a group of columns"),
  out: z
    .string()
    .min(1)
    .optional()
    .describe("the folder of the release (by default the model's, with the scheme after it)")
    .meta({ valueName: "FOLDER" }),
  calibration: z
    .string()
    .min(1)
    .optional()
    .describe(
      "text that the model is run on: for int4 errors are then made up for (GPTQ), for fp8 static scales are found",
    )
    .meta({ valueName: "FILE" }),
  calibrationTokens: z
    .int()
    .min(1)
    .max(2 ** 24)
    .default(16_384)
    .describe("most tokens of it")
    .meta({ valueName: "N" }),
  groupSize: z
    .int()
    .min(32)
    .max(4096)
    .multipleOf(32)
    .optional()
    .describe("for int4: columns that share a scale (by default the largest of 128, 64 and 32 that fits)"),
  activations: z
    .enum(["dynamic", "static"])
    .default("dynamic")
    .describe("for fp8: a scale for every token, or one that calibration finds"),
  replace: z.boolean().default(false).describe("replace a release that is there"),
  runsFolder: z
    .string()
    .min(1)
    .default("runs")
    .describe("the folder that holds the runs")
    .meta({ valueName: "FOLDER" }),
  threads: z.int().min(1).max(256).optional().describe("threads to compute with; by default one a core"),
});

export type QuantizeOptionsInput = z.input<typeof quantizeOptionsSchema>;
type QuantizeOptions = z.output<typeof quantizeOptionsSchema>;

/** `folder`: of the release; `source`: of the model it was made of. What was not measured is null in the report. */
export type Release = { folder: string; source: string; report: ReleaseReport };

/**
 * Writes the release of a model in 8 or 4 bits: a model directory beside the model's own. The same bytes for any number of threads.
 * @throws RookeryError INVALID_OPTION, FILE_UNWRITABLE for a folder that is there, MODEL_NOT_FOUND, and what reading the model and
 * the text throws; the signal's reason.
 */
export async function quantize(given: QuantizeOptionsInput, context: CommandContext = {}): Promise<Release> {
  const options = parseOptions(quantizeOptionsSchema, given);
  const source = folderOfRunOrDirectory(options.model, options.runsFolder);
  const directory = readModelDirectory(source);
  const folder = options.out ?? `${source.replace(/[/\\]+$/, "")}-${options.scheme}`;
  if (fs.existsSync(folder) && !options.replace) {
    throw new RookeryError("FILE_UNWRITABLE", `${folder} is there already`, "give --replace, or another --out");
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
      replace: options.replace,
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
  const card = releaseCard(report, cardOf(source), path.basename(path.resolve(source)));
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
