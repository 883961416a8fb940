import { RookeryError } from "../base/errors.ts";
import type { CommandContext } from "../base/events.ts";
import { Merging } from "./merging.ts";
import { maxVocabularySize, minVocabularySize, specialTokens } from "./pattern.ts";
import { PieceCounter } from "./piece-counter.ts";
import { SymbolSequence } from "./symbol-sequence.ts";
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
      if (signal?.aborted) {
        throw new RookeryError("INTERRUPTED", "training the tokenizer was stopped", "run it again");
      }
      if (!merging.mergeNext(minFrequency)) break;
      if (numMerges % mergesPerEvent === 0) progress(merging.tokens.length);
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
