/** What kernel tests share: arrays in and out of native memory, rounding to the kernel's type, and comparison. */
import assert from "node:assert/strict";
import type { dtypeCodes } from "../../src/kernels/bindings/declare.ts";
import { NativeMemory } from "../../src/kernels/bindings/memory.ts";

export type Dtype = keyof typeof dtypeCodes;
export const dtypes: Dtype[] = ["f32", "bf16"];

const word = new DataView(new ArrayBuffer(4));

/** `x` rounded to the nearest bf16, ties to even; NaN stays NaN. */
export function roundToBf16(x: number): number {
  word.setUint32(0, toBf16Bits(x) << 16);
  return word.getFloat32(0);
}

export function toBf16Bits(x: number): number {
  word.setFloat32(0, x);
  const bits = word.getUint32(0);
  if (Number.isNaN(x)) return (bits >>> 16) | 0x40;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

export function roundTo(dtype: Dtype, x: number): number {
  return dtype === "bf16" ? roundToBf16(x) : Math.fround(x);
}

/** Deterministic standard normal numbers, already rounded to `dtype`. */
export function normals(count: number, seed: number, dtype: Dtype = "f32", scale = 1): Float64Array {
  let state = (seed * 2654435761 + 12345) >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return Float64Array.from({ length: count }, () => {
    const radius = Math.sqrt(-2 * Math.log(1 - uniform()));
    return roundTo(dtype, scale * radius * Math.cos(2 * Math.PI * uniform()));
  });
}

/** Copies numbers into new native memory as f32 or bf16. */
export function toMemory(values: ArrayLike<number>, dtype: Dtype = "f32"): NativeMemory {
  const memory = new NativeMemory(Math.max(values.length * (dtype === "bf16" ? 2 : 4), 1));
  const bytes = memory.bytes();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let i = 0; i < values.length; i++) {
    if (dtype === "bf16") view.setUint16(2 * i, toBf16Bits(values[i]!), true);
    else view.setFloat32(4 * i, values[i]!, true);
  }
  return memory;
}

export function toMemoryI32(values: ArrayLike<number>): NativeMemory {
  const memory = new NativeMemory(Math.max(values.length * 4, 1));
  const bytes = memory.bytes();
  new Int32Array(bytes.buffer, bytes.byteOffset, values.length).set(Array.from(values));
  return memory;
}

/** A copy of native memory as numbers. */
export function fromMemory(memory: NativeMemory, count: number, dtype: Dtype = "f32"): Float64Array {
  const bytes = memory.bytes();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const result = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    if (dtype === "bf16") {
      word.setUint32(0, view.getUint16(2 * i, true) << 16);
      result[i] = word.getFloat32(0);
    } else result[i] = view.getFloat32(4 * i, true);
  }
  return result;
}

export function fromMemoryI32(memory: NativeMemory, count: number): number[] {
  const bytes = memory.bytes();
  return Array.from(new Int32Array(bytes.buffer, bytes.byteOffset, count));
}

/** Room for `count` elements, filled with NaN so that a place nobody writes is noticed. */
export function emptyMemory(count: number, dtype: Dtype = "f32"): NativeMemory {
  return toMemory(new Float64Array(count).fill(Number.NaN), dtype);
}

/** Scratch of `byteLength` bytes, filled with NaN patterns: kernels may not rely on what scratch holds. */
export function scratchMemory(byteLength: number): NativeMemory {
  const memory = new NativeMemory(Math.max(byteLength, 1));
  memory.bytes().fill(0xff);
  return memory;
}

/** The exact bytes, for comparisons to the bit. */
export function bytesOf(memory: NativeMemory): string {
  return Buffer.from(memory.bytes()).toString("hex");
}

/** ‖actual − expected‖ / ‖expected‖, both as vectors. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  assert.equal(actual.length, expected.length);
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < expected.length; i++) {
    difference += (actual[i]! - expected[i]!) ** 2;
    norm += expected[i]! ** 2;
  }
  return Math.sqrt(difference) / Math.max(Math.sqrt(norm), 1e-30);
}

/** Fails unless `actual` is as near to the f64 twin as the type allows: 1e-5 in f32, 1e-2 in bf16. */
export function assertClose(actual: ArrayLike<number>, expected: ArrayLike<number>, dtype: Dtype, what: string): void {
  const error = relativeError(actual, expected);
  assert.ok(error <= (dtype === "bf16" ? 1e-2 : 1e-5), `${what} (${dtype}): relative error ${error}`);
}
