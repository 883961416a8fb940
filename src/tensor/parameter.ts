/** A trained array: f32 master weights, their gradient, and the packed copies that matrix products read. */

import { type Addressed, dtypeCodes } from "../kernels/bindings/declare.ts";
import { pack, packBytes } from "../kernels/bindings/gemm.ts";
import { NativeMemory } from "../kernels/bindings/memory.ts";
import type { ThreadPool } from "../kernels/bindings/threads.ts";
import { type ComputeType, Tensor } from "./tensor.ts";

/** How a parameter is used: a matrix [groups, out, in] that is multiplied with, or an array read in place. */
export type ParameterKind = "matrix" | "array";

export class Parameter implements Disposable {
  readonly name: string;
  readonly shape: readonly number[];
  readonly kind: ParameterKind;
  readonly weight: Tensor;
  readonly #weightMemory: NativeMemory | undefined;
  #gradient: { tensor: Tensor; memory: NativeMemory } | undefined;
  #gradientIsFresh = false;
  readonly #packed: { forward?: NativeMemory; backward?: NativeMemory } = {};
  #packedType: ComputeType | undefined;

  /**
   * @param shape [out, in] or [groups, out, in] for a matrix; anything for an array. Weights start at zero.
   * @param isPlanned it is only counted, and has no memory.
   */
  constructor(
    name: string,
    shape: readonly number[],
    kind: ParameterKind,
    { isPlanned = false }: { isPlanned?: boolean } = {},
  ) {
    this.name = name;
    this.shape = shape;
    this.kind = kind;
    if (isPlanned) {
      this.weight = Tensor.planned("f32", shape);
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
    if (this.weight.isPlanned) return this.weight;
    this.#gradient ??= Tensor.persistent("f32", this.shape);
    return this.#gradient.tensor;
  }

  /** Forgets the gradient; the next op overwrites it. */
  startGradient(): void {
    this.#gradientIsFresh = true;
  }

  /** For a kernel that can overwrite: 0 the first time in a step, 1 afterwards. */
  accumulateGradient(): 0 | 1 {
    const accumulate = this.#gradientIsFresh ? 0 : 1;
    this.#gradientIsFresh = false;
    return accumulate;
  }

  /** For a kernel that can only add: the gradient, zeroed the first time in a step. */
  gradientToAddTo(): Tensor {
    if (this.accumulateGradient() === 0) this.gradient.zero();
    return this.gradient;
  }

  /** Closes a step: a gradient that no op has touched is zero. */
  finishGradient(): void {
    this.gradientToAddTo();
  }

  /**
   * Packs the weight for matrix products, after it has changed. @param directions "forward" is enough to run a model;
   * training needs "both".
   */
  pack(pool: ThreadPool, computeType: ComputeType, directions: "forward" | "both"): void {
    if (this.kind !== "matrix") return;
    if (this.#packedType !== computeType) this.#freePacked();
    this.#packedType = computeType;
    const shape = { dtype: dtypeCodes[computeType], groups: this.groups, out: this.out, in: this.in };
    for (const direction of directions === "both" ? (["forward", "backward"] as const) : (["forward"] as const)) {
      const transpose = direction === "backward" ? 1 : 0;
      const packed = this.#packed[direction] ?? new NativeMemory(packBytes({ ...shape, transpose }));
      this.#packed[direction] = packed;
      pack({ pool, weight: this.weight, packed, transpose, ...shape });
    }
  }

  /** The packed copy for y = x Wᵀ ("forward") or dx = dy W ("backward"). */
  packed(direction: "forward" | "backward"): Addressed {
    if (this.weight.isPlanned) return this.weight;
    const packed = this.#packed[direction];
    if (!packed) throw new Error(`${this.name} was not packed for the ${direction} product`);
    return packed;
  }

  [Symbol.dispose](): void {
    this.#weightMemory?.[Symbol.dispose]();
    this.#gradient?.memory[Symbol.dispose]();
    this.#freePacked();
  }

  #freePacked(): void {
    this.#packed.forward?.[Symbol.dispose]();
    this.#packed.backward?.[Symbol.dispose]();
    delete this.#packed.forward;
    delete this.#packed.backward;
  }
}
