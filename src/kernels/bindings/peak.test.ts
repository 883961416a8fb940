import assert from "node:assert/strict";
import { test } from "node:test";
import { refusesEach } from "../../../test/twins/refusals.ts";
import { kernel } from "./declare.ts";
import { liveMemory, type NativeMemory } from "./memory.ts";
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

test("what the measures refuse", () => {
  const numbers = { pool: null, dtype: 0, rounds: 1, threads: 1 };
  const run = kernel("rookery_peak_run", {
    pool: "memory",
    dtype: "int",
    rounds: "size",
    threads: "int",
    scratch: "memory",
  });
  const read = kernel("rookery_peak_read", { pool: "memory", memory: "memory", bytes: "size", scratch: "memory" });
  const aligned: "scratch"[] = ["scratch"];
  refusesEach(
    run,
    (any: NativeMemory) => ({ ...numbers, scratch: any }),
    { dtype: [-1, 2], threads: [0] },
    { aligned },
  );
  const block = (any: NativeMemory) => ({ pool: null, memory: any, bytes: 2 ** 20, scratch: any });
  refusesEach(read, block, { bytes: [0, 1, 2 ** 51] }, { aligned });
});
