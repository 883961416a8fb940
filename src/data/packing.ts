/** Documents into rows of a fixed length: the shape in which the model takes text. */
import type { Shard } from "./shard.ts";

/** A source of tokenised documents, by name. */
export type TokenSource = { name: string; shard: Shard };

/**
 * A batch of T = rows · sequenceLength tokens, flattened row by row. A row is filled from consecutive documents;
 * a document cut by the end of a row continues in the next row as a new sequence, which cannot see the first part.
 */
export type PackedBatch = {
  rows: number;
  sequenceLength: number;
  /** [T] */
  tokens: Int32Array;
  /** [T] The next token of the same document, also across the end of a row; −1 where there is none. */
  targets: Int32Array;
  /** [T] 0-based, within the sequence. */
  positions: Int32Array;
  /** [2·n] Pairs (start, length) over the T tokens, in order and without gaps: attention stays inside of each. */
  sequences: Int32Array;
};

/** The part of a document that has not been packed yet, in tokens from the start of its shard. */
export type Piece = { shard: Shard; start: number; end: number };

/**
 * Packs one batch. `next` gives the piece that a row, which has room for so many tokens, goes on with, whose `start` is moved on as it is used, or null when there
 * are no more: the rest is then filled with `padToken`, as sequences of their own without targets.
 */
export function packBatch(
  rows: number,
  sequenceLength: number,
  next: (row: number, room: number) => Piece | null,
  padToken: number,
): PackedBatch {
  const total = rows * sequenceLength;
  const tokens = new Int32Array(total).fill(padToken);
  const targets = new Int32Array(total).fill(-1);
  const positions = new Int32Array(total);
  const sequences: number[] = [];
  // One more than a row, so that the target of a row's last token is read together with it.
  const scratch = new Int32Array(sequenceLength + 1);
  for (let row = 0; row < rows; row++) {
    const end = (row + 1) * sequenceLength;
    for (let at = row * sequenceLength; at < end; ) {
      const piece = next(row, end - at);
      const length = piece === null ? end - at : Math.min(end - at, piece.end - piece.start);
      if (piece !== null) {
        const read = Math.min(length + 1, piece.end - piece.start);
        piece.shard.readTokens(piece.start, read, scratch, 0);
        tokens.set(scratch.subarray(0, length), at);
        targets.set(scratch.subarray(1, read), at);
        piece.start += length;
      }
      for (let i = 0; i < length; i++) positions[at + i] = i;
      sequences.push(at, length);
      at += length;
    }
  }
  return { rows, sequenceLength, tokens, targets, positions, sequences: Int32Array.from(sequences) };
}
