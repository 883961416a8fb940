/** Tests of what kernels refuse: an argument at a time is made wrong, and nothing may have been touched. */
import assert from "node:assert/strict";
import type { Addressed } from "../../src/kernels/bindings/declare.ts";
import { NativeMemory } from "../../src/kernels/bindings/memory.ts";
import { bytesOf, toMemoryI32 } from "./support.ts";

/** Every array of a call is this one memory, which says {1, 0, 0, …}: a refusal must come before it is used. */
export function refuses(run: (memory: NativeMemory) => void, what: string): void {
  using memory = toMemoryI32([1, ...new Array(31).fill(0)]);
  const before = bytesOf(memory);
  assert.throws(() => run(memory), { code: "KERNEL_FAILED" }, what);
  assert.equal(bytesOf(memory), before, what);
}

/** That a call is refused for what was made wrong, and for nothing else. */
export function accepts(run: (memory: NativeMemory) => void): void {
  using memory = new NativeMemory(1 << 16);
  assert.doesNotThrow(() => run(memory));
}

type Arguments = Record<string, number | Addressed | null>;

/** Calls `kernel` with each of the bad values in place of a good one, with each array missing, and with the aligned ones aslant. */
export function refusesEach<Args extends Arguments>(
  kernel: (args: Args) => void,
  good: (memory: NativeMemory) => Args,
  bad: Partial<Record<keyof Args, number[]>>,
  { optional = ["pool"], aligned = [] }: { optional?: (keyof Args)[]; aligned?: (keyof Args)[] } = {},
): void {
  for (const [name, values] of Object.entries(bad) as [keyof Args, number[]][]) {
    for (const value of values) {
      refuses((memory) => kernel({ ...good(memory), [name]: value }), `${String(name)} = ${value}`);
    }
  }
  using memory = toMemoryI32([1]);
  for (const [name, value] of Object.entries(good(memory))) {
    if (typeof value === "number" || optional.includes(name)) continue;
    refuses((any) => kernel({ ...good(any), [name]: null }), `${name} missing`);
  }
  for (const name of aligned) {
    const aslant = (any: NativeMemory) => ({ address: any.address + 4 });
    refuses((any) => kernel({ ...good(any), [name]: aslant(any) }), `${String(name)} off the cache line`);
  }
}

export const badCodes = [-1, 2, 0.5, Number.NaN];
export const badCounts = [-1, 2 ** 31, 2 ** 53, 1.5];
