/** Words that all benchmarks share: ratios, rates, and what is missing. */
import { type ExitCode, exitCodes } from "../base/errors.ts";
import type { DuelSummary } from "../bench/duel.ts";
import type { Spread } from "../bench/statistics.ts";
import type { Display } from "./progress.ts";
import { formatBytes, shortNumber } from "./text.ts";

export const benchFormat = "rookery-bench/1";

/** A gate: results that depend on the threads or on the run fail it. null: they were not compared. */
export function sameBitsExitCode({ sameBits }: { sameBits: boolean | null }): ExitCode {
  return sameBits === false ? exitCodes.gateFailed : exitCodes.done;
}

/** "4.21× (4.05–4.36)". */
export function ratioText(ratio: Spread | null): string {
  if (ratio === null) return "-";
  return `${ratio.median.toFixed(2)}× (${ratio.min.toFixed(2)}–${ratio.max.toFixed(2)})`;
}

/** "47.1% (45.9–48.0)". */
export function shareText({ median, min, max }: Spread): string {
  const percent = (value: number) => (100 * value).toFixed(1);
  return `${percent(median)}% (${percent(min)}–${percent(max)})`;
}

/** FLOPs a second: "3,120 GFLOP/s". */
export function flopsText(flopsPerSecond: number): string {
  return `${(flopsPerSecond / 1e9).toFixed(flopsPerSecond < 1e11 ? 1 : 0)} GFLOP/s`;
}

export function bandwidthText(bytesPerSecond: number): string {
  return `${(bytesPerSecond / 1e9).toFixed(1)} GB/s`;
}

export function millisecondsText(seconds: number): string {
  const milliseconds = seconds * 1000;
  return `${milliseconds >= 100 ? milliseconds.toFixed(0) : milliseconds.toPrecision(3)} ms`;
}

/** "14.2K tokens/s (13.9K–14.4K)". */
export function tokensText({ median, min, max }: Spread): string {
  return `${shortNumber(median)} tokens/s (${shortNumber(min)}–${shortNumber(max)})`;
}

/** The machine's ceilings as measured in the run. */
export function peakText({
  flopsPerSecond,
  bytesPerSecond,
}: {
  flopsPerSecond: Spread;
  bytesPerSecond: Spread | null;
}) {
  const read = bytesPerSecond === null ? "" : `, ${bandwidthText(bytesPerSecond.median)} of reads`;
  return `${flopsText(flopsPerSecond.median)} from registers${read}`;
}

/** A row of a table that is printed while it is measured, so that its widths are fixed beforehand. */
function fixedColumns(cells: readonly string[], widths: readonly number[]): string {
  return cells
    .map((cell, column) => cell.padEnd(widths[column] ?? 0))
    .join("  ")
    .trimEnd();
}

/** Prints rows as they come, below a heading that waits for the first. */
export function growingTable(
  display: Display,
  heading: readonly string[],
  widths: readonly number[],
): (row: readonly string[]) => void {
  let isEmpty = true;
  return (row) => {
    if (isEmpty) display.print(fixedColumns(heading, widths));
    isEmpty = false;
    display.print(fixedColumns(row, widths));
  };
}

export function bytesText(bytes: number | null): string {
  return bytes === null ? "unknown" : formatBytes(bytes);
}

export function bitsText(sameBits: boolean | null): string {
  return sameBits === null ? "not checked" : sameBits ? "yes: 1 thread, all, and all again" : "NO";
}

/** What closes every list of measured works. */
export function summaryRows(result: DuelSummary): string[][] {
  const { peer, peakMemoryBytes } = result;
  return [
    ["ours", `level ${result.level}, ${result.threads} threads`],
    ["peer", "missing" in peer ? peer.missing : `${peer.name} ${peer.version}`],
    ["ratio", `${ratioText(result.ratioToPeer)}, the geometric mean`],
    ["share of peak", `${shareText(result.shareOfPeak)} of ${peakText(result.peak)}, the geometric mean`],
    ["peak memory", `${bytesText(peakMemoryBytes.ours)}, the peer ${bytesText(peakMemoryBytes.peer)}`],
    ["same bits", bitsText(result.sameBits)],
  ];
}
