import { grown } from "./growable.ts";
import { normalizationForm } from "./pattern.ts";
import { PieceTable } from "./piece-table.ts";
import { splitPieces } from "./splitter.ts";

/**
 * Code units of a piece that are counted together. A longer run without any boundary (base64, a genome) is cut, which
 * bounds the length of a token; real words and clauses are far below.
 */
export const maxPieceLength = 8_192;

/** Counts how often each piece of the split pattern occurs. */
export class PieceCounter {
  /** Code units of all texts so far, after normalisation. */
  numCharacters = 0;
  readonly #table = new PieceTable();
  #counts = new Float64Array(1 << 12);

  /** Distinct pieces so far. */
  get numPieces(): number {
    return this.#table.size;
  }

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
    return this.#table.unitsOf(piece);
  }

  #count(text: string, start: number, end: number): void {
    const piece = this.#table.indexOf(text, start, end);
    if (piece >= this.#counts.length) this.#counts = grown(this.#counts, piece + 1);
    this.#counts[piece]! += 1;
  }
}
