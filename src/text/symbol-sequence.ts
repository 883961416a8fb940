import { idOfByte } from "./byte-alphabet.ts";
import type { PieceCounter } from "./piece-counter.ts";

/** Between pieces, where nothing merges. */
export const pieceBoundary = -1;
/** Inside a token that was merged, but for its first cell. */
const merged = -2;

/**
 * All pieces as sequences of token ids, one cell a byte, with a boundary between pieces. A token of n bytes keeps its
 * n cells: its id in the first, its span in the first and the last, so that both neighbours are found in one step and
 * a merge costs the same in a word as in a line without spaces.
 */
export class SymbolSequence {
  readonly length: number;
  readonly #symbols: Int32Array;
  readonly #spans: Uint16Array;
  readonly #weights: Float64Array;
  readonly #pieceOf: Int32Array;

  /** Pieces of a single byte have no pairs and are left out. */
  constructor(pieces: PieceCounter) {
    const kept: Int32Array = new Int32Array(pieces.numPieces);
    let numKept = 0;
    let numCells = 1;
    for (let piece = 0; piece < pieces.numPieces; piece++) {
      const bytes = utf8Length(pieces.unitsOf(piece));
      if (bytes < 2) continue;
      kept[numKept++] = piece;
      numCells += bytes + 1;
    }
    this.length = numCells;
    this.#symbols = new Int32Array(numCells).fill(pieceBoundary);
    this.#spans = new Uint16Array(numCells).fill(1);
    this.#pieceOf = new Int32Array(numCells);
    this.#weights = new Float64Array(numKept);
    let cell = 1;
    for (let index = 0; index < numKept; index++) {
      const piece = kept[index]!;
      this.#weights[index] = pieces.countOf(piece);
      const end = writeIds(pieces.unitsOf(piece), this.#symbols, cell);
      this.#pieceOf.fill(index, cell, end);
      cell = end + 1;
    }
  }

  /** Id at a cell; `pieceBoundary` between pieces, or another negative value inside a token. */
  at(cell: number): number {
    return this.#symbols[cell]!;
  }

  /** First cell of the token after the one that starts at `cell`. */
  after(cell: number): number {
    return cell + this.#spans[cell]!;
  }

  /** First cell of the token before the one that starts at `cell`. */
  before(cell: number): number {
    return cell - this.#spans[cell - 1]!;
  }

  /** How often the piece around `cell` occurs in the text. */
  weightAt(cell: number): number {
    return this.#weights[this.#pieceOf[cell]!]!;
  }

  /** Makes the tokens that start at `left` and at `right`, its neighbour, one token. */
  join(left: number, right: number, id: number): void {
    const span = this.#spans[left]! + this.#spans[right]!;
    this.#symbols[right] = merged;
    this.#symbols[left] = id;
    this.#spans[left] = span;
    this.#spans[left + span - 1] = span;
  }
}

function utf8Length(units: Uint16Array): number {
  let length = 0;
  for (const unit of units) {
    // Half of the four bytes of a character beyond the basic plane for each of its surrogates.
    length += unit < 0x80 ? 1 : unit < 0x800 || (unit >= 0xd800 && unit < 0xe000) ? 2 : 3;
  }
  return length;
}

/** Writes the ids of the UTF-8 bytes of `units` from `cell` on; returns the cell after the last. */
function writeIds(units: Uint16Array, symbols: Int32Array, cell: number): number {
  let next = cell;
  for (let index = 0; index < units.length; index++) {
    let codePoint = units[index]!;
    if (codePoint >= 0xd800 && codePoint < 0xdc00) {
      codePoint = 0x10000 + ((codePoint - 0xd800) << 10) + (units[++index]! - 0xdc00);
    }
    if (codePoint < 0x80) {
      symbols[next++] = idOfByte[codePoint]!;
      continue;
    }
    if (codePoint < 0x800) symbols[next++] = idOfByte[0xc0 | (codePoint >> 6)]!;
    else {
      if (codePoint < 0x10000) symbols[next++] = idOfByte[0xe0 | (codePoint >> 12)]!;
      else {
        symbols[next++] = idOfByte[0xf0 | (codePoint >> 18)]!;
        symbols[next++] = idOfByte[0x80 | ((codePoint >> 12) & 0x3f)]!;
      }
      symbols[next++] = idOfByte[0x80 | ((codePoint >> 6) & 0x3f)]!;
    }
    symbols[next++] = idOfByte[0x80 | (codePoint & 0x3f)]!;
  }
  return next;
}
