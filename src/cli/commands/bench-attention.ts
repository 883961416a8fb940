import type { CommandContext, RookeryEvent } from "../../base/events.ts";
import { type AttentionRow, benchAttention, benchAttentionSchema } from "../../bench/attention.ts";
import type { Measured } from "../../bench/options.ts";
import {
  benchFormat,
  flopsText,
  growingTable,
  millisecondsText,
  ratioText,
  sameBitsExitCode,
  shareText,
  summaryRows,
} from "../bench-text.ts";
import { defineCommand } from "../command.ts";
import { alignColumns } from "../text.ts";

const columns = [18, 9, 10, 14, 20, 20] as const;
const heading = ["shape", "pass", "time", "rate", "share of peak", "times the peer"];

function cells({ shape, forward, backward, peerError }: AttentionRow): string[][] {
  return [
    { name: shape, pass: "forward", figures: forward },
    { name: "", pass: "backward", figures: backward },
  ].map(({ name, pass, figures }) => [
    name,
    pass,
    millisecondsText(figures.seconds.median),
    flopsText(figures.flopsPerSecond.median),
    shareText(figures.shareOfPeak),
    peerError ? "the peer refused" : ratioText(figures.ratioToPeer),
  ]);
}

export const command = defineCommand({
  schema: benchAttentionSchema,
  examples: [
    { line: "rookery bench attention", purpose: "forward and backward at several lengths, against PyTorch" },
    { line: "rookery bench attention --shapes 1x32768/8/2/64 --rounds 3", purpose: "one long sequence" },
  ],
  sharedFormat: benchFormat,
  run: (options, context: CommandContext<RookeryEvent | Measured<AttentionRow>>) =>
    benchAttention(options, { ...context, environment: process.env }),
  describe: (result) => alignColumns(summaryRows(result)),
  exitCode: (result) => sameBitsExitCode(result),
  showEvents: (display) => {
    const print = growingTable(display, heading, columns);
    return (event: Measured<AttentionRow>) => {
      for (const row of cells(event.row)) print(row);
    };
  },
});
