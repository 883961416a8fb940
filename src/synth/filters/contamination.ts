/** Records that hold an item of an evaluation set, word for word or lightly edited: found by the share of its n-grams. */
import { gramHashes, textHash, tokensOf } from "./shingles.ts";

/** Pairs of words stand an edited word better than longer sequences do; characters say less each. */
const sizes = { words: 2, characters: 2 };
/** A long item is looked for in pieces, and in windows that hold a whole piece wherever it begins. */
const pieceTokens = 64;
const windowTokens = 2 * pieceTokens;
/** Grams that more pieces than this have are the words of a template, and tell nothing. */
const mostPieces = 64;
/** Pieces below this many tokens count only where they are found whole. */
const shortTokens = 6;
/** Below this many, a piece is found only where all its numbers are: with another number it asks something else. */
const numberedTokens = 32;
/**
 * Pieces whose grams are shared by more others than this, on average, are made of a template's sentences: they count only where
 * nearly all of them is found.
 */
const templateSharers = 4;
const templateShare = 0.9;

/** Of an evaluation set: what a person reads of where an item was found. */
export type EvaluationItem = { set: string; where: string };
export type Overlap = EvaluationItem & { share: number };

/** Pieces above this number would not fit beside a gram in the 53 bits of a key. */
const mostKeys = 2 ** 21;

/**
 * An index of all evaluation items. A gram counts by how few pieces have it: of items made from a template the words that differ
 * decide, so that "7 times 8" in the set does not bar "7 times 9" from the data.
 */
export class ContaminationIndex {
  readonly #items: EvaluationItem[] = [];
  readonly #whole = new Map<number, number>();
  readonly #pieceItem: number[] = [];
  readonly #pieceTokens: number[] = [];
  /** Hashes of the numbers in each short piece. */
  readonly #pieceNumbers: (readonly number[])[] = [];
  /** gram × 2²¹ + piece, sorted once all items are there. */
  #keys: number[] = [];
  #sorted = new Float64Array(0);
  /** [pieces] Number of grams, and the sum of their weights, of those that count. */
  #grams = new Uint32Array(0);
  #weights = new Float64Array(0);

  get items(): number {
    return this.#items.length;
  }

  /** @param text one text of the item. @param isQuestion short texts count only if they ask: "Paris" alone is no leak. */
  add(item: EvaluationItem, text: string, isQuestion: boolean): void {
    const tokens = tokensOf(text);
    if (tokens.length === 0 || (!isQuestion && tokens.length < 2 * shortTokens)) return;
    const number = this.#items.push(item) - 1;
    if (isQuestion) this.#whole.set(textHash(text), number);
    for (let start = 0; start < tokens.length; start += pieceTokens) {
      // The rest of a long item joins its last piece rather than being a short one.
      const left = tokens.length - start;
      const end = left < 1.5 * pieceTokens ? tokens.length : start + pieceTokens;
      this.#addPiece(number, tokens.slice(start, end));
      if (end === tokens.length) break;
    }
    this.#sorted = new Float64Array(0);
  }

  #addPiece(item: number, tokens: string[]): void {
    const piece = this.#pieceItem.push(item) - 1;
    if (piece >= mostKeys) throw new RangeError(`more than ${mostKeys} pieces of evaluation items`);
    this.#pieceTokens.push(tokens.length);
    this.#pieceNumbers.push(tokens.length < numberedTokens ? numbersOf(tokens) : []);
    for (const gram of new Set(gramHashes(tokens, sizes))) this.#keys.push(gram * mostKeys + piece);
  }

  /** Sorts the grams and weighs them. */
  #settle(): void {
    this.#sorted = Float64Array.from(this.#keys).sort();
    this.#grams = new Uint32Array(this.#pieceItem.length);
    this.#weights = new Float64Array(this.#pieceItem.length);
    for (let start = 0; start < this.#sorted.length; ) {
      const end = this.#endOfGram(start);
      for (let at = start; at < end && end - start <= mostPieces; at++) {
        const piece = this.#sorted[at]! % mostKeys;
        this.#grams[piece]! += 1;
        this.#weights[piece]! += 1 / (end - start);
      }
      start = end;
    }
  }

  #endOfGram(start: number): number {
    const gram = Math.floor(this.#sorted[start]! / mostKeys);
    let end = start + 1;
    while (end < this.#sorted.length && Math.floor(this.#sorted[end]! / mostKeys) === gram) end++;
    return end;
  }

  /** The item that overlaps most with the texts, if at least `threshold` of its grams do. */
  find(texts: readonly string[], threshold: number): Overlap | undefined {
    if (this.#sorted.length !== this.#keys.length) this.#settle();
    for (const text of texts) {
      const whole = this.#whole.get(textHash(text));
      if (whole !== undefined) return { ...this.#items[whole]!, share: 1 };
    }
    const tokens = texts.flatMap(tokensOf);
    const grams = gramHashes(tokens, sizes);
    let best: Overlap | undefined;
    for (let start = 0; start === 0 || start + pieceTokens < grams.length; start += pieceTokens) {
      const numbers = new Set(numbersOf(tokens.slice(start, start + windowTokens)));
      const found = this.#findInWindow(grams.subarray(start, start + windowTokens), numbers, threshold);
      if (found && found.share > (best?.share ?? 0)) best = found;
    }
    return best;
  }

  #findInWindow(grams: Uint32Array, numbers: ReadonlySet<number>, threshold: number): Overlap | undefined {
    const sums = new Map<number, { grams: number; weight: number }>();
    for (const gram of new Set(grams)) {
      const start = this.#firstOf(gram);
      if (start === undefined) continue;
      const end = this.#endOfGram(start);
      if (end - start > mostPieces) continue;
      for (let at = start; at < end; at++) {
        const piece = this.#sorted[at]! % mostKeys;
        const sum = sums.get(piece) ?? { grams: 0, weight: 0 };
        sums.set(piece, { grams: sum.grams + 1, weight: sum.weight + 1 / (end - start) });
      }
    }
    let best: Overlap | undefined;
    for (const [piece, sum] of sums) {
      const share = Math.min(sum.grams / this.#grams[piece]!, sum.weight / this.#weights[piece]!);
      if (share < this.#neededShare(piece, threshold) || share <= (best?.share ?? 0)) continue;
      if (this.#pieceNumbers[piece]!.every((number) => numbers.has(number)))
        best = { ...this.#items[this.#pieceItem[piece]!]!, share };
    }
    return best;
  }

  #neededShare(piece: number, threshold: number): number {
    if (this.#pieceTokens[piece]! < shortTokens) return 1 - 1e-9;
    const isTemplate = this.#weights[piece]! * templateSharers < this.#grams[piece]!;
    return isTemplate ? Math.max(templateShare, threshold) : threshold;
  }

  #firstOf(gram: number): number | undefined {
    const least = gram * mostKeys;
    let [low, high] = [0, this.#sorted.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#sorted[middle]! < least) low = middle + 1;
      else high = middle;
    }
    return low < this.#sorted.length && this.#sorted[low]! < least + mostKeys ? low : undefined;
  }
}

const numbersOf = (tokens: readonly string[]): number[] =>
  tokens.filter((token) => /^\d+$/.test(token)).map((token) => textHash(token));
