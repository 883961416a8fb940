import { grown } from "./growable.ts";
import { normalizationForm } from "./pattern.ts";
import { splitPieces } from "./splitter.ts";

/**
 * Code units of a piece that are counted together. A longer run without any boundary (base64, a genome) is cut, which
 * bounds the length of a token; real words and clauses are far below.
 */
export const maxPieceLength = 8_192;

/**
 * Counts how often each piece of the split pattern occurs. Pieces lie in one array of code units behind a hash table:
 * no strings are made, since a piece cut from a text would keep that whole text in memory.
 */
export class PieceCounter {
  /** Distinct pieces so far. */
  numPieces = 0;
  /** Code units of all texts so far, after normalisation. */
  numCharacters = 0;
  #units = new Uint16Array(1 << 16);
  #starts = new Int32Array(1 << 12);
  #hashes = new Int32Array(1 << 12);
  #counts = new Float64Array(1 << 12);
  /** Piece index + 1, or 0 for a free slot; the length is a power of two. */
  #slots = new Int32Array(1 << 13);

  /** Normalises a text and counts its pieces. A text is taken by itself: no piece reaches over its ends. */
  add(text: string): void {
    const normal = text.toWellFormed().normalize(normalizationForm);
    this.numCharacters += normal.length;
    splitPieces(normal, (start, end) => {
      let from = start;
      while (end - from > maxPieceLength) {
        // A surrogate pair is one character and stays whole.
        const cut = from + maxPieceLength;
        const unit = normal.charCodeAt(cut);
        const next = unit >= 0xdc00 && unit < 0xe000 ? cut - 1 : cut;
        this.#count(normal, from, next);
        from = next;
      }
      this.#count(normal, from, end);
    });
  }

  countOf(piece: number): number {
    return this.#counts[piece]!;
  }

  /** Code units of a piece, as a view. */
  unitsOf(piece: number): Uint16Array {
    return this.#units.subarray(this.#starts[piece]!, this.#starts[piece + 1]!);
  }

  #count(text: string, start: number, end: number): void {
    let hash = 0x811c9dc5;
    for (let index = start; index < end; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
    hash ^= hash >>> 15; // the low bits choose the slot, and the product mixes them least
    const mask = this.#slots.length - 1;
    let slot = hash & mask;
    for (let entry = this.#slots[slot]!; entry !== 0; entry = this.#slots[slot]!) {
      if (this.#hashes[entry - 1] === hash && this.#equals(entry - 1, text, start, end)) {
        this.#counts[entry - 1]! += 1;
        return;
      }
      slot = (slot + 1) & mask;
    }
    this.#insert(slot, hash, text, start, end);
  }

  #equals(piece: number, text: string, start: number, end: number): boolean {
    const from = this.#starts[piece]!;
    if (this.#starts[piece + 1]! - from !== end - start) return false;
    for (let index = start; index < end; index++) {
      if (this.#units[from + index - start] !== text.charCodeAt(index)) return false;
    }
    return true;
  }

  #insert(slot: number, hash: number, text: string, start: number, end: number): void {
    const piece = this.numPieces++;
    if (piece + 2 > this.#starts.length) this.#starts = grown(this.#starts, piece + 2);
    if (piece + 1 > this.#counts.length) {
      this.#counts = grown(this.#counts, piece + 1);
      this.#hashes = grown(this.#hashes, piece + 1);
    }
    const from = this.#starts[piece]!;
    const to = from + end - start;
    if (to > this.#units.length) this.#units = grown(this.#units, to);
    for (let index = start; index < end; index++) this.#units[from + index - start] = text.charCodeAt(index);
    this.#starts[piece + 1] = to;
    this.#hashes[piece] = hash;
    this.#counts[piece] = 1;
    this.#slots[slot] = piece + 1;
    if (this.numPieces * 2 > this.#slots.length) this.#rehash();
  }

  #rehash(): void {
    this.#slots = new Int32Array(this.#slots.length * 2);
    const mask = this.#slots.length - 1;
    for (let piece = 0; piece < this.numPieces; piece++) {
      let slot = this.#hashes[piece]! & mask;
      while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
      this.#slots[slot] = piece + 1;
    }
  }
}
