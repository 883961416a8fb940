/** A JSON array, or JSON values one after another, taken apart without holding more than one element. */

export type JsonElement = {
  /** The bytes of one element, or null when it was over the limit. */
  bytes: Uint8Array | null;
  /** 1-based line at which it starts. */
  line: number;
  /** The input ended inside of it. */
  unfinished: boolean;
};

const code = (character: string): number => character.charCodeAt(0);
const QUOTE = code('"');
const BACKSLASH = code("\\");
const COMMA = code(",");
const OPEN_ARRAY = code("[");
const CLOSE_ARRAY = code("]");
const OPEN_OBJECT = code("{");
const CLOSE_OBJECT = code("}");
const NEWLINE = code("\n");

/**
 * Finds the elements of a top-level array, and top-level values that simply follow each other, by brackets and quotes
 * alone. It does not judge: whether an element is JSON is for its parser to say. Commas between elements are optional.
 */
export class JsonSplitter {
  readonly #maxBytes: number;
  #inArray = false;
  #kind: "none" | "string" | "nested" | "bare" = "none";
  #depth = 0;
  #inString = false;
  #escaped = false;
  #parts: Uint8Array[] = [];
  #length = 0;
  #line = 1;
  #startLine = 1;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** The elements that end in this chunk. */
  push(chunk: Uint8Array): JsonElement[] {
    const elements: JsonElement[] = [];
    let start = 0;
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at]!;
      if (byte === NEWLINE) this.#line++;
      if (this.#kind === "bare" && this.#endsBare(byte)) elements.push(this.#finish(chunk.subarray(start, at)));
      if (this.#kind === "none") {
        start = at;
        this.#begin(byte);
        continue;
      }
      if (this.#continues(byte)) continue;
      elements.push(this.#finish(chunk.subarray(start, at + 1)));
    }
    if (this.#kind !== "none") this.#keep(chunk.subarray(start));
    return elements;
  }

  /** What the input ended in the middle of. */
  end(): JsonElement[] {
    if (this.#kind === "none") {
      if (!this.#inArray) return [];
      return [{ bytes: new Uint8Array(0), line: this.#line, unfinished: true }];
    }
    const unfinished = this.#kind !== "bare" || this.#inArray;
    return [{ ...this.#finish(new Uint8Array(0)), unfinished }];
  }

  #begin(byte: number): void {
    const isSpace = byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d;
    if (isSpace || byte === COMMA) return;
    if (byte === OPEN_ARRAY && !this.#inArray) {
      this.#inArray = true;
      return;
    }
    if (byte === CLOSE_ARRAY && this.#inArray) {
      this.#inArray = false;
      return;
    }
    this.#startLine = this.#line;
    this.#escaped = false;
    this.#inString = byte === QUOTE;
    this.#depth = byte === OPEN_OBJECT || byte === OPEN_ARRAY ? 1 : 0;
    this.#kind = byte === QUOTE ? "string" : this.#depth === 1 ? "nested" : "bare";
  }

  /** Numbers, literals and rubbish end where anything else begins. */
  #endsBare(byte: number): boolean {
    return (
      byte <= 0x20 ||
      byte === COMMA ||
      byte === CLOSE_ARRAY ||
      byte === QUOTE ||
      byte === OPEN_OBJECT ||
      byte === OPEN_ARRAY
    );
  }

  /** Takes one more byte of the element; false when it is the last. */
  #continues(byte: number): boolean {
    if (this.#inString) {
      if (this.#escaped) this.#escaped = false;
      else if (byte === BACKSLASH) this.#escaped = true;
      else if (byte === QUOTE) this.#inString = false;
      return this.#inString || this.#kind === "nested";
    }
    if (this.#kind === "bare") return true;
    if (byte === QUOTE) this.#inString = true;
    else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) this.#depth++;
    else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) this.#depth--;
    return this.#depth > 0;
  }

  #keep(bytes: Uint8Array): void {
    this.#length += bytes.length;
    if (this.#length > this.#maxBytes) this.#parts = [];
    else this.#parts.push(bytes.slice());
  }

  #finish(last: Uint8Array): JsonElement {
    this.#keep(last);
    const bytes = this.#length > this.#maxBytes ? null : Buffer.concat(this.#parts);
    this.#parts = [];
    this.#length = 0;
    this.#kind = "none";
    return { bytes, line: this.#startLine, unfinished: false };
  }
}
