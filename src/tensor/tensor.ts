/** Tensors: a dtype, a shape, and a place in native memory whose owner decides how long it lives. */
import { RookeryError } from "../base/errors.ts";
import { type Addressed, dtypeCodes } from "../kernels/bindings/declare.ts";
import { NativeMemory } from "../kernels/bindings/memory.ts";

export type Dtype = "f32" | "bf16" | "fp8" | "i32";
/** The dtypes that activations and weights compute in. */
export type ComputeType = keyof typeof dtypeCodes;

export const bytesPerElement: Record<Dtype, number> = { f32: 4, bf16: 2, fp8: 1, i32: 4 };

/**
 * Where a tensor and its views lie: a parameter, or a piece of an arena, which decides how long. Without memory it is only
 * planned: it has a size and no contents, and kernels pass over it.
 */
export type Place = { memory: NativeMemory | undefined; byteOffset: number; byteLength: number; alive: boolean };

export function elementsOf(shape: readonly number[]): number {
  let elements = 1;
  for (const size of shape) {
    if (!Number.isSafeInteger(size) || size < 0)
      throw new RangeError(`a tensor cannot have the shape [${shape.join(", ")}]`);
    elements *= size;
  }
  if (!Number.isSafeInteger(elements)) throw new RangeError(`the shape [${shape.join(", ")}] has too many elements`);
  return elements;
}

/** Contiguous and row-major. A view shares the place and the lifetime of the tensor that it was taken from. */
export class Tensor implements Addressed {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly elements: number;
  /** For the arena that owns it. */
  readonly place: Place;
  readonly #byteOffset: number;

  /** @param byteOffset from the start of `place`. */
  constructor(dtype: Dtype, shape: readonly number[], place: Place, byteOffset = 0) {
    this.dtype = dtype;
    this.shape = shape;
    this.elements = elementsOf(shape);
    this.place = place;
    this.#byteOffset = byteOffset;
    if (byteOffset < 0 || byteOffset + this.byteLength > place.byteLength) {
      throw new RangeError(
        `a tensor of ${this.byteLength} bytes at ${byteOffset} does not fit ${place.byteLength} bytes`,
      );
    }
  }

  /** A tensor with memory of its own, zeroed. Dispose of `memory` to give it back. */
  static persistent(dtype: Dtype, shape: readonly number[]): { tensor: Tensor; memory: NativeMemory } {
    const memory = new NativeMemory(elementsOf(shape) * bytesPerElement[dtype]);
    return {
      tensor: new Tensor(dtype, shape, { memory, byteOffset: 0, byteLength: memory.byteLength, alive: true }),
      memory,
    };
  }

  /** A tensor that is only counted: no memory, no contents. */
  static planned(dtype: Dtype, shape: readonly number[]): Tensor {
    const byteLength = elementsOf(shape) * bytesPerElement[dtype];
    return new Tensor(dtype, shape, { memory: undefined, byteOffset: 0, byteLength, alive: true });
  }

  get isPlanned(): boolean {
    return this.place.memory === undefined;
  }

  get byteLength(): number {
    return this.elements * bytesPerElement[this.dtype];
  }

  /** Where it lies; for the bindings only. @throws RookeryError DISPOSED when its owner has given the place back. */
  get address(): number {
    const { alive, memory, byteOffset } = this.place;
    if (!alive) {
      throw new RookeryError(
        "DISPOSED",
        `a ${this.dtype} tensor [${this.shape.join(", ")}] was used after its step or its buffer ended`,
        "copy what must outlive the step",
      );
    }
    if (!memory) throw new Error(`a planned tensor [${this.shape.join(", ")}] lies nowhere`);
    return memory.address + byteOffset + this.#byteOffset;
  }

  /** The code by which kernels know its dtype. @throws RangeError for i32 and fp8, which are no activations. */
  get dtypeCode(): number {
    if (this.dtype === "i32" || this.dtype === "fp8") throw new RangeError(`an ${this.dtype} tensor is no activation`);
    return dtypeCodes[this.dtype];
  }

  /** The size of dimension `axis`; negative counts from the end. */
  size(axis: number): number {
    const size = this.shape.at(axis);
    if (size === undefined) throw new RangeError(`[${this.shape.join(", ")}] has no dimension ${axis}`);
    return size;
  }

  /** The same elements in another shape. */
  reshape(...shape: number[]): Tensor {
    if (elementsOf(shape) !== this.elements) {
      throw new RangeError(`[${this.shape.join(", ")}] cannot be seen as [${shape.join(", ")}]`);
    }
    return new Tensor(this.dtype, shape, this.place, this.#byteOffset);
  }

  /** A view of `count` leading rows from `start`. */
  rows(start: number, count: number): Tensor {
    const [rows = 1, ...rest] = this.shape;
    const whole = Number.isSafeInteger(start) && Number.isSafeInteger(count);
    if (!whole || start < 0 || count < 0 || start + count > rows)
      throw new RangeError(`rows ${start}..${start + count} of ${rows}`);
    const offset = this.#byteOffset + start * elementsOf(rest) * bytesPerElement[this.dtype];
    return new Tensor(this.dtype, [count, ...rest], this.place, offset);
  }

  /** A copy of the raw little-endian bytes; none if it is planned only. */
  toBytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes().slice();
  }

  /** Overwrites the contents; `bytes` has exactly `byteLength` bytes. */
  setBytes(bytes: Uint8Array): void {
    if (bytes.byteLength !== this.byteLength) throw new RangeError(`${bytes.byteLength} bytes for ${this.byteLength}`);
    if (!this.isPlanned) this.#bytes().set(bytes);
  }

  /** A copy as f32; bf16 is widened. */
  toFloat32Array(): Float32Array<ArrayBuffer> {
    const bytes = this.toBytes();
    if (this.dtype === "f32") return new Float32Array(bytes.buffer);
    if (this.dtype === "i32") throw new RangeError("an i32 tensor has no floats; use toInt32Array");
    if (this.dtype === "fp8") throw new RangeError("an fp8 tensor is read by attention alone");
    const halves = new Uint16Array(bytes.buffer);
    const words = new Uint32Array(halves.length);
    for (let i = 0; i < halves.length; i++) words[i] = halves[i]! << 16;
    return new Float32Array(words.buffer);
  }

  toInt32Array(): Int32Array<ArrayBuffer> {
    if (this.dtype !== "i32") throw new RangeError(`a ${this.dtype} tensor has no integers`);
    return new Int32Array(this.toBytes().buffer);
  }

  /** Overwrites an f32 or bf16 tensor (rounded to nearest even). */
  setFloats(values: Float32Array): void {
    if (values.length !== this.elements) throw new RangeError(`${values.length} values for ${this.elements} elements`);
    if (this.dtype === "bf16") {
      const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
      const halves = new Uint16Array(values.length);
      for (let i = 0; i < words.length; i++) {
        const word = words[i]!;
        const isNotANumber = (word & 0x7fffffff) > 0x7f800000;
        halves[i] = isNotANumber ? (word >>> 16) | 0x40 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
      }
      this.setBytes(new Uint8Array(halves.buffer));
    } else if (this.dtype === "f32") {
      this.setBytes(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    } else throw new RangeError(`an ${this.dtype} tensor takes no floats`);
  }

  /** Overwrites an i32 tensor. */
  setIntegers(values: Int32Array): void {
    if (this.dtype !== "i32") throw new RangeError(`a ${this.dtype} tensor takes no integers`);
    this.setBytes(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  }

  /** Sets every byte to zero. */
  zero(): void {
    if (!this.isPlanned) this.#bytes().fill(0);
  }

  #bytes(): Uint8Array<ArrayBuffer> {
    if (this.byteLength > 0 && !this.isPlanned) void this.address;
    const { memory, byteOffset } = this.place;
    if (!memory) return new Uint8Array();
    return memory.bytes(byteOffset + this.#byteOffset, this.byteLength);
  }
}
