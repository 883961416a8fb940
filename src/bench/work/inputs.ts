/** Tensors of numbers that are random but always the same, for timing and for checking. */
import { hash32, streamKeys } from "../../base/random.ts";
import type { NativeMemory } from "../../kernels/bindings/memory.ts";
import { type ComputeType, type Dtype, Tensor } from "../../tensor/tensor.ts";

/** Gives back all it has made. */
export class Inputs implements Disposable {
  readonly #owned: NativeMemory[] = [];

  empty(dtype: Dtype, ...shape: number[]): Tensor {
    const { tensor, memory } = Tensor.persistent(dtype, shape);
    this.#owned.push(memory);
    return tensor;
  }

  /** Uniform in [−1, 1), by `name`. */
  uniform(name: string, dtype: ComputeType, ...shape: number[]): Tensor {
    const tensor = this.empty(dtype, ...shape);
    const keys = streamKeys(1, "bench", name);
    tensor.setFloats(Float32Array.from({ length: tensor.elements }, (_, i) => hash32(keys, i) / 2 ** 31 - 1));
    return tensor;
  }

  integers(values: Int32Array): Tensor {
    const tensor = this.empty("i32", values.length);
    tensor.setIntegers(values);
    return tensor;
  }

  [Symbol.dispose](): void {
    for (const memory of this.#owned) memory[Symbol.dispose]();
    this.#owned.length = 0;
  }
}

/** Some places of `size`, its first and last among them. */
export function someIndices(size: number, most: number): number[] {
  const count = Math.min(size, most);
  return [...new Set(Array.from({ length: count }, (_, i) => Math.round((i * (size - 1)) / Math.max(1, count - 1))))];
}
