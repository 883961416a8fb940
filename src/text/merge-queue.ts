import { grown } from "./growable.ts";
import type { PairTable } from "./pair-table.ts";

/** A pair that waits to be merged: its places are `positions[start … start + length)` of the queue. */
export type QueuedMerge = { pair: number; start: number; length: number };

/**
 * The pairs that may be merged next, the most frequent first, and among equals the one of the smallest ids: the order
 * of Hugging Face's trainer. Each entry keeps the count it was queued with; a pair has become rarer since when the
 * table says less, and the caller queues it again.
 */
export class MergeQueue {
  readonly #pairs: PairTable;
  // Entries, by number. A dead one has the length 0.
  #numEntries = 0;
  #pairOf = new Int32Array(1 << 12);
  #startOf = new Int32Array(1 << 12);
  #lengthOf = new Int32Array(1 << 12);
  #countOf = new Float64Array(1 << 12);
  // Binary heap of entry numbers.
  #heap = new Int32Array(1 << 12);
  #heapSize = 0;
  // Places of all entries, in entry order.
  #positions = new Int32Array(1 << 12);
  #positionsEnd = 0;
  #livePositions = 0;

  constructor(pairs: PairTable) {
    this.#pairs = pairs;
  }

  /** The array that `start` and `length` of an entry point into; valid until the next `reserve`. */
  get positions(): Int32Array {
    return this.#positions;
  }

  /** Makes room for `length` places and returns where they begin; the caller fills them and then queues the pairs. */
  reserve(length: number): number {
    if (this.#positionsEnd + length > this.#positions.length) this.#makeRoom(length);
    const start = this.#positionsEnd;
    this.#positionsEnd += length;
    return start;
  }

  /** Queues a pair whose places were filled in at `start`. Entries must be pushed in the order of their places. */
  push(pair: number, start: number, length: number): void {
    const entry = this.#numEntries++;
    if (entry >= this.#pairOf.length) {
      this.#pairOf = grown(this.#pairOf, entry + 1);
      this.#startOf = grown(this.#startOf, entry + 1);
      this.#lengthOf = grown(this.#lengthOf, entry + 1);
      this.#countOf = grown(this.#countOf, entry + 1);
      this.#heap = grown(this.#heap, entry + 1);
    }
    this.#pairOf[entry] = pair;
    this.#startOf[entry] = start;
    this.#lengthOf[entry] = length;
    this.#countOf[entry] = this.#pairs.countOf(pair);
    this.#livePositions += length;
    this.#siftUp(this.#heapSize++, entry);
  }

  /** Takes the next pair out, or returns undefined when none is left. Its places stay readable until `reserve`. */
  pop(): QueuedMerge | undefined {
    while (this.#heapSize > 0) {
      const entry = this.#heap[0]!;
      const pair = this.#pairOf[entry]!;
      const count = this.#pairs.countOf(pair);
      if (this.#countOf[entry] !== count) {
        this.#countOf[entry] = count;
        this.#siftDown(entry);
        continue;
      }
      const last = this.#heap[--this.#heapSize]!;
      if (this.#heapSize > 0) this.#siftDown(last);
      const merge = { pair, start: this.#startOf[entry]!, length: this.#lengthOf[entry]! };
      this.#livePositions -= merge.length;
      this.#lengthOf[entry] = 0;
      return merge;
    }
    return undefined;
  }

  #comesBefore(a: number, b: number): boolean {
    const difference = this.#countOf[a]! - this.#countOf[b]!;
    if (difference !== 0) return difference > 0;
    const pairA = this.#pairOf[a]!;
    const pairB = this.#pairOf[b]!;
    const left = this.#pairs.leftOf(pairA) - this.#pairs.leftOf(pairB);
    if (left !== 0) return left < 0;
    const right = this.#pairs.rightOf(pairA) - this.#pairs.rightOf(pairB);
    return right !== 0 ? right < 0 : a < b;
  }

  #siftUp(from: number, entry: number): void {
    let index = from;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!this.#comesBefore(entry, this.#heap[parent]!)) break;
      this.#heap[index] = this.#heap[parent]!;
      index = parent;
    }
    this.#heap[index] = entry;
  }

  /** Puts `entry` at the top and lets it sink. */
  #siftDown(entry: number): void {
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= this.#heapSize) break;
      if (child + 1 < this.#heapSize && this.#comesBefore(this.#heap[child + 1]!, this.#heap[child]!)) child++;
      if (!this.#comesBefore(this.#heap[child]!, entry)) break;
      this.#heap[index] = this.#heap[child]!;
      index = child;
    }
    this.#heap[index] = entry;
  }

  /** Closes the gaps that merged pairs left; grows only when that frees less than a fifth. */
  #makeRoom(length: number): void {
    const comfortable = Math.ceil((this.#livePositions + length) * 1.25);
    const target = comfortable > this.#positions.length ? new Int32Array(comfortable) : this.#positions;
    let end = 0;
    for (let entry = 0; entry < this.#numEntries; entry++) {
      const size = this.#lengthOf[entry]!;
      if (size === 0) continue;
      const start = this.#startOf[entry]!;
      if (target === this.#positions) target.copyWithin(end, start, start + size);
      else target.set(this.#positions.subarray(start, start + size), end);
      this.#startOf[entry] = end;
      end += size;
    }
    this.#positions = target;
    this.#positionsEnd = end;
  }
}
