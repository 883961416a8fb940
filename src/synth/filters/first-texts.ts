/** Which record had a text first, by the hash of the text: on disk, in chains of those that share a slot. */
import { RecordFile } from "./record-file.ts";

const slots = 2 ** 18;
const entryBytes = 64;
const mostIdBytes = 51;

export class FirstTexts implements Disposable {
  readonly #entries: RecordFile;
  /** [slots] The newest entry of each slot; 1-based, 0 for none. */
  readonly #heads = new Int32Array(slots);
  readonly #bytes = new Uint8Array(entryBytes);
  readonly #view = new DataView(this.#bytes.buffer);

  /** @param folder where there is room for 64 bytes a text. */
  constructor(folder: string) {
    this.#entries = new RecordFile(folder, entryBytes);
  }

  /** The id of the record with a text of this hash, an integer of up to 53 bits; undefined for a new one. */
  find(hash: number): string | undefined {
    for (let next = this.#heads[hash % slots]!; next !== 0; next = this.#view.getInt32(8)) {
      this.#entries.read(next - 1, this.#bytes);
      if (this.#view.getFloat64(0) === hash) return this.#id();
    }
    return undefined;
  }

  /** @returns the number by which `idOf` knows the record. @throws RookeryError FILE_UNWRITABLE. */
  add(hash: number, id: string): number {
    const { read, written } = new TextEncoder().encodeInto(id, this.#bytes.subarray(entryBytes - mostIdBytes));
    if (read < id.length) throw new RangeError(`the id ${id} has more than ${mostIdBytes} bytes`);
    this.#view.setFloat64(0, hash);
    this.#view.setInt32(8, this.#heads[hash % slots]!);
    this.#view.setUint8(12, written);
    const number = this.#entries.append(this.#bytes);
    this.#heads[hash % slots] = number + 1;
    return number;
  }

  idOf(number: number): string {
    this.#entries.read(number, this.#bytes);
    return this.#id();
  }

  [Symbol.dispose](): void {
    this.#entries[Symbol.dispose]();
  }

  #id(): string {
    const start = entryBytes - mostIdBytes;
    return new TextDecoder().decode(this.#bytes.subarray(start, start + this.#view.getUint8(12)));
  }
}
