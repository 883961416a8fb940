/** Records of one size on the disk, for what is kept of each item of a set that may be larger than memory. */
import fs from "node:fs";
import path from "node:path";
import { fileError, readAll, temporaryPath, writeAll } from "../../base/files.ts";

/**
 * A file without a name, which is gone when it is closed, or its process killed. Throws RookeryError FILE_UNWRITABLE where there is no
 * room for it.
 */
export class RecordFile implements Disposable {
  readonly #recordBytes: number;
  readonly #path: string;
  readonly #descriptor: number;
  #count = 0;

  /** @param folder where there is room. */
  constructor(folder: string, recordBytes: number) {
    this.#recordBytes = recordBytes;
    this.#path = path.join(folder, "records");
    this.#descriptor = this.#try(() => {
      const temporary = temporaryPath(this.#path);
      const descriptor = fs.openSync(temporary, "wx+", 0o600);
      fs.rmSync(temporary);
      return descriptor;
    });
  }

  get count(): number {
    return this.#count;
  }

  /** @returns the index of the record. */
  append(record: Uint8Array): number {
    if (record.byteLength !== this.#recordBytes) throw new RangeError(`a record has ${this.#recordBytes} bytes`);
    this.#try(() => writeAll(this.#descriptor, record));
    this.#count += 1;
    return this.#count - 1;
  }

  /** @param into [recordBytes] */
  read(index: number, into: Uint8Array): void {
    this.#try(() => readAll(this.#descriptor, into, index * this.#recordBytes));
  }

  [Symbol.dispose](): void {
    fs.closeSync(this.#descriptor);
  }

  #try<Result>(work: () => Result): Result {
    try {
      return work();
    } catch (error) {
      throw fileError(error, this.#path, "write");
    }
  }
}
