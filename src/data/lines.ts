/** Bytes into lines, without ever holding more than one line or the limit. */

export type Line = {
  bytes: Uint8Array;
  /** 1-based number of the line. */
  line: number;
  /** The line was longer than the limit and goes on in the next item, which has the same number. */
  cut: boolean;
};

const NEWLINE = 0x0a;
const EMPTY = new Uint8Array(0);

/** Splits at "\n", which stays out; a line over `maxBytes` comes in pieces that end between UTF-8 characters. */
export class LineSplitter {
  readonly #maxBytes: number;
  #parts: Uint8Array[] = [];
  #length = 0;
  #line = 1;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** The lines that end in this chunk. */
  push(chunk: Uint8Array): Line[] {
    const lines: Line[] = [];
    let at = 0;
    while (at < chunk.length) {
      const found = chunk.indexOf(NEWLINE, at);
      const stop = found === -1 ? chunk.length : found;
      this.#append(chunk.subarray(at, stop), lines);
      if (found === -1) break;
      lines.push({ bytes: this.#take(this.#length), line: this.#line++, cut: false });
      at = found + 1;
    }
    return lines;
  }

  /** The last line, where the input does not end in a newline. */
  end(): Line[] {
    return this.#length === 0 ? [] : [{ bytes: this.#take(this.#length), line: this.#line, cut: false }];
  }

  #append(bytes: Uint8Array, lines: Line[]): void {
    let rest = bytes;
    while (this.#length + rest.length > this.#maxBytes) {
      const room = this.#maxBytes - this.#length;
      this.#keep(rest.subarray(0, room));
      rest = rest.subarray(room);
      lines.push({ bytes: this.#take(this.#wholeCharacters()), line: this.#line, cut: true });
    }
    this.#keep(rest);
  }

  #keep(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    // A copy: the chunk may be reused by the stream that gave it.
    this.#parts.push(bytes.slice());
    this.#length += bytes.length;
  }

  /** How many of the collected bytes can be cut off without splitting a UTF-8 character. */
  #wholeCharacters(): number {
    const bytes = this.#join();
    for (let back = 1; back <= 3 && back < bytes.length; back++) {
      const byte = bytes[bytes.length - back]!;
      if (byte < 0x80) break;
      if (byte >= 0xc0) return bytes.length - back;
    }
    return bytes.length;
  }

  #join(): Uint8Array {
    if (this.#parts.length === 1) return this.#parts[0]!;
    const joined = new Uint8Array(this.#length);
    let at = 0;
    for (const part of this.#parts) {
      joined.set(part, at);
      at += part.length;
    }
    this.#parts = [joined];
    return joined;
  }

  #take(length: number): Uint8Array {
    if (this.#length === 0) return EMPTY;
    const bytes = this.#join();
    this.#parts = length < bytes.length ? [bytes.subarray(length)] : [];
    this.#length = bytes.length - length;
    return bytes.subarray(0, length);
  }
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Strict UTF-8, or null. A byte order mark stays, as U+FEFF. */
export function decodeUtf8(bytes: Uint8Array): string | null {
  try {
    return decoder.decode(bytes);
  } catch {
    return null;
  }
}
