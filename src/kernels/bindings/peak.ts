import { byteCount, dtypeCodes, kernel } from "./declare.ts";
import { NativeMemory } from "./memory.ts";
import type { ThreadPool } from "./threads.ts";

const peakFlops = byteCount("rookery_peak_flops", { dtype: "int", rounds: "size", threads: "int" });
const peakRun = kernel("rookery_peak_run", {
  pool: "memory",
  dtype: "int",
  rounds: "size",
  threads: "int",
  scratch: "memory",
});

const peakRead = kernel("rookery_peak_read", { pool: "memory", memory: "memory", bytes: "size", scratch: "memory" });

/**
 * FLOPs a second that the pool's threads reach from registers alone, the best of several short rounds: the measure for
 * "share of peak". It moves with the machine, so it belongs to the run in which it was measured.
 */
export function measurePeakFlops(pool: ThreadPool, computeType: keyof typeof dtypeCodes): number {
  const { threads } = pool;
  using scratch = new NativeMemory(1024 * threads);
  // some milliseconds: shorter ones end before all threads are under way, and a run then seemed faster than the peak
  const call = { dtype: dtypeCodes[computeType], rounds: 400_000, threads };
  let best = 0;
  for (let round = 0; round < 8; round++) {
    const start = performance.now();
    peakRun({ pool, scratch, ...call });
    best = Math.max(best, peakFlops(call) / ((performance.now() - start) / 1000));
  }
  return best;
}

/**
 * Bytes a second at which the pool's threads read memory that no cache holds, the best of a few passes.
 * @param mebibytes of memory to read, more than the caches of the machine hold; it is taken and filled for the time of the call.
 */
export function measureReadBandwidth(pool: ThreadPool, mebibytes = 1024): number {
  const bytes = mebibytes * 2 ** 20;
  using memory = new NativeMemory(bytes);
  using scratch = new NativeMemory(1024 * pool.threads);
  memory.bytes().fill(1); // untouched memory is one page of zeros
  let best = 0;
  for (let round = 0; round < 5; round++) {
    const start = performance.now();
    peakRead({ pool, memory, bytes, scratch });
    best = Math.max(best, bytes / ((performance.now() - start) / 1000));
  }
  return best;
}
