import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fromMemory, toMemory } from "../../../test/twins/support.ts";
import { liveMemory } from "./memory.ts";
import { axpy } from "./optim.ts";
import { ThreadPool } from "./threads.ts";

const block = 16_384; // elements of a task of axpy

test("thousands of small jobs: each task is done exactly once", () => {
  const blocks = 5;
  using ones = toMemory(new Float64Array(blocks * block).fill(1));
  for (const threads of [1, 2, 3, 4]) {
    using pool = new ThreadPool(threads);
    using total = toMemory(new Float64Array(blocks * block));
    const expected = new Float64Array(blocks * block);
    const call = {
      pool,
      sourceDtype: 0,
      source: ones,
      destinationDtype: 0,
      destination: total,
      scale: 1,
      accumulate: 1,
    };
    for (let job = 0; job < 600 * (blocks + 1); job++) axpy({ ...call, count: (job % (blocks + 1)) * block });
    for (let i = 0; i < blocks; i++) expected.fill(600 * (blocks - i), i * block, (i + 1) * block);
    // not deepEqual: its report of a difference between arrays of this size takes all memory there is
    const differs = fromMemory(total, blocks * block).findIndex((value, i) => value !== expected[i]);
    assert.equal(differs, -1, `${threads} threads`);
  }
});

test("pools come and go, working or idle, and leave no memory behind", () => {
  const start = liveMemory();
  using memory = toMemory(new Float64Array(3 * block));
  const call = { sourceDtype: 0, source: memory, destinationDtype: 0, destination: memory, count: 3 * block };
  for (let i = 0; i < 100; i++) {
    using pool = new ThreadPool(1 + (i % 4));
    if (i % 3 > 0) axpy({ ...call, pool, scale: 1, accumulate: 0 });
  }
  memory[Symbol.dispose]();
  assert.deepEqual(liveMemory(), start);
});

test("several pools at once do not disturb each other", () => {
  using first = new ThreadPool(2);
  using second = new ThreadPool(3);
  using ones = toMemory(new Float64Array(4 * block).fill(1));
  using total = toMemory(new Float64Array(4 * block));
  const call = { sourceDtype: 0, source: ones, destinationDtype: 0, destination: total, count: 4 * block };
  for (let i = 0; i < 50; i++) axpy({ ...call, pool: i % 2 ? first : second, scale: 1, accumulate: 1 });
  assert.ok(fromMemory(total, 4 * block).every((x) => x === 50));
});

test("a number of threads that cannot be is refused, and leaves no memory behind", () => {
  const start = liveMemory();
  for (const threads of [0, -1, 257, 1.5, Number.NaN]) {
    assert.throws(() => new ThreadPool(threads), { code: "KERNEL_FAILED" });
  }
  assert.deepEqual(liveMemory(), start);
});

test("a pool that was given back is DISPOSED", () => {
  const pool = new ThreadPool(2);
  pool[Symbol.dispose]();
  pool[Symbol.dispose]();
  using memory = toMemory([1]);
  const call = { sourceDtype: 0, source: memory, destinationDtype: 0, destination: memory, count: 1 };
  assert.throws(() => axpy({ ...call, pool, scale: 1, accumulate: 0 }), { code: "DISPOSED" });
});

test("a process that ends without giving its pool back ends well", () => {
  const program = `import { ThreadPool } from ${JSON.stringify(new URL("./threads.ts", import.meta.url).href)}; new ThreadPool(4);`;
  for (let i = 0; i < 5; i++) {
    const { status, signal } = spawnSync(process.execPath, ["--input-type=module", "-e", program]);
    assert.deepEqual([status, signal], [0, null]);
  }
});
