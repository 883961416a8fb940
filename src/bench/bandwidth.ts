import type { NativeMemory } from "../kernels/bindings/memory.ts";
import { NativeMemory as Memory } from "../kernels/bindings/memory.ts";
import { sumOfSquares, sumOfSquaresScratchBytes } from "../kernels/bindings/optim.ts";
import type { ThreadPool } from "../kernels/bindings/threads.ts";

const touched = new WeakSet<NativeMemory>();

/** Bytes a second that the pool's threads read from `memory` (larger than the caches), the best of several passes. */
export function measureReadBandwidth(pool: ThreadPool, memory: NativeMemory): number {
  // pages nobody has written to are one page of zeros, in the first cache
  if (!touched.has(memory)) memory.bytes().fill(1);
  touched.add(memory);
  const count = Math.floor(memory.byteLength / 4);
  using scratch = new Memory(sumOfSquaresScratchBytes({ count }));
  using result = new Memory(4);
  let best = 0;
  for (let pass = 0; pass < 4; pass++) {
    const start = performance.now();
    sumOfSquares({ pool, values: memory, count, result, accumulate: 0, scratch });
    best = Math.max(best, (4 * count) / ((performance.now() - start) / 1000));
  }
  return best;
}
