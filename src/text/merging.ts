import { bytesInIdOrder, spellBytes } from "./byte-alphabet.ts";
import { grown } from "./growable.ts";
import { MergeQueue, type QueuedMerge } from "./merge-queue.ts";
import { PairTable } from "./pair-table.ts";
import { maxVocabularySize } from "./pattern.ts";
import { pieceBoundary, type SymbolSequence } from "./symbol-sequence.ts";
import type { BpeVocabulary } from "./tokenizer-file.ts";

/** One run of BPE over the pieces: merges the most frequent pair of neighbouring tokens, one at a time. */
export class Merging {
  /** Spelling of each id so far; the 256 bytes come first. */
  readonly tokens: string[];
  readonly #sequence: SymbolSequence;
  readonly #pairs = new PairTable();
  readonly #queue: MergeQueue;
  readonly #merges: number[] = [];
  readonly #gains = new NeighborGains();

  constructor(sequence: SymbolSequence) {
    this.#sequence = sequence;
    this.tokens = Array.from(bytesInIdOrder, (byte) => spellBytes(Uint8Array.of(byte)));
    this.#queue = new MergeQueue(this.#pairs);
    this.#queueBytePairs();
  }

  /** Merges the most frequent pair; false when no pair is frequent enough. */
  mergeNext(minFrequency: number): boolean {
    const next = this.#queue.pop();
    if (next === undefined || this.#pairs.countOf(next.pair) < minFrequency) return false;
    this.#merges.push(next.pair);
    // Always a new token: no merge crosses the ends of a token, so within it the same merges happened in the same order
    // wherever it stands, and no other pair can have made it.
    const id = this.tokens.length;
    this.tokens.push(this.tokens[this.#pairs.leftOf(next.pair)]! + this.tokens[this.#pairs.rightOf(next.pair)]!);
    this.#join(next, id);
    this.#settle(next.pair, id);
    return true;
  }

  result(): BpeVocabulary {
    const merges = this.#merges.map((pair): [string, string] => {
      return [this.tokens[this.#pairs.leftOf(pair)]!, this.tokens[this.#pairs.rightOf(pair)]!];
    });
    return { tokens: this.tokens, merges };
  }

  /** Counts the pairs of bytes and queues each with its places: a counting sort over a table of 256 × 256. */
  #queueBytePairs(): void {
    const sequence = this.#sequence;
    const counts = new Float64Array(1 << 16);
    const lengths = new Int32Array(1 << 16);
    const forEachPair = (visit: (key: number, cell: number) => void): void => {
      for (let cell = 1; cell + 1 < sequence.length; cell++) {
        const left = sequence.at(cell);
        const right = sequence.at(cell + 1);
        if (left !== pieceBoundary && right !== pieceBoundary) visit((left << 8) | right, cell);
      }
    };
    forEachPair((key, cell) => {
      counts[key]! += sequence.weightAt(cell);
      lengths[key]!++;
    });
    const start = this.#queue.reserve(lengths.reduce((sum, length) => sum + length, 0));
    const ends = runStarts(lengths, lengths.length, start);
    const { positions } = this.#queue;
    forEachPair((key, cell) => {
      positions[ends[key]!++] = cell;
    });
    for (let key = 0; key < lengths.length; key++) {
      const length = lengths[key]!;
      if (length === 0) continue;
      const pair = this.#pairs.indexOf(key >> 8, key & 0xff);
      this.#pairs.addTo(pair, counts[key]!);
      this.#queue.push(pair, ends[key]! - length, length);
    }
  }

  /** Joins a pair into `id` at each of its places that still holds it, and notes the new neighbours. */
  #join(merge: QueuedMerge, id: number): void {
    const sequence = this.#sequence;
    const gains = this.#gains;
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
      if (beforeId !== pieceBoundary) gains.add(beforeId, before, weight);
      const afterId = sequence.at(after);
      if (afterId !== pieceBoundary) gains.add(afterId + maxVocabularySize, cell, weight);
    }
  }

  /** Moves what each neighbour of a joined pair gained from the old pair to the new one, and queues the new ones. */
  #settle(joined: number, id: number): void {
    const pairs = this.#pairs;
    const gains = this.#gains;
    const left = pairs.leftOf(joined);
    const right = pairs.rightOf(joined);
    const start = this.#queue.reserve(gains.numPlaces);
    gains.sortPlaces(this.#queue.positions, start);
    const newPairs = new Int32Array(gains.size);
    for (let index = 0; index < gains.size; index++) {
      const key = gains.keyOf(index);
      const isBefore = key < maxVocabularySize;
      const neighbor = isBefore ? key : key - maxVocabularySize;
      const lost = isBefore ? pairs.indexOf(neighbor, left) : pairs.indexOf(right, neighbor);
      const gained = isBefore ? pairs.indexOf(neighbor, id) : pairs.indexOf(id, neighbor);
      pairs.addTo(lost, -gains.weightOf(index));
      pairs.addTo(gained, gains.weightOf(index));
      newPairs[index] = gained;
    }
    // Queued only now: a pair that one neighbour gained, another may have lost in the same merge.
    let place = start;
    for (let index = 0; index < gains.size; index++) {
      const length = gains.lengthOf(index);
      if (pairs.countOf(newPairs[index]!) > 0) this.#queue.push(newPairs[index]!, place, length);
      place += length;
    }
    gains.clear();
  }
}

/**
 * What one merge gives to each neighbour. Only a few thousand distinct ones stand beside millions of places, so sums
 * are kept by neighbour and reach the table of pairs once for each.
 */
class NeighborGains {
  /** Distinct keys so far. */
  size = 0;
  numPlaces = 0;
  /** Key → index + 1; keys are the ids of neighbours before, and `maxVocabularySize` + those of neighbours after. */
  readonly #indexOf = new Int32Array(2 * maxVocabularySize);
  #keys = new Int32Array(1 << 10);
  #weights = new Float64Array(1 << 10);
  #lengths = new Int32Array(1 << 10);
  #placeIndex = new Int32Array(1 << 12);
  #placeCell = new Int32Array(1 << 12);

  add(key: number, cell: number, weight: number): void {
    let index = this.#indexOf[key]! - 1;
    if (index < 0) {
      index = this.size++;
      this.#indexOf[key] = index + 1;
      if (index >= this.#keys.length) {
        this.#keys = grown(this.#keys, index + 1);
        this.#weights = grown(this.#weights, index + 1);
        this.#lengths = grown(this.#lengths, index + 1);
      }
      this.#keys[index] = key;
      this.#weights[index] = 0;
      this.#lengths[index] = 0;
    }
    this.#weights[index]! += weight;
    this.#lengths[index]!++;
    const place = this.numPlaces++;
    if (place >= this.#placeIndex.length) {
      this.#placeIndex = grown(this.#placeIndex, place + 1);
      this.#placeCell = grown(this.#placeCell, place + 1);
    }
    this.#placeIndex[place] = index;
    this.#placeCell[place] = cell;
  }

  keyOf(index: number): number {
    return this.#keys[index]!;
  }

  weightOf(index: number): number {
    return this.#weights[index]!;
  }

  lengthOf(index: number): number {
    return this.#lengths[index]!;
  }

  /** Writes the cells to `target` from `start` on, one run a key in index order, each run in the order of adding. */
  sortPlaces(target: Int32Array, start: number): void {
    const ends = runStarts(this.#lengths, this.size, start);
    for (let place = 0; place < this.numPlaces; place++) {
      target[ends[this.#placeIndex[place]!]!++] = this.#placeCell[place]!;
    }
  }

  clear(): void {
    for (let index = 0; index < this.size; index++) this.#indexOf[this.#keys[index]!] = 0;
    this.size = 0;
    this.numPlaces = 0;
  }
}

/** Where each run begins when runs of these lengths lie one after the other from `start` on. */
function runStarts(lengths: Int32Array, numRuns: number, start: number): Int32Array {
  const starts = new Int32Array(numRuns);
  for (let run = 0, next = start; run < numRuns; run++) {
    starts[run] = next;
    next += lengths[run]!;
  }
  return starts;
}
