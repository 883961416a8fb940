import { z } from "zod";
import type { CommandContext, RookeryEvent } from "../../base/events.ts";
import { writeFileAtomic } from "../../base/files.ts";
import { rookeryVersion } from "../../base/version.ts";
import type { Measured } from "../../bench/options.ts";
import { type BenchServeResult, benchServe, benchServeSchema, type ServePoint } from "../../bench/serve.ts";
import type { Percentiles } from "../../bench/serve-load.ts";
import { servePage } from "../../report/serve-page.ts";
import { bytesText, growingTable, millisecondsText } from "../bench-text.ts";
import { defineCommand } from "../command.ts";
import { alignColumns, shortNumber } from "../text.ts";

const schema = benchServeSchema.extend({
  write: z
    .string()
    .min(1)
    .optional()
    .describe("write the report with its plots as a page of its own")
    .meta({ valueName: "FILE.html" }),
});

const heading = ["model", "prompts", "clients", "tokens/s", "first token p50/p95/p99", "between tokens p50/p95/p99"];
const widths = [12, 13, 7, 8, 26, 26];

function percentilesText(percentiles: Percentiles | null): string {
  if (percentiles === null) return "-";
  const { p50, p95, p99 } = percentiles;
  return [p50, p95, p99].map(millisecondsText).join("/").replaceAll(" ms/", "/");
}

function cells(point: ServePoint): string[] {
  return [
    point.target,
    point.mix,
    String(point.concurrency),
    shortNumber(point.tokensPerSecond.median),
    percentilesText(point.timeToFirstToken),
    percentilesText(point.interTokenLatency),
  ];
}

/** What the growing table has no room for. */
function describe({ points, pricePerHour }: BenchServeResult): string[] {
  const or = (value: number | null, show: (value: number) => string) => (value === null ? "-" : show(value));
  return alignColumns(
    [
      [
        "model",
        "prompts",
        "clients",
        "cache/token",
        "in live pages",
        "read/step",
        "from cache",
        "preempted",
        "cost/1M",
      ],
      ...points.map((point) => [
        point.target,
        point.mix,
        String(point.concurrency),
        bytesText(point.cacheBytesPerToken),
        or(point.liveBytesPerToken, (bytes) => bytesText(Math.round(bytes))),
        bytesText(point.cacheBytesReadPerStep),
        or(point.cachedPromptTokens, shortNumber),
        or(point.preemptions, String),
        or(pricePerHour === null ? null : point.costPerMillionTokens, (cost) => cost.toFixed(3)),
      ]),
    ],
    { numbersFrom: 2 },
  );
}

export const command = defineCommand({
  schema,
  positionals: ["model"],
  examples: [
    { line: "rookery bench serve mini --price-per-hour 0.35 --write load.html", purpose: "random weights, as a page" },
    { line: "rookery bench serve nano --variants", purpose: "what compressing the cache costs in time" },
    {
      line: "rookery bench serve http://127.0.0.1:8080 --concurrency 1 --concurrency 16 --json",
      purpose: "a server that runs",
    },
  ],
  run: async (
    { write, ...options },
    context: CommandContext<RookeryEvent | Measured<ServePoint>>,
    { environment },
  ): Promise<BenchServeResult> => {
    const result = await benchServe(options, { ...context, environment });
    if (write !== undefined) writeFileAtomic(write, servePage(result, rookeryVersion));
    return result;
  },
  describe,
  showEvents: (display) => {
    const print = growingTable(display, heading, widths);
    return (event: Measured<ServePoint>) => print(cells(event.row));
  },
});
