/**
 * The KV cache of one sequence. Layers of a CLA group share one k̂ and v (model/attention.ts), so the cache holds one copy a
 * group: with cross-layer attention over two layers and grouped heads, a fraction of what multi-head attention would keep.
 */
import { RookeryError } from "../base/errors.ts";
import type { NativeMemory } from "../kernels/bindings/memory.ts";
import { axpy } from "../kernels/bindings/optim.ts";
import { type Attend, attentionShape } from "../model/attention.ts";
import { type ModelConfig, numKeyValueGroups } from "../model/config.ts";
import type { Execution } from "../tensor/execution.ts";
import { attention } from "../tensor/ops/attention.ts";
import { Tensor } from "../tensor/tensor.ts";

type Rows = { tensor: Tensor; memory: NativeMemory };

/** Rows that the cache grows by at least: a multiple of the block of keys that attention goes by. */
const growthRows = 256;

/** k̂ and v of the tokens seen so far, each [length, numKeyValueHeads · headDim] a CLA group, in the compute type. */
export class KeyValueCache implements Disposable {
  readonly #config: ModelConfig;
  readonly #execution: Execution;
  /** Of each group its keys, then its values. */
  readonly #rows: Rows[] = [];
  #capacity = 0;
  #length = 0;

  constructor(execution: Execution, config: ModelConfig) {
    this.#execution = execution;
    this.#config = config;
  }

  /** Tokens that it holds. */
  get length(): number {
    return this.#length;
  }

  /** Tokens that it has room for. */
  get capacity(): number {
    return this.#capacity;
  }

  /** Most tokens it can hold: the model has no angles for later positions. */
  get limit(): number {
    return this.#config.maxPositionEmbeddings;
  }

  /** Bytes of native memory it holds. */
  get heldBytes(): number {
    return this.#rows.reduce((sum, { tensor }) => sum + tensor.byteLength, 0);
  }

  /**
   * Makes room for `count` more tokens. It at least doubles, so that a token costs the same however long the text grows.
   * @throws RookeryError INVALID_OPTION past the model's longest sequence, OUT_OF_MEMORY.
   */
  reserve(count: number): void {
    const needed = this.#length + count;
    if (needed > this.limit) {
      throw new RookeryError(
        "INVALID_OPTION",
        `${needed} tokens are more than the model's ${this.limit}`,
        "give a shorter prompt",
      );
    }
    if (needed <= this.#capacity) return;
    const rounded = Math.ceil(needed / growthRows) * growthRows;
    const capacity = Math.min(this.limit, Math.max(rounded, 2 * this.#capacity));
    // One after the other, so that two copies of one tensor, not of the whole cache, are there at once.
    for (let index = 0; index < 2 * numKeyValueGroups(this.#config); index++) {
      this.#rows[index] = this.#enlarge(this.#rows[index], capacity);
    }
    this.#capacity = capacity;
  }

  /** Writes k̂ and v [count, …] of new tokens behind what is there; `advance` makes them count. */
  write(group: number, key: Tensor, value: Tensor): void {
    this.#copy(key, this.#tensor(2 * group).rows(this.#length, key.size(0)));
    this.#copy(value, this.#tensor(2 * group + 1).rows(this.#length, value.size(0)));
  }

  /** The first `length` rows of a group. */
  read(group: number, length: number): { key: Tensor; value: Tensor } {
    return { key: this.#tensor(2 * group).rows(0, length), value: this.#tensor(2 * group + 1).rows(0, length) };
  }

  /** After a forward pass: the tokens that it has written are part of the text. */
  advance(count: number): void {
    if (this.#length + count > this.#capacity) throw new RangeError(`${count} tokens do not fit`);
    this.#length += count;
  }

  [Symbol.dispose](): void {
    for (const { memory } of this.#rows) memory[Symbol.dispose]();
    this.#rows.length = 0;
    this.#capacity = 0;
    this.#length = 0;
  }

  #tensor(index: number): Tensor {
    const rows = this.#rows[index];
    if (!rows) throw new RangeError(`the cache has no group ${Math.floor(index / 2)}`);
    return rows.tensor;
  }

  #enlarge(old: Rows | undefined, capacity: number): Rows {
    const { numKeyValueHeads, headDim } = this.#config;
    const next = Tensor.persistent(this.#execution.computeType, [capacity, numKeyValueHeads * headDim]);
    if (old) {
      this.#copy(old.tensor.rows(0, this.#length), next.tensor.rows(0, this.#length));
      old.memory[Symbol.dispose]();
    }
    return next;
  }

  #copy(source: Tensor, destination: Tensor): void {
    axpy({
      pool: this.#execution.pool,
      sourceDtype: source.dtypeCode,
      source,
      destinationDtype: destination.dtypeCode,
      destination,
      count: source.elements,
      scale: 1,
      accumulate: 0,
    });
  }
}

/** Attention of `count` new tokens to all that the cache holds and to each other. Its room must have been reserved. */
export class CachedAttention implements Attend {
  readonly #execution: Execution;
  readonly #config: ModelConfig;
  readonly #cache: KeyValueCache;
  readonly #sequences: Tensor;
  readonly #length: number;

  constructor(execution: Execution, config: ModelConfig, cache: KeyValueCache, count: number) {
    this.#execution = execution;
    this.#config = config;
    this.#cache = cache;
    this.#length = cache.length + count;
    this.#sequences = execution.arena.integers(Int32Array.of(0, count, 0, this.#length), 1, 4);
  }

  store(group: number, key: Tensor, value: Tensor): void {
    this.#cache.write(group, key, value);
  }

  attend(group: number, query: Tensor): Tensor {
    const { key, value } = this.#cache.read(group, this.#length);
    return attention(this.#execution, query, key, value, this.#sequences, attentionShape(this.#config));
  }
}
