import { grown } from "./growable.ts";

/** Pairs of neighbouring tokens, numbered as they are first met, with how often each occurs. */
export class PairTable {
  size = 0;
  #left = new Int32Array(1 << 12);
  #right = new Int32Array(1 << 12);
  #counts = new Float64Array(1 << 12);
  /** Pair + 1, or 0 for a free slot; the length is a power of two. */
  #slots = new Int32Array(1 << 14);

  /** Number of the pair; a new one starts with the count 0. */
  indexOf(left: number, right: number): number {
    const mask = this.#slots.length - 1;
    let slot = hashOf(left, right) & mask;
    for (let entry = this.#slots[slot]!; entry !== 0; entry = this.#slots[slot]!) {
      if (this.#left[entry - 1] === left && this.#right[entry - 1] === right) return entry - 1;
      slot = (slot + 1) & mask;
    }
    const pair = this.size++;
    if (pair >= this.#left.length) {
      this.#left = grown(this.#left, pair + 1);
      this.#right = grown(this.#right, pair + 1);
      this.#counts = grown(this.#counts, pair + 1);
    }
    this.#left[pair] = left;
    this.#right[pair] = right;
    this.#slots[slot] = pair + 1;
    if (this.size * 2 > this.#slots.length) this.#rehash();
    return pair;
  }

  leftOf(pair: number): number {
    return this.#left[pair]!;
  }

  rightOf(pair: number): number {
    return this.#right[pair]!;
  }

  countOf(pair: number): number {
    return this.#counts[pair]!;
  }

  addTo(pair: number, change: number): void {
    this.#counts[pair]! += change;
  }

  #rehash(): void {
    this.#slots = new Int32Array(this.#slots.length * 2);
    const mask = this.#slots.length - 1;
    for (let pair = 0; pair < this.size; pair++) {
      let slot = hashOf(this.#left[pair]!, this.#right[pair]!) & mask;
      while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
      this.#slots[slot] = pair + 1;
    }
  }
}

function hashOf(left: number, right: number): number {
  const mixed = Math.imul(left, 0x9e3779b1) ^ Math.imul(right + 0x7f4a7c15, 0x85ebca6b);
  return mixed ^ (mixed >>> 15);
}
