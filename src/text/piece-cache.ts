import type { EncodingEngine } from "./encoding-engine.ts";
import { grown } from "./growable.ts";
import { PieceTable } from "./piece-table.ts";
import { splitPieces } from "./splitter.ts";

// Beyond this many code units the cache starts anew: a text of ever new pieces must not fill the memory.
const defaultMaxUnits = 1 << 24;

/**
 * Remembers the ids of pieces of the split pattern. Natural text repeats its words, so nearly all of it is looked up,
 * ten times as fast as encoding it; the pieces that are new are encoded by the package. Exact, since BPE never looks
 * beyond a piece and the pattern leaves a piece whole when it stands alone.
 */
export class PieceCache {
  /** Encodes without normalising and without special tokens. */
  readonly #engine: EncodingEngine;
  #table = new PieceTable();
  #ids = new Int32Array(1 << 12);
  /** Ids of piece `p` are `#ids[#ends[p - 1], #ends[p])`. */
  #ends = new Int32Array(1 << 10);
  /** Pieces in the order of the texts. */
  #sequence = new Int32Array(1 << 12);
  #queue: Promise<unknown> = Promise.resolve();

  readonly #maxUnits: number;

  constructor(engine: EncodingEngine, maxUnits: number = defaultMaxUnits) {
    this.#engine = engine;
    this.#maxUnits = maxUnits;
  }

  /** Ids of each of the well-formed, normalised texts. Calls wait for each other: they share what is remembered. */
  encodeAll(texts: readonly string[]): Promise<Int32Array[]> {
    const result = this.#queue.then(() => this.#encodeAll(texts));
    this.#queue = result.catch(() => this.#forget());
    return result;
  }

  async #encodeAll(texts: readonly string[]): Promise<Int32Array[]> {
    if (this.#table.numUnits > this.#maxUnits) this.#forget();
    const numKnown = this.#table.size;
    const newPieces: string[] = [];
    let length = 0;
    const ends = texts.map((text) => {
      splitPieces(text, (start, end) => {
        const piece = this.#table.indexOf(text, start, end);
        if (piece === numKnown + newPieces.length) newPieces.push(text.slice(start, end));
        if (length >= this.#sequence.length) this.#sequence = grown(this.#sequence, length + 1);
        this.#sequence[length++] = piece;
      });
      return length;
    });
    if (newPieces.length > 0) this.#remember(numKnown, await this.#engine.encodeAll(newPieces));
    let start = 0;
    return ends.map((end) => {
      const ids = this.#idsOf(start, end);
      start = end;
      return ids;
    });
  }

  #remember(firstPiece: number, encoded: readonly Int32Array[]): void {
    let end = this.#endOf(firstPiece - 1);
    for (const [index, ids] of encoded.entries()) {
      const piece = firstPiece + index;
      if (piece >= this.#ends.length) this.#ends = grown(this.#ends, piece + 1);
      if (end + ids.length > this.#ids.length) this.#ids = grown(this.#ids, end + ids.length);
      this.#ids.set(ids, end);
      end += ids.length;
      this.#ends[piece] = end;
    }
  }

  #endOf(piece: number): number {
    return piece < 0 ? 0 : this.#ends[piece]!;
  }

  /** Ids of the pieces `#sequence[start, end)`. */
  #idsOf(start: number, end: number): Int32Array {
    let length = 0;
    for (let place = start; place < end; place++) {
      const piece = this.#sequence[place]!;
      length += this.#endOf(piece) - this.#endOf(piece - 1);
    }
    const all = new Int32Array(length);
    let next = 0;
    for (let place = start; place < end; place++) {
      const piece = this.#sequence[place]!;
      const last = this.#endOf(piece);
      for (let index = this.#endOf(piece - 1); index < last; index++) all[next++] = this.#ids[index]!;
    }
    return all;
  }

  #forget(): void {
    this.#table = new PieceTable();
  }
}
