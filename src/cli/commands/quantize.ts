import fs from "node:fs";
import { availableParallelism } from "node:os";
import path from "node:path";
import { z } from "zod";
import { RookeryError } from "../../base/errors.ts";
import type { CommandContext } from "../../base/events.ts";
import { readTextFile, writeFileAtomic } from "../../base/files.ts";
import { readModelDirectory } from "../../interop/model-directory.ts";
import { calibrate } from "../../quant/calibrate.ts";
import { writeQuantized } from "../../quant/quantize.ts";
import { type ReleaseReport, releaseCard, reportRows, summarizeErrors } from "../../quant/release-report.ts";
import { planQuantization, schemes } from "../../quant/scheme.ts";
import { defineCommand } from "../command.ts";
import { folderOfModel, runsFolderOption } from "../model.ts";
import { agreementOf, type Measurement, measureModel, weightBytes } from "../quantize-measure.ts";
import { alignColumns } from "../text.ts";

const largestTextBytes = 2 ** 30;

export const quantizeSchema = z.strictObject({
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
  text: z
    .string()
    .min(1)
    .optional()
    .describe("held-out text whose bits per byte go into the report")
    .meta({ valueName: "FILE" }),
  textTokens: z
    .int()
    .min(1)
    .max(2 ** 30)
    .default(65_536)
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
  measure: z.boolean().default(true).describe("compare rate, text and continuations with the model before"),
  replace: z.boolean().default(false).describe("replace a release that is there"),
  runsFolder: runsFolderOption,
  threads: z.int().min(1).max(256).optional().describe("threads to compute with; by default one a core"),
});

export type QuantizeResult = ReleaseReport & { folder: string; seconds: number };

export const command = defineCommand({
  schema: quantizeSchema,
  positionals: ["model"],
  examples: [
    { line: "rookery quantize my-run --scheme int8", purpose: "half the size, written beside the run's model" },
    {
      line: "rookery quantize my-run --scheme int4 --calibration train.txt --text held-out.txt",
      purpose: "a quarter of the size, by GPTQ, measured on a text",
    },
    {
      line: "rookery quantize models/nano --scheme fp8 --activations static --calibration train.txt",
      purpose: "FP8 weights and activations as vLLM runs them",
    },
  ],
  run: quantize,
  describe(result) {
    const worst = result.worst[0];
    return [
      result.folder,
      ...alignColumns([["", "before", "after", ""], ...reportRows(result)]),
      ...(worst ? [`worst matrix ${worst.name}: ${(100 * worst.relative).toFixed(2)}% off`] : []),
    ];
  },
});

/** Writes the release of a model, and what it costs and brings. Throws INVALID_OPTION, FILE_UNWRITABLE, and what its parts throw. */
export async function quantize(
  options: z.output<typeof quantizeSchema>,
  context: CommandContext,
): Promise<QuantizeResult> {
  const startMs = performance.now();
  const source = folderOfModel(options.model, options.runsFolder);
  const directory = readModelDirectory(source);
  const { scheme, activations } = options;
  const isStatic = scheme === "fp8" && activations === "static";
  if (isStatic && options.calibration === undefined) {
    throw new RookeryError(
      "INVALID_OPTION",
      "static activations need scales that calibration finds",
      "give a text with --calibration, or take --activations dynamic",
    );
  }
  const folder = options.out ?? `${source.replace(/[/\\]+$/, "")}-${scheme}`;
  if (fs.existsSync(folder) && !options.replace) {
    throw new RookeryError("FILE_UNWRITABLE", `${folder} is there already`, "give --replace, or another --out");
  }
  const threads = options.threads ?? availableParallelism();
  const text = options.text === undefined ? undefined : readTextFile(options.text, largestTextBytes);
  const measuring = { threads, text, mostTokens: options.textTokens };
  const plan = planQuantization(directory.config, { scheme, groupSize: options.groupSize, activations });

  const usesCalibration = options.calibration !== undefined && (scheme === "int4" || isStatic);
  const calibration = usesCalibration
    ? await calibrate(
        directory,
        plan,
        {
          threads,
          text: readTextFile(options.calibration!, largestTextBytes),
          mostTokens: options.calibrationTokens,
        },
        context,
      )
    : undefined;
  const card = path.join(source, "README.md");
  const original = fs.existsSync(card) ? readTextFile(card) : "";
  const errors = writeQuantized(
    folder,
    directory,
    plan,
    { threads, calibration, modelCard: original, replace: options.replace },
    context,
  );
  const unmeasured = (of: string): Measurement => {
    return { fileBytes: weightBytes(of), bitsPerByte: null, decodeTokensPerSecond: null, continuations: [] };
  };
  const measure = (of: string) => (options.measure ? measureModel(of, measuring, context) : unmeasured(of));
  const { continuations: expected, ...before } = await measure(source);
  const { continuations: found, ...after } = await measure(folder);
  const report: ReleaseReport = {
    scheme,
    groupSize: plan.quantization.groupSize,
    activations: plan.quantization.activations,
    rounding: calibration && scheme === "int4" ? "gptq" : "nearest",
    calibrationTokens: calibration?.tokens ?? 0,
    before,
    after,
    agreement: options.measure ? agreementOf(expected, found) : null,
    ...summarizeErrors(errors),
  };
  writeFileAtomic(path.join(folder, "README.md"), releaseCard(report, original, path.basename(path.resolve(source))));
  return { ...report, folder, seconds: (performance.now() - startMs) / 1000 };
}
