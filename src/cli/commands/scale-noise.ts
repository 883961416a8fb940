import { availableParallelism } from "node:os";
import { z } from "zod";
import { measureNoise } from "../../scaling/noise.ts";
import { defineCommand } from "../command.ts";
import { runsFolderOption } from "../model.ts";
import { alignColumns, shortNumber } from "../text.ts";

const schema = z.strictObject({
  run: z.string().min(1).describe("the name of a training run that has saved a checkpoint").meta({ valueName: "RUN" }),
  runsFolder: runsFolderOption,
  batches: z
    .int()
    .min(8)
    .max(100_000)
    .default(64)
    .describe("small batches to average, and to take together as a large one"),
  threads: z.int().min(1).max(256).optional().describe("threads of the kernels; results do not depend on it"),
});

export const command = defineCommand({
  schema,
  positionals: ["run"],
  examples: [
    {
      line: "rookery scale noise nano-1",
      purpose: "how noisy its gradient is, and at what rate its experts should learn",
    },
  ],
  run: ({ run, runsFolder, batches, threads = availableParallelism() }, context) =>
    measureNoise({ runsFolder, name: run, batches, threads }, context),
  describe: (result) =>
    alignColumns([
      ["measured", `at step ${result.step}, training loss ${result.loss.toFixed(4)}`],
      [
        "|gradient|²",
        `${result.smallSquaredNorm.toPrecision(4)} of ${result.smallBatchTokens} tokens, ${result.largeSquaredNorm.toPrecision(4)} of ${result.largeBatchTokens}`,
      ],
      ["B_noise", `${shortNumber(result.noiseTokens)} tokens (tr Σ / |G|²)`],
      ["B / B_noise", `${result.batchToNoiseRatio.toPrecision(3)} at the run's ${result.batchTokens} tokens an update`],
      ["expert rate", `${result.expertLearningRateRatio.toFixed(3)} of the dense one by the batch-size law`],
      ["next", `rookery train --batch-to-noise-ratio ${result.batchToNoiseRatio.toPrecision(3)}`],
    ]),
});
