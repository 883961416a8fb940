/**
 * The memory of one step. Activations are bumped off it and all die at `reset`; gradients and scratch are borrowed and
 * given back as the backward pass goes, so that their room is used again within the step.
 */
import { RookeryError } from "../base/errors.ts";
import { NativeMemory } from "../kernels/bindings/memory.ts";
import { bytesPerElement, type Dtype, elementsOf, type Lifetime, Tensor } from "./tensor.ts";

const alignment = 64;
const smallestChunkBytes = 1 << 20;

type Place = { memory: NativeMemory; byteOffset: number; byteLength: number };

/** A tensor on loan: `using` or `giveBack` returns its room to the arena. */
export class Loan implements Disposable {
  readonly tensor: Tensor;
  readonly #giveBack: () => void;

  constructor(tensor: Tensor, giveBack: () => void) {
    this.tensor = tensor;
    this.#giveBack = giveBack;
  }

  [Symbol.dispose](): void {
    this.#giveBack();
  }
}

/** A bump allocator that grows while the first step shows how much is needed, and is one block from then on. */
export class Arena implements Disposable {
  #chunks: NativeMemory[] = [];
  #used = 0;
  #usedBefore = 0;
  #peakBytes = 0;
  #step: Lifetime = { alive: true };
  readonly #free = new Map<number, Place[]>();

  /** The most bytes that any step so far has held at once. */
  get peakBytes(): number {
    return this.#peakBytes;
  }

  /** Bytes of native memory that it holds now. */
  get heldBytes(): number {
    return this.#chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0);
  }

  /** A tensor that lives until `reset`. Its contents are whatever was there before. */
  tensor(dtype: Dtype, ...shape: number[]): Tensor {
    const { memory, byteOffset } = this.#place(elementsOf(shape) * bytesPerElement[dtype]);
    return new Tensor(dtype, shape, memory, byteOffset, this.#step);
  }

  /** A tensor that lives until it is given back, or until `reset`. */
  borrow(dtype: Dtype, ...shape: number[]): Loan {
    const bytes = roundUp(elementsOf(shape) * bytesPerElement[dtype]);
    const place = this.#free.get(bytes)?.pop() ?? this.#place(bytes);
    const step = this.#step;
    const lifetime: Lifetime = { alive: true };
    const tensor = new Tensor(dtype, shape, place.memory, place.byteOffset, {
      get alive() {
        return lifetime.alive && step.alive;
      },
    });
    return new Loan(tensor, () => {
      if (!lifetime.alive) return;
      lifetime.alive = false;
      if (!step.alive) return;
      const places = this.#free.get(bytes);
      if (places) places.push(place);
      else this.#free.set(bytes, [place]);
    });
  }

  /** Scratch of `byteLength` bytes, on loan. */
  scratch(byteLength: number): Loan {
    return this.borrow("f32", Math.max(1, Math.ceil(byteLength / 4)));
  }

  /** An i32 tensor with the given contents, alive until `reset`. */
  integers(values: Int32Array, ...shape: number[]): Tensor {
    const tensor = this.tensor("i32", ...(shape.length > 0 ? shape : [values.length]));
    tensor.setIntegers(values);
    return tensor;
  }

  /** Ends the step: every tensor of it is dead, and its memory is used again. */
  reset(): void {
    this.#step.alive = false;
    this.#step = { alive: true };
    this.#free.clear();
    if (this.#chunks.length > 1) {
      const total = this.#usedBefore + this.#used;
      for (const chunk of this.#chunks) chunk[Symbol.dispose]();
      this.#chunks = [new NativeMemory(roundUp(Math.ceil(total * 1.05)))];
    }
    this.#used = 0;
    this.#usedBefore = 0;
  }

  [Symbol.dispose](): void {
    this.#step.alive = false;
    this.#free.clear();
    for (const chunk of this.#chunks) chunk[Symbol.dispose]();
    this.#chunks = [];
    this.#used = 0;
    this.#usedBefore = 0;
  }

  #place(byteLength: number): Place {
    if (!this.#step.alive) {
      throw new RookeryError("DISPOSED", "an arena was asked for room after it was given back", "keep it alive longer");
    }
    const bytes = roundUp(byteLength);
    let chunk = this.#chunks.at(-1);
    if (!chunk || this.#used + bytes > chunk.byteLength) {
      if (chunk) this.#usedBefore += this.#used;
      chunk = new NativeMemory(Math.max(bytes, smallestChunkBytes, this.#usedBefore));
      this.#chunks.push(chunk);
      this.#used = 0;
    }
    const byteOffset = this.#used;
    this.#used += bytes;
    this.#peakBytes = Math.max(this.#peakBytes, this.#usedBefore + this.#used);
    return { memory: chunk, byteOffset, byteLength: bytes };
  }
}

function roundUp(bytes: number): number {
  return Math.max(alignment, Math.ceil(bytes / alignment) * alignment);
}
