import { RookeryError } from "../base/errors.ts";
import type { CommandContext } from "../base/events.ts";
import { bytesInIdOrder, spellBytes } from "./byte-alphabet.ts";
import { MergeQueue, type QueuedMerge } from "./merge-queue.ts";
import { PairTable } from "./pair-table.ts";
import { maxVocabularySize, minVocabularySize, specialTokens } from "./pattern.ts";
import { PieceCounter } from "./piece-counter.ts";
import { pieceBoundary, SymbolSequence } from "./symbol-sequence.ts";
import type { BpeVocabulary } from "./tokenizer-file.ts";

export type BpeTrainingOptions = CommandContext & {
  /** Tokens in total: bytes, merges and the special tokens. */
  vocabularySize: number;
  /** A pair that occurs less often is not merged, even if the vocabulary stays smaller for it. Default 1. */
  minFrequency?: number;
};

const mergesPerEvent = 512;

/**
 * Byte-level BPE training: the text is normalised and split as Hunyuan-Large's tokenizer does it, then the most
 * frequent pair of neighbouring tokens is merged again and again. The merges are those of the trainer in Hugging
 * Face's `tokenizers`, ties included, whatever the order of the texts.
 */
export class BpeTrainer {
  readonly #pieces = new PieceCounter();

  /** Code units of all texts so far. */
  get numCharacters(): number {
    return this.#pieces.numCharacters;
  }

  /** Counts a text. Texts are apart: nothing merges across their ends. */
  add(text: string): void {
    this.#pieces.add(text);
  }

  /**
   * Learns the vocabulary; can be called again with other sizes. A text too small for the size gives a smaller
   * vocabulary and a warning. Throws `INVALID_OPTION` on a size out of range, `BAD_DATA` when there was no text, and
   * `INTERRUPTED` when the signal was raised.
   */
  train(options: BpeTrainingOptions): BpeVocabulary {
    const { vocabularySize, minFrequency = 1, signal, onEvent } = options;
    checkSizes(vocabularySize, minFrequency);
    if (this.#pieces.numCharacters === 0) {
      throw new RookeryError("BAD_DATA", "there is no text to train a tokenizer on", "give data that has text in it");
    }
    const numTokens = vocabularySize - specialTokens.length;
    const progress = (done: number): void =>
      onEvent?.({ type: "progress", what: "training the tokenizer", done, total: numTokens, unit: "tokens" });

    const merging = new Merging(new SymbolSequence(this.#pieces));
    progress(merging.tokens.length);
    for (let numMerges = 1; merging.tokens.length < numTokens; numMerges++) {
      if (!merging.mergeNext(minFrequency)) break;
      if (numMerges % mergesPerEvent === 0) {
        if (signal?.aborted) {
          throw new RookeryError("INTERRUPTED", "training the tokenizer was stopped", "run it again");
        }
        progress(merging.tokens.length);
      }
    }
    progress(merging.tokens.length);
    if (merging.tokens.length < numTokens) {
      const reached = merging.tokens.length + specialTokens.length;
      const message = `the text has pairs for a vocabulary of ${reached} only; ${vocabularySize} were asked for`;
      onEvent?.({ type: "warning", message });
    }
    return merging.result();
  }
}

/** One run of merges over the pieces. */
class Merging {
  /** Spelling of each id so far. */
  readonly tokens: string[];
  readonly #idOf: Map<string, number>;
  readonly #sequence: SymbolSequence;
  readonly #pairs = new PairTable();
  readonly #queue: MergeQueue;
  readonly #merges: number[] = [];
  // New pairs of one merge, in the order of their places.
  #newPairs: number[] = [];
  #newCells: number[] = [];

  constructor(sequence: SymbolSequence) {
    this.#sequence = sequence;
    this.tokens = Array.from(bytesInIdOrder, (byte) => spellBytes(Uint8Array.of(byte)));
    this.#idOf = new Map(this.tokens.map((token, id) => [token, id]));
    this.#queue = new MergeQueue(this.#pairs, sequence.length);
    this.#queueAllPairs();
  }

  /** Merges the most frequent pair; false when no pair is frequent enough. */
  mergeNext(minFrequency: number): boolean {
    const next = this.#queue.pop();
    if (next === undefined || this.#pairs.countOf(next.pair) < minFrequency) return false;
    this.#merges.push(next.pair);
    this.#apply(next, this.#idOfMerged(next.pair));
    this.#queueNewPairs();
    return true;
  }

  result(): BpeVocabulary {
    // A pair can be merged twice when a token arose in two ways; the package then keeps the later rank, and so do we.
    const lastPlace = new Map(this.#merges.map((pair, place) => [pair, place]));
    const merges = this.#merges
      .filter((pair, place) => lastPlace.get(pair) === place)
      .map((pair): [string, string] => {
        return [this.tokens[this.#pairs.leftOf(pair)]!, this.tokens[this.#pairs.rightOf(pair)]!];
      });
    return { tokens: this.tokens, merges };
  }

  /** Id of the token that a pair makes: a new one, unless other parts have made the same token before. */
  #idOfMerged(pair: number): number {
    const token = this.tokens[this.#pairs.leftOf(pair)]! + this.tokens[this.#pairs.rightOf(pair)]!;
    let id = this.#idOf.get(token);
    if (id === undefined) {
      id = this.tokens.length;
      this.tokens.push(token);
      this.#idOf.set(token, id);
    }
    return id;
  }

  /** Counts all pairs and sorts their places by pair. */
  #queueAllPairs(): void {
    const sequence = this.#sequence;
    const pairAt = new Int32Array(sequence.length).fill(-1);
    for (let cell = 1; cell + 1 < sequence.length; cell++) {
      const left = sequence.at(cell);
      const right = sequence.at(cell + 1);
      if (left === pieceBoundary || right === pieceBoundary) continue;
      const pair = this.#pairs.indexOf(left, right);
      this.#pairs.addTo(pair, sequence.weightAt(cell));
      pairAt[cell] = pair;
    }
    const lengths = new Int32Array(this.#pairs.size);
    for (const pair of pairAt) if (pair >= 0) lengths[pair]!++;
    const start = this.#queue.reserve(lengths.reduce((sum, length) => sum + length, 0));
    const ends = new Int32Array(lengths.length);
    for (let pair = 0, end = start; pair < lengths.length; pair++) {
      ends[pair] = end;
      end += lengths[pair]!;
    }
    const { positions } = this.#queue;
    for (let cell = 0; cell < pairAt.length; cell++) {
      const pair = pairAt[cell]!;
      if (pair >= 0) positions[ends[pair]!++] = cell;
    }
    for (let pair = 0; pair < lengths.length; pair++) {
      this.#queue.push(pair, ends[pair]! - lengths[pair]!, lengths[pair]!);
    }
  }

  /** Merges a pair at each of its places that still holds it, and notes what its neighbours gain and lose. */
  #apply(merge: QueuedMerge, id: number): void {
    const sequence = this.#sequence;
    const { positions } = this.#queue;
    const left = this.#pairs.leftOf(merge.pair);
    const right = this.#pairs.rightOf(merge.pair);
    for (let index = merge.start; index < merge.start + merge.length; index++) {
      const cell = positions[index]!;
      if (sequence.at(cell) !== left) continue;
      const second = sequence.after(cell);
      if (sequence.at(second) !== right) continue;
      const weight = sequence.weightAt(cell);
      const before = sequence.before(cell);
      const after = sequence.after(second);
      sequence.join(cell, second, id);
      const beforeId = sequence.at(before);
      if (beforeId !== pieceBoundary) {
        this.#pairs.addTo(this.#pairs.indexOf(beforeId, left), -weight);
        this.#gain(beforeId, id, before, weight);
      }
      const afterId = sequence.at(after);
      if (afterId !== pieceBoundary) {
        this.#pairs.addTo(this.#pairs.indexOf(right, afterId), -weight);
        this.#gain(id, afterId, cell, weight);
      }
    }
  }

  #gain(left: number, right: number, cell: number, weight: number): void {
    const pair = this.#pairs.indexOf(left, right);
    this.#pairs.addTo(pair, weight);
    this.#newPairs.push(pair);
    this.#newCells.push(cell);
  }

  /** Queues the pairs that the last merge made, each with its places in rising order. */
  #queueNewPairs(): void {
    const order = new Map<number, number>();
    for (const pair of this.#newPairs) order.set(pair, (order.get(pair) ?? 0) + 1);
    const start = this.#queue.reserve(this.#newPairs.length);
    const { positions } = this.#queue;
    const ends = new Map<number, number>();
    let end = start;
    for (const [pair, length] of order) {
      ends.set(pair, end);
      end += length;
    }
    for (let index = 0; index < this.#newPairs.length; index++) {
      const pair = this.#newPairs[index]!;
      const place = ends.get(pair)!;
      positions[place] = this.#newCells[index]!;
      ends.set(pair, place + 1);
    }
    for (const [pair, length] of order) {
      if (this.#pairs.countOf(pair) > 0) this.#queue.push(pair, ends.get(pair)! - length, length);
    }
    this.#newPairs = [];
    this.#newCells = [];
  }
}

function checkSizes(vocabularySize: number, minFrequency: number): void {
  if (!Number.isInteger(vocabularySize) || vocabularySize < minVocabularySize || vocabularySize > maxVocabularySize) {
    throw new RookeryError(
      "INVALID_OPTION",
      `a vocabulary of ${vocabularySize} tokens cannot be trained`,
      `choose an integer of ${minVocabularySize} to ${maxVocabularySize}`,
    );
  }
  if (!Number.isInteger(minFrequency) || minFrequency < 1) {
    throw new RookeryError("INVALID_OPTION", `minFrequency is ${minFrequency}`, "choose an integer of at least 1");
  }
}
