/** A piece of work that can be repeated and timed. */
import { createHash } from "node:crypto";
import { median } from "../statistics.ts";

export type Seconds = Record<string, number>;

export interface Workload extends Disposable {
  /** Does it `repetitions` times; the seconds of each of its parts, summed. */
  time(repetitions: number): Seconds;
  /** What it has computed, as a hash of every bit. */
  digest(): string;
  /** The largest error of some of its results against f64, as a share of what rounding allows to be large. */
  check?(): { largestError: number; allowedError: number };
  /** For models: how many weights. */
  readonly parameters?: number;
}

const shortestTimingSeconds = 1e-3;

/** The median seconds of each part, over timings long enough for the clock, for about `seconds` altogether. */
export function measure(workload: Workload, seconds: number): Seconds {
  const start = performance.now();
  const timings = [workload.time(1)];
  const first = Object.values(timings[0]!).reduce((sum, one) => sum + one, 0);
  const repetitions = Math.max(1, Math.ceil(shortestTimingSeconds / Math.max(first, 1e-7)));
  // the first one woke the threads: it counts only where one is all there is time for
  if ((performance.now() - start) / 1000 < seconds) timings.length = 0;
  while ((performance.now() - start) / 1000 < seconds) {
    const sums = workload.time(repetitions);
    timings.push(Object.fromEntries(Object.entries(sums).map(([part, sum]) => [part, sum / repetitions])));
  }
  return Object.fromEntries(
    Object.keys(timings[0]!).map((part) => [part, median(timings.map((timing) => timing[part]!))]),
  );
}

/** Seconds that `run` takes. */
export function secondsOf(run: () => void): number {
  const start = performance.now();
  run();
  return (performance.now() - start) / 1000;
}

export function digestOf(parts: Iterable<Uint8Array>): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
}
