import assert from "node:assert/strict";
import { test } from "node:test";
import { liveMemory } from "./memory.ts";
import { measurePeakFlops, measureReadBandwidth } from "./peak.ts";
import { ThreadPool } from "./threads.ts";

test("peaks are measured for both types and any number of threads, and leave no memory behind", () => {
  const before = liveMemory();
  for (const threads of [1, 3]) {
    using pool = new ThreadPool(threads);
    for (const computeType of ["f32", "bf16"] as const) {
      const flops = measurePeakFlops(pool, computeType);
      assert.ok(Number.isFinite(flops) && flops > 0, `${computeType} on ${threads} threads: ${flops}`);
    }
    const bandwidth = measureReadBandwidth(pool, 8);
    assert.ok(Number.isFinite(bandwidth) && bandwidth > 0, `${threads} threads read ${bandwidth} bytes a second`);
  }
  assert.deepEqual(liveMemory(), before);
});
