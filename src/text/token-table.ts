import { RookeryError } from "../base/errors.ts";

/** What one id stands for. */
export type TokenEntry = { id: number; bytes: Uint8Array; special: boolean };

/**
 * The bytes of every token, in one block of memory. Decoding is a matter of copying them: it is lossless whatever the
 * bytes are, also where a token holds part of a character.
 */
export class TokenTable {
  /** One more than the largest id: rows of the embedding that have a meaning. */
  readonly size: number;
  /**
   * Bytes of text that each id stands for, int32 [size]; 0 for special tokens and for unused ids, which are no text.
   * Bits per byte divides by sums of these.
   */
  readonly textByteLengths: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #offsets: Int32Array;
  /** 0 unused, 1 text, 2 special. */
  readonly #kinds: Uint8Array;

  /** `entries` may come in any order but must not repeat an id; ids between them are unused. */
  constructor(entries: readonly TokenEntry[]) {
    const size = entries.reduce((largest, entry) => Math.max(largest, entry.id + 1), 0);
    const lengths = new Int32Array(size);
    this.size = size;
    this.textByteLengths = new Int32Array(size);
    this.#kinds = new Uint8Array(size);
    for (const { id, bytes, special } of entries) {
      lengths[id] = bytes.length;
      this.textByteLengths[id] = special ? 0 : bytes.length;
      this.#kinds[id] = special ? 2 : 1;
    }
    this.#offsets = new Int32Array(size + 1);
    for (let id = 0; id < size; id++) this.#offsets[id + 1] = this.#offsets[id]! + lengths[id]!;
    this.#bytes = new Uint8Array(this.#offsets[size]!);
    for (const { id, bytes } of entries) this.#bytes.set(bytes, this.#offsets[id]!);
  }

  isSpecial(id: number): boolean {
    return this.#kinds[id] === 2;
  }

  /** A view of the bytes of `id`. Throws `INVALID_OPTION` when the vocabulary has no such id. */
  bytesOf(id: number): Uint8Array {
    if (!Number.isInteger(id) || id < 0 || id >= this.size || this.#kinds[id] === 0) {
      throw new RookeryError(
        "INVALID_OPTION",
        `token id ${id} is not in the vocabulary, which has ids 0 to ${this.size - 1}`,
        "decode with the tokenizer that made the ids",
      );
    }
    return this.#bytes.subarray(this.#offsets[id]!, this.#offsets[id + 1]!);
  }

  /** The bytes of `ids`, one after the other. */
  concatenate(ids: ArrayLike<number>, skipSpecialTokens: boolean): Uint8Array {
    let length = 0;
    for (let index = 0; index < ids.length; index++) {
      const id = ids[index]!;
      const { length: bytes } = this.bytesOf(id);
      if (!(skipSpecialTokens && this.isSpecial(id))) length += bytes;
    }
    const all = new Uint8Array(length);
    let offset = 0;
    for (let index = 0; index < ids.length; index++) {
      const id = ids[index]!;
      if (skipSpecialTokens && this.isSpecial(id)) continue;
      const bytes = this.bytesOf(id);
      all.set(bytes, offset);
      offset += bytes.length;
    }
    return all;
  }
}
