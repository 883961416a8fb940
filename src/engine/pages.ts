/**
 * The memory of a KV cache in pages. One page holds the keys and values of `pageTokens` tokens for all layers; layers of a CLA
 * group share k̂ and v (model/attention.ts), so there is one copy a group, and one number of a page is good for all groups.
 */
import type { NativeMemory } from "../kernels/bindings/memory.ts";
import { type ModelConfig, numKeyValueGroups } from "../model/config.ts";
import { type CacheType, type PagedKeysAndValues, pageTokens } from "../tensor/ops/paged-attention.ts";
import { bytesPerElement, Tensor } from "../tensor/tensor.ts";

/** What keys and values of each group are divided by before they become 8-bit numbers. */
export type CacheScales = readonly { key: number; value: number }[];

/** Bytes that one token takes in the cache, all layers together. */
export function cacheBytesPerToken(config: ModelConfig, type: CacheType): number {
  return 2 * bytesPerElement[type] * config.numKeyValueHeads * config.headDim * numKeyValueGroups(config);
}

export class PageMemory implements Disposable {
  readonly groups: readonly PagedKeysAndValues[];
  readonly #memory: NativeMemory[] = [];

  /** Scales are 1 until `setScales` tells others. @throws RookeryError OUT_OF_MEMORY. */
  constructor(config: ModelConfig, type: CacheType, pages: number) {
    const shape = [pages, config.numKeyValueHeads, pageTokens, config.headDim];
    const tensor = () => {
      const { tensor, memory } = Tensor.persistent(type, shape);
      this.#memory.push(memory);
      return tensor;
    };
    try {
      this.groups = Array.from({ length: numKeyValueGroups(config) }, () => {
        return { keys: tensor(), values: tensor(), keyScale: 1, valueScale: 1 };
      });
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  get byteLength(): number {
    return this.#memory.reduce((sum, { byteLength }) => sum + byteLength, 0);
  }

  /** Of 8-bit numbers, one a group. What the pages hold already is of no more use. */
  setScales(scales: CacheScales): void {
    for (const [at, group] of this.groups.entries()) {
      group.keyScale = scales[at]!.key;
      group.valueScale = scales[at]!.value;
    }
  }

  /** Copies the whole of one page onto another. */
  copy(from: number, to: number): void {
    for (const { keys, values } of this.groups) {
      for (const tensor of [keys, values]) {
        tensor.rows(to, 1).setBytes(tensor.rows(from, 1).toBytes());
      }
    }
  }

  [Symbol.dispose](): void {
    for (const memory of this.#memory) memory[Symbol.dispose]();
  }
}

/** Which pages the texts under way have, as attention reads it: int32 [slots, pages of the longest text]. */
export class PageTable implements Disposable {
  readonly entries: Tensor;
  readonly slots: number;
  readonly entriesPerSlot: number;
  readonly #memory: NativeMemory;

  constructor(slots: number, entriesPerSlot: number) {
    this.slots = slots;
    this.entriesPerSlot = entriesPerSlot;
    const { tensor, memory } = Tensor.persistent("i32", [slots * entriesPerSlot]);
    this.entries = tensor;
    this.#memory = memory;
  }

  /** Overwrites the entries of a slot from number `first` on. */
  set(slot: number, first: number, pages: readonly number[]): void {
    if (first + pages.length > this.entriesPerSlot) throw new RangeError("a text has more pages than the longest can");
    const start = slot * this.entriesPerSlot + first;
    this.entries.rows(start, pages.length).setIntegers(Int32Array.from(pages));
  }

  [Symbol.dispose](): void {
    this.#memory[Symbol.dispose]();
  }
}
