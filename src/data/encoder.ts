/** What the data needs of a tokenizer. */
import type { Tokenizer } from "../text/tokenizer.ts";

/** What turns documents into tokens. Special tokens written out in a document must come back as ordinary text. */
export type DocumentEncoder = {
  /** The tokens of each text, without start and end. */
  encodeBatch(texts: string[]): Promise<ArrayLike<number>[]>;
  startOfText: number;
  endOfText: number;
  vocabularySize: number;
  /** Different for tokenizers that may give different tokens. */
  fingerprint: string;
};

/** @param fingerprint names the tokenizer exactly: the SHA-256 of its `tokenizer.json`. */
export function documentEncoder(tokenizer: Tokenizer, fingerprint: string): DocumentEncoder {
  return {
    encodeBatch: (texts) => tokenizer.encodeBatch(texts),
    startOfText: tokenizer.controlId("startOfText"),
    endOfText: tokenizer.controlId("endOfText"),
    vocabularySize: tokenizer.vocabularySize,
    fingerprint,
  };
}
