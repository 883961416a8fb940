import assert from "node:assert/strict";
import { test } from "node:test";
import { liveMemory, NativeMemory } from "./memory.ts";

test("memory is zeroed, aligned, and of the length that was asked for", () => {
  for (const byteLength of [0, 1, 63, 64, 65, 100_001]) {
    using memory = new NativeMemory(byteLength);
    assert.equal(memory.byteLength, byteLength);
    assert.equal(memory.address % 64, 0);
    const bytes = memory.bytes();
    assert.equal(bytes.length, byteLength);
    assert.ok(bytes.every((byte) => byte === 0));
  }
});

test("views share the memory, and stay within it", () => {
  using memory = new NativeMemory(100);
  memory.bytes(10, 5).fill(7);
  assert.deepEqual([...memory.bytes(9, 7)], [0, 7, 7, 7, 7, 7, 0]);
  assert.equal(memory.bytes(40).length, 60);
  assert.equal(memory.bytes(100).length, 0);
  for (const [offset, length] of [
    [-1, 2],
    [0, 101],
    [100, 1],
    [50, -1],
    [101, 0],
    [Number.NaN, 1],
    [0, Number.NaN],
    [0.5, 1],
  ] as const) {
    assert.throws(() => memory.bytes(offset, length), RangeError, `${offset}, ${length}`);
  }
});

test("its place does not move while the heap is churned", () => {
  using memory = new NativeMemory(4096);
  const { address } = memory;
  memory.bytes()[17] = 42;
  for (let i = 0; i < 200; i++) new Float64Array(20_000).fill(i);
  assert.equal(memory.address, address);
  assert.equal(memory.bytes()[17], 42);
});

test("dispose gives it back once; every later use is DISPOSED", () => {
  const start = liveMemory();
  const memory = new NativeMemory(1000);
  const view = memory.bytes();
  assert.deepEqual(liveMemory(), { buffers: start.buffers + 1, bytes: start.bytes + 1000 });
  assert.equal(memory.disposed, false);
  memory[Symbol.dispose]();
  assert.equal(memory.disposed, true);
  assert.deepEqual(liveMemory(), start);
  assert.equal(view.length, 0, "a view that outlived it sees nothing");
  assert.throws(() => memory.address, { code: "DISPOSED" });
  assert.throws(() => memory.bytes(), { code: "DISPOSED" });
  memory[Symbol.dispose]();
  assert.deepEqual(liveMemory(), start);
});

test("disposing frees at once: more than the machine has passes through", () => {
  const start = process.memoryUsage().arrayBuffers;
  for (let i = 0; i < 64; i++) {
    using memory = new NativeMemory(2 ** 28);
    memory.bytes(0, 1)[0] = 1;
  }
  assert.ok(process.memoryUsage().arrayBuffers - start < 2 ** 28);
});

test("impossible sizes are refused, and nothing counts as alive", () => {
  const start = liveMemory();
  for (const byteLength of [-1, 0.5, Number.NaN, 2 ** 53]) {
    assert.throws(() => new NativeMemory(byteLength), RangeError);
  }
  assert.throws(() => new NativeMemory(2 ** 52), { code: "OUT_OF_MEMORY", message: /4194304\.00 GiB/ });
  assert.deepEqual(liveMemory(), start);
});
