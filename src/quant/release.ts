/** A model's release with weights of 8 or 4 bits: rounded, calibrated where a text is given, with a card that says what it is worth. */
import { z } from "zod";
import { parseOptions } from "../base/config.ts";
import type { CommandContext } from "../base/events.ts";
import type { ReleaseReport } from "./release-report.ts";
import { schemes } from "./scheme.ts";

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
  overwrite: z.boolean().default(false).describe("replace a release that is there"),
  runsFolder: z
    .string()
    .min(1)
    .default("runs")
    .describe("the folder that holds the runs")
    .meta({ valueName: "FOLDER" }),
  threads: z.int().min(1).max(256).optional().describe("threads to compute with; by default one a core"),
});

export type QuantizeOptionsInput = z.input<typeof quantizeOptionsSchema>;
export type QuantizeOptions = z.output<typeof quantizeOptionsSchema>;

/** `folder`: of the release; `source`: of the model it was made of. What was not measured is null in the report. */
export type Release = { folder: string; source: string; report: ReleaseReport };

/**
 * Writes the release of a model in 8 or 4 bits: a model directory beside the model's own. The same bytes for any number of threads.
 * @throws RookeryError INVALID_OPTION, FILE_UNWRITABLE for a folder that is there, MODEL_NOT_FOUND, and what reading the model and
 * the text throws; the signal's reason.
 */
export async function quantize(given: QuantizeOptionsInput, context: CommandContext = {}): Promise<Release> {
  const options = parseOptions(quantizeOptionsSchema, given);
  // brings the kernels and all readers of models, which a program that only imports this does not wait for
  const { writeRelease } = await import("./write-release.ts");
  return await writeRelease(options, context);
}
