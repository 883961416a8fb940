import { grown } from "./growable.ts";

/**
 * Numbers distinct pieces of text as they are first met. The pieces lie in one array of code units behind a hash
 * table: no strings are made, since a piece cut from a text would keep that whole text in memory.
 */
export class PieceTable {
  /** Distinct pieces so far. */
  size = 0;
  #units = new Uint16Array(1 << 12);
  #starts = new Int32Array(1 << 10);
  #hashes = new Int32Array(1 << 10);
  /** Piece index + 1, or 0 for a free slot; the length is a power of two. */
  #slots = new Int32Array(1 << 11);

  /** Code units of all distinct pieces. */
  get numUnits(): number {
    return this.#starts[this.size]!;
  }

  /** Number of the piece `text[start, end)`; a new piece takes the number `size`. */
  indexOf(text: string, start: number, end: number): number {
    let hash = 0x811c9dc5;
    for (let index = start; index < end; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
    hash ^= hash >>> 15; // the low bits choose the slot, and the product mixes them least
    const mask = this.#slots.length - 1;
    let slot = hash & mask;
    for (let entry = this.#slots[slot]!; entry !== 0; entry = this.#slots[slot]!) {
      if (this.#hashes[entry - 1] === hash && this.#equals(entry - 1, text, start, end)) return entry - 1;
      slot = (slot + 1) & mask;
    }
    return this.#insert(slot, hash, text, start, end);
  }

  /** Code units of a piece, as a view. */
  unitsOf(piece: number): Uint16Array {
    return this.#units.subarray(this.#starts[piece]!, this.#starts[piece + 1]!);
  }

  #equals(piece: number, text: string, start: number, end: number): boolean {
    const from = this.#starts[piece]!;
    if (this.#starts[piece + 1]! - from !== end - start) return false;
    for (let index = start; index < end; index++) {
      if (this.#units[from + index - start] !== text.charCodeAt(index)) return false;
    }
    return true;
  }

  #insert(slot: number, hash: number, text: string, start: number, end: number): number {
    const piece = this.size++;
    if (piece + 2 > this.#starts.length) this.#starts = grown(this.#starts, piece + 2);
    if (piece + 1 > this.#hashes.length) this.#hashes = grown(this.#hashes, piece + 1);
    const from = this.#starts[piece]!;
    const to = from + end - start;
    if (to > this.#units.length) this.#units = grown(this.#units, to);
    for (let index = start; index < end; index++) this.#units[from + index - start] = text.charCodeAt(index);
    this.#starts[piece + 1] = to;
    this.#hashes[piece] = hash;
    this.#slots[slot] = piece + 1;
    if (this.size * 2 > this.#slots.length) this.#rehash();
    return piece;
  }

  #rehash(): void {
    this.#slots = new Int32Array(this.#slots.length * 2);
    const mask = this.#slots.length - 1;
    for (let piece = 0; piece < this.size; piece++) {
      let slot = this.#hashes[piece]! & mask;
      while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
      this.#slots[slot] = piece + 1;
    }
  }
}
