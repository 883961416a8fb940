/** A trained array: f32 master weights, their gradient, and the packed copy that a served model reads. */

import { type Addressed, dtypeCodes } from "../kernels/bindings/declare.ts";
import { pack, packBytes } from "../kernels/bindings/gemm.ts";
import { NativeMemory } from "../kernels/bindings/memory.ts";
import type { ThreadPool } from "../kernels/bindings/threads.ts";
import { QuantizedWeight, type WeightFormat } from "./quantized-weight.ts";
import { type ComputeType, Tensor } from "./tensor.ts";

/** How a parameter is used: a matrix [groups, out, in] that is multiplied with, or an array read in place. */
export type ParameterKind = "matrix" | "array";

/** What is added to a matrix W [out, in]: scale · up · down, with down [rank, in] and up [out, rank] (Hu et al., 2021). */
export type LowRankAdapter = { down: Parameter; up: Parameter; scale: number };

export class Parameter implements Disposable {
  readonly name: string;
  readonly shape: readonly number[];
  readonly kind: ParameterKind;
  readonly weight: Tensor;
  /** The weight in 8 or 4 bits, if it is only for serving: then `weight` has a shape and no contents. */
  readonly quantized: QuantizedWeight | undefined;
  #weightMemory: NativeMemory | undefined;
  #gradient: { tensor: Tensor; memory: NativeMemory } | undefined;
  #gradientIsFresh = false;
  #gradientSquares: { tensor: Tensor; memory: NativeMemory } | undefined;
  /** Joins in where `linear` takes this matrix. */
  adapter: LowRankAdapter | undefined;
  /** A matrix that is not trained: no product makes its gradient. */
  isFrozen = false;
  /** Whether `gradientSquares` is of the gradient as it is. */
  hasGradientSquares = false;
  #packed: { dtype: number; memory: NativeMemory } | undefined;

  /**
   * @param shape [out, in] or [groups, out, in] for a matrix; anything for an array. Weights start at zero.
   * @param isPlanned it is only counted, and has no memory.
   * @param format keeps a matrix in 8 or 4 bits, for serving alone.
   */
  constructor(
    name: string,
    shape: readonly number[],
    kind: ParameterKind,
    { isPlanned = false, format }: { isPlanned?: boolean; format?: WeightFormat | undefined } = {},
  ) {
    this.name = name;
    this.shape = shape;
    this.kind = kind;
    if (isPlanned || format) {
      this.weight = Tensor.planned("f32", shape);
      if (format && !isPlanned)
        this.quantized = new QuantizedWeight(format, { groups: this.groups, out: this.out, in: this.in });
      return;
    }
    const { tensor, memory } = Tensor.persistent("f32", shape);
    this.weight = tensor;
    this.#weightMemory = memory;
  }

  get groups(): number {
    return this.shape.length === 3 ? this.shape[0]! : 1;
  }

  get out(): number {
    return this.shape.at(-2) ?? 1;
  }

  get in(): number {
    return this.shape.at(-1) ?? 1;
  }

  /** f32, shaped as the weight. Made when first asked for, so a model that is only read has none. */
  get gradient(): Tensor {
    if (this.quantized) throw new Error(`${this.name} is quantized: it cannot be trained`);
    if (this.weight.isPlanned) return this.weight;
    this.#gradient ??= Tensor.persistent("f32", this.shape);
    return this.#gradient.tensor;
  }

  /** f32 [1]: where the kernel that makes the gradient leaves the sum of its squares. */
  get gradientSquares(): Tensor {
    if (this.weight.isPlanned) return this.weight;
    this.#gradientSquares ??= Tensor.persistent("f32", [1]);
    return this.#gradientSquares.tensor;
  }

  /** Forgets the gradient; the next op overwrites it. */
  startGradient(): void {
    this.#gradientIsFresh = true;
  }

  /** For a kernel that can overwrite: 0 the first time in a step, 1 afterwards. */
  accumulateGradient(): 0 | 1 {
    const accumulate = this.#gradientIsFresh ? 0 : 1;
    this.#gradientIsFresh = false;
    this.hasGradientSquares = false;
    return accumulate;
  }

  /** For a kernel that can only add: the gradient, zeroed the first time in a step. */
  gradientToAddTo(): Tensor {
    if (this.accumulateGradient() === 0) this.gradient.zero();
    return this.gradient;
  }

  /** Closes a step: a gradient that no op has touched is zero. */
  finishGradient(): void {
    if (this.#gradientIsFresh && !this.isFrozen) this.gradientToAddTo();
  }

  /**
   * Keeps a packed copy for the forward product, for a model that is read many times between changes. Training keeps none:
   * a weight is used once a step in each direction, and packing it then costs less than a copy's way to memory and back.
   */
  keepPacked(pool: ThreadPool, computeType: ComputeType): void {
    if (this.kind !== "matrix" || this.#weightMemory === undefined) return;
    const shape = { dtype: dtypeCodes[computeType], groups: this.groups, out: this.out, in: this.in, transpose: 0 };
    if (this.#packed?.dtype !== shape.dtype) this.forgetPacked();
    this.#packed ??= { dtype: shape.dtype, memory: new NativeMemory(packBytes(shape)) };
    pack({ pool, weight: this.weight, packed: this.#packed.memory, ...shape });
  }

  /**
   * Keeps the packed copy alone, for a model that only serves: `weight` may not be read any more, and products of another compute
   * type are not to be had. Arrays, which are read in place, stay as they are.
   */
  keepOnlyPacked(pool: ThreadPool, computeType: ComputeType): void {
    if (this.kind !== "matrix") return;
    this.keepPacked(pool, computeType);
    this.#weightMemory?.[Symbol.dispose]();
    this.#weightMemory = undefined;
  }

  /** Drops the packed copy: the weight has changed. */
  forgetPacked(): void {
    this.#packed?.memory[Symbol.dispose]();
    this.#packed = undefined;
  }

  /** The copy that `keepPacked` made for products of this type, if there is one. */
  packed(dtype: number): Addressed | undefined {
    return this.#packed?.dtype === dtype ? this.#packed.memory : undefined;
  }

  [Symbol.dispose](): void {
    this.quantized?.[Symbol.dispose]();
    this.#weightMemory?.[Symbol.dispose]();
    this.#gradient?.memory[Symbol.dispose]();
    this.#gradientSquares?.memory[Symbol.dispose]();
    this.forgetPacked();
  }
}
