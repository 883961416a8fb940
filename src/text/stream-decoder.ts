import type { TokenTable } from "./token-table.ts";

/**
 * Turns ids into text one at a time, for streaming: a character is given out when its last byte has come, never in
 * parts. What all calls return, joined, equals `Tokenizer.decode` of all ids.
 */
export class StreamDecoder {
  readonly #table: TokenTable;
  readonly #skipSpecialTokens: boolean;
  // The byte order mark is text like any other here: dropping it would lose a character.
  readonly #utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

  constructor(table: TokenTable, options: { skipSpecialTokens?: boolean } = {}) {
    this.#table = table;
    this.#skipSpecialTokens = options.skipSpecialTokens ?? false;
  }

  /** The text that `id` completes; often empty. Throws `INVALID_OPTION` on an id that is not in the vocabulary. */
  push(id: number): string {
    const bytes = this.#table.bytesOf(id);
    if (this.#skipSpecialTokens && this.#table.isSpecial(id)) return "";
    return this.#utf8.decode(bytes, { stream: true });
  }

  /** What is left at the end: U+FFFD for a character that never became whole. The decoder can be used anew afterwards. */
  flush(): string {
    return this.#utf8.decode();
  }
}
