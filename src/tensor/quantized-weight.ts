/** A weight in 8 or 4 bits, as a served model reads it: codes and their scales, packed; no f32 of it exists. */
import { NativeMemory } from "../kernels/bindings/memory.ts";
import {
  type QuantFormat,
  quantBytes,
  quantCodes,
  quantMatmul,
  quantMatmulScratchBytes,
  quantPack,
} from "../kernels/bindings/quant.ts";
import type { ThreadPool } from "../kernels/bindings/threads.ts";
import type { Execution } from "./execution.ts";
import type { Tensor } from "./tensor.ts";

/** How activations meet the weight: as they are, or rounded to FP8 by a scale of each row's own, or by one known beforehand. */
export type ActivationRounding = "none" | "dynamic" | "static";

export type WeightFormat = {
  codes: QuantFormat;
  /** Elements of a row that share a scale: the whole row, or, for int4, a divisor of it that is a multiple of 32. */
  segment: number;
  activations: ActivationRounding;
};

/** Rows from `firstRow` on of matrix `group`. */
export type RowPlace = { group: number; firstRow: number; rows: number };

export class QuantizedWeight implements Disposable {
  readonly format: WeightFormat;
  readonly #shape: { groups: number; out: number; in: number; segment: number };
  readonly #packed: NativeMemory;
  readonly #activationScales: NativeMemory | undefined;

  /** Zero until `pack` has filled all rows. */
  constructor(format: WeightFormat, shape: { groups: number; out: number; in: number }) {
    this.format = format;
    this.#shape = { ...shape, segment: format.segment };
    const bytes = quantBytes({ format: quantCodes[format.codes], ...this.#shape });
    if (bytes === 0) throw new RangeError(`no ${format.codes} weight is ${JSON.stringify(this.#shape)}`);
    this.#packed = new NativeMemory(bytes);
    if (format.activations === "static") this.#activationScales = new NativeMemory(4 * shape.groups);
  }

  get byteLength(): number {
    return this.#packed.byteLength;
  }

  /**
   * Fills some rows. `codes` as files have them: fp8 bytes; int8 bytes with 128 added; int4 nibbles with 8 added, the first in
   * the low half. `scales` [rows, in / segment].
   */
  pack(pool: ThreadPool | null, place: RowPlace, codes: Uint8Array, scales: Float32Array): void {
    const { in: columns, segment } = this.#shape;
    const codeBytes = (place.rows * columns) / (this.format.codes === "int4" ? 2 : 1);
    if (codes.byteLength !== codeBytes || scales.length !== (place.rows * columns) / segment) {
      throw new RangeError(`${codes.byteLength} bytes of codes and ${scales.length} scales for ${place.rows} rows`);
    }
    using codeMemory = new NativeMemory(codes.byteLength);
    codeMemory.bytes().set(codes);
    using scaleMemory = new NativeMemory(scales.byteLength);
    scaleMemory.bytes().set(new Uint8Array(scales.buffer, scales.byteOffset, scales.byteLength));
    const format = quantCodes[this.format.codes];
    quantPack({ pool, format, codes: codeMemory, scales: scaleMemory, packed: this.#packed, ...this.#shape, ...place });
  }

  /** The scale by which matrix `group` rounds its activations; for "static" only. */
  setActivationScale(group: number, scale: number): void {
    if (!this.#activationScales) throw new Error("this weight has no scales of activations");
    const bytes = this.#activationScales.bytes();
    new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).setFloat32(4 * group, scale, true);
  }

  activationScale(group: number): number {
    if (!this.#activationScales) throw new Error("this weight has no scales of activations");
    const bytes = this.#activationScales.bytes();
    return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getFloat32(4 * group, true);
  }

  /** c = addend + a Wᵀ; a [rows, in], offsets and gated as `product` takes them. */
  multiply(
    { pool, arena }: Execution,
    a: Tensor,
    c: Tensor,
    {
      addend = null,
      offsets = null,
      gated = null,
    }: { addend?: Tensor | null; offsets?: Tensor | null; gated?: Tensor | null },
  ): void {
    const { groups, out: columns, in: inner, segment } = this.#shape;
    const format = quantCodes[this.format.codes];
    const rounds = this.format.activations === "none" ? 0 : 1;
    const size = { format, dtype: a.dtypeCode, rows: a.size(0), inner, columns, groups, segment, rounds };
    using scratch = arena.scratch(quantMatmulScratchBytes({ ...size, threads: pool.threads }));
    quantMatmul({
      ...size,
      pool,
      a,
      packed: this.#packed,
      addend,
      c,
      cDtype: c.dtypeCode,
      gated,
      activationScales: this.#activationScales ?? null,
      offsets,
      scratch: scratch.tensor,
    });
  }

  [Symbol.dispose](): void {
    this.#packed[Symbol.dispose]();
    this.#activationScales?.[Symbol.dispose]();
  }
}
