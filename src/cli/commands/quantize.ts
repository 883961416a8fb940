import { availableParallelism } from "node:os";
import { z } from "zod";
import type { CommandContext } from "../../base/events.ts";
import { readTextFile } from "../../base/files.ts";
import { quantize, quantizeOptionsSchema } from "../../quant/release.ts";
import { type ReleaseReport, reportRows } from "../../quant/release-report.ts";
import { largestTextBytes, writeReleaseCard } from "../../quant/write-release.ts";
import { defineCommand } from "../command.ts";
import { agreementOf, measureModel } from "../quantize-measure.ts";
import { alignColumns } from "../text.ts";

export const quantizeSchema = z.strictObject({
  ...quantizeOptionsSchema.shape,
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
  measure: z.boolean().default(true).describe("compare rate, text and continuations with the model before"),
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
  run: quantizeAndMeasure,
  describe(result) {
    const worst = result.worst[0];
    return [
      result.folder,
      ...alignColumns([["", "before", "after", ""], ...reportRows(result)]),
      ...(worst ? [`worst matrix ${worst.name}: ${(100 * worst.relative).toFixed(2)}% off`] : []),
    ];
  },
});

/** Writes the release of a model, and what it costs and brings. Throws what `quantize` and measuring throw. */
export async function quantizeAndMeasure(
  { text: textFile, textTokens, measure, ...options }: z.output<typeof quantizeSchema>,
  context: CommandContext,
): Promise<QuantizeResult> {
  const startMs = performance.now();
  const secondsSinceStart = () => (performance.now() - startMs) / 1000;
  // a text that cannot be read is told of before hours of work
  const text = textFile === undefined ? undefined : readTextFile(textFile, largestTextBytes);
  const release = await quantize(options, context);
  const { folder, source, report } = release;
  if (!measure) return { ...report, folder, seconds: secondsSinceStart() };
  const measuring = { threads: options.threads ?? availableParallelism(), text, mostTokens: textTokens };
  const { continuations: expected, ...before } = await measureModel(source, measuring, context);
  const { continuations: found, ...after } = await measureModel(folder, measuring, context);
  const measured: ReleaseReport = {
    ...report,
    before: { ...report.before, ...before },
    after: { ...report.after, ...after },
    agreement: agreementOf(expected, found),
  };
  writeReleaseCard({ ...release, report: measured });
  return { ...measured, folder, seconds: secondsSinceStart() };
}
