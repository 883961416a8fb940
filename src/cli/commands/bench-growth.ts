import { existsSync } from "node:fs";
import { basename, dirname, extname, join } from "node:path";
import { z } from "zod";
import type { CommandContext, RookeryEvent } from "../../base/events.ts";
import { makeFolder, readTextFile, writeFileAtomic } from "../../base/files.ts";
import { rookeryVersion } from "../../base/version.ts";
import {
  type BenchGrowthResult,
  benchGrowth,
  benchGrowthSchema,
  type GrowthPoint,
  type SkippedPoint,
} from "../../bench/growth.ts";
import type { Measured } from "../../bench/options.ts";
import { growthPlots, growthSection, replaceGrowthSection } from "../../report/growth-page.ts";
import {
  bandwidthText,
  benchFormat,
  bitsText,
  bytesText,
  flopsText,
  growingTable,
  millisecondsText,
  sameBitsExitCode,
  shareText,
  tokensText,
} from "../bench-text.ts";
import { defineCommand } from "../command.ts";
import { alignColumns, shortNumber } from "../text.ts";

const schema = benchGrowthSchema.extend({
  write: z
    .string()
    .min(1)
    .optional()
    .describe("put tables and plots into this page, as docs/performance.md has them")
    .meta({ valueName: "FILE.md" }),
});

type Row = GrowthPoint | SkippedPoint;

const columns = [9, 6, 10, 10, 11, 14, 9, 9] as const;
const heading = ["axis", "value", "tokens", "step", "tokens/s", "of the model", "of peak", "memory"];

function cells(row: Row): string[] {
  if ("skipped" in row) return [row.axis, String(row.value), `skipped: ${row.skipped}`];
  return [
    row.axis,
    String(row.value),
    String(row.tokensPerStep),
    millisecondsText(row.secondsPerStep.median),
    shortNumber(row.tokensPerSecond.median),
    `${((100 * row.tokensPerSecond.median) / row.predictedTokensPerSecond).toFixed(0)}%`,
    `${(100 * row.shareOfPeak).toFixed(1)}%`,
    bytesText(row.peakMemoryBytes),
  ];
}

const largestPageBytes = 4 * 1024 * 1024;

/** Writes the section, and its plots into a folder named as the page is. */
function writePage(page: string, result: BenchGrowthResult): void {
  const folderName = basename(page, extname(page));
  const folder = join(dirname(page), folderName);
  makeFolder(folder);
  for (const { name, svg } of growthPlots(result)) writeFileAtomic(join(folder, name), svg);
  const before = existsSync(page) ? readTextFile(page, largestPageBytes) : "# Performance\n";
  writeFileAtomic(page, replaceGrowthSection(before, growthSection(result, folderName, rookeryVersion)));
}

function describe({ rates, threads, level, expertCost, sameBits }: BenchGrowthResult): string[] {
  const one = rates.find((rate) => rate.threads === threads) ?? rates[0]!;
  return alignColumns([
    ["ours", `level ${level}, ${threads} threads`],
    [
      "the model",
      `products at ${flopsText(one.products)}, attention at ${flopsText(one.attention)}, memory at ${bandwidthText(one.bytes)}`,
    ],
    ...(expertCost
      ? [
          [
            `${expertCost.from} → ${expertCost.to} experts`,
            `${tokensText(expertCost.tokensPerSecond.from)} → ${tokensText(expertCost.tokensPerSecond.to)}`,
          ],
          [
            "",
            `the larger traffic leaves ${shortNumber(expertCost.explainedTokensPerSecond)}; lost beyond it: ${shareText(expertCost.lossBeyondTraffic)}`,
          ],
          ...expertCost.classes.map((line) => [
            "",
            `${line.name}: ${millisecondsText(line.from)} → ${millisecondsText(line.to)}`,
          ]),
        ]
      : []),
    ["same bits", bitsText(sameBits)],
  ]);
}

export const command = defineCommand({
  schema,
  examples: [
    { line: "rookery bench growth --write docs/performance.md", purpose: "every axis, into the page" },
    { line: "rookery bench growth --axes experts --memory 6", purpose: "what more experts cost, and why" },
    { line: "rookery bench growth --quick", purpose: "few and small points" },
  ],
  sharedFormat: benchFormat,
  run: async ({ write, ...options }, context: CommandContext<RookeryEvent | Measured<Row>>) => {
    const result = await benchGrowth(options, { ...context, environment: process.env });
    if (write !== undefined) writePage(write, result);
    return result;
  },
  describe,
  exitCode: (result) => sameBitsExitCode(result),
  showEvents: (display) => {
    const print = growingTable(display, heading, columns);
    return (event: Measured<Row>) => print(cells(event.row));
  },
});
