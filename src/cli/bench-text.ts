/** Words that all benchmarks share: ratios, rates, and what is missing. */
import type { Spread } from "../bench/statistics.ts";
import { shortNumber } from "./text.ts";

export const benchFormat = "rookery-bench/1";

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
