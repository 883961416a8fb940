import path from "node:path";
import { z } from "zod";
import type { CommandContext } from "../../base/events.ts";
import { makeFolder, writeFileAtomic } from "../../base/files.ts";
import { rookeryVersion } from "../../base/version.ts";
import { evenDepths, evenLengths, needleKinds } from "../../eval/ruler/grid.ts";
import { haystackLanguages } from "../../eval/ruler/item.ts";
import { type GridRun, runNeedleGrid } from "../../eval/ruler/run-grid.ts";
import { openJobs } from "../../jobs/jobs.ts";
import { lengthText, needleMap, needlePage } from "../../report/long-context-page.ts";
import { type CommandIo, defineCommand } from "../command.ts";
import { longModelOptions, openLongModel } from "../eval-model.ts";
import { identityOf, longContextOptions, modelNameOf, proseOf } from "../long-context.ts";
import { alignColumns } from "../text.ts";

const schema = z.strictObject({
  ...longModelOptions,
  kind: z
    .enum(needleKinds)
    .default("single")
    .describe("what is hidden: one value, several, one of many pairs, or a chain of variables"),
  language: z.enum(haystackLanguages).default("en").describe("the language of the text and the question"),
  lengths: longContextOptions.lengths.describe("lengths in tokens; by default ten even ones up to --longest"),
  longest: z
    .int()
    .min(256)
    .max(2 ** 24)
    .default(32_768)
    .describe("the longest length, where --lengths does not name them"),
  depths: z.int().min(1).max(100).default(10).describe("how many depths, evenly from the beginning to the end"),
  samples: z.int().min(1).max(1000).default(1).describe("questions in each cell"),
  needles: z.int().min(1).max(64).default(4).describe("values of a multi-needle question"),
  ...longContextOptions.common,
});

type NeedleResult = GridRun & { model: string; page: string; heatMap: string };

export const command = defineCommand({
  schema,
  positionals: ["model"],
  examples: [
    { line: "rookery eval needle my-run", purpose: "10 lengths up to 32,768 tokens, 10 depths" },
    {
      line: "rookery eval needle http://127.0.0.1:8080 --mode chat --kind multi --language zh --lengths 4096,16384",
      purpose: "a chat model behind a server, several values at once, in Chinese",
    },
  ],
  run: evalNeedle,
  describe: ({ rows, mean, effectiveLength, threshold, cachedShare, seconds, page }) => [
    ...alignColumns([
      ["tokens", "score"],
      ...rows.map((row) => [lengthText(row.length), row.mean === null ? "–" : row.mean.toFixed(1)]),
    ]),
    `mean ${mean === null ? "–" : mean.toFixed(1)}; effective length (above ${threshold}): ${effectiveLength ?? "none"}`,
    `${(seconds / 60).toFixed(1)} min${cachedShare === null ? "" : `, ${(100 * cachedShare).toFixed(0)}% of the tokens read came from the prefix cache`}`,
    page,
  ],
});

export async function evalNeedle(
  options: z.output<typeof schema>,
  context: CommandContext,
  { environment }: Pick<CommandIo, "environment">,
): Promise<NeedleResult> {
  const { kind, language, seed, needles, samples, mode, concurrency, threshold } = options;
  const lengths = options.lengths ?? evenLengths(options.longest, 10);
  const name = modelNameOf(options.model);
  const folder = options.out ?? path.join("evals", `needle-${kind}-${language}-${name}`);
  const { prose, digest } = proseOf(options.haystack);
  const model = await openLongModel(options, Math.max(...lengths), context, environment);
  try {
    makeFolder(folder);
    using jobs = openJobs(path.join(folder, "cells.sqlite"), folder);
    const selection = { kind, language, seed, needles, prose };
    const modelName = identityOf(options.model, model);
    const settings = {
      modelName,
      ...selection,
      lengths,
      depths: evenDepths(options.depths),
      samples,
      mode,
      concurrency,
      threshold,
    };
    const run = await runNeedleGrid(model, settings, { jobs, proseDigest: digest }, context);
    const [page, heatMap] = [path.join(folder, "report.html"), path.join(folder, "heat-map.svg")];
    writeFileAtomic(page, needlePage({ ...run, model: name }, rookeryVersion));
    writeFileAtomic(heatMap, needleMap({ ...run, model: name }));
    return { ...run, model: name, page, heatMap };
  } finally {
    await model.close();
  }
}
