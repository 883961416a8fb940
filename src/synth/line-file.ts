/** A file of JSON lines that is written bit by bit and appears whole. */
import fs from "node:fs";
import path from "node:path";
import { fileError, syncFolder, temporaryPath, writeAll } from "../base/files.ts";

const bufferedCharacters = 256 * 1024;

/** Leaving its scope without `commit` leaves nothing behind. Throws RookeryError FILE_UNWRITABLE. */
export class LineFile implements Disposable {
  readonly #path: string;
  readonly #temporary: string;
  #descriptor: number | undefined;
  #text = "";
  lines = 0;

  constructor(filePath: string) {
    this.#path = filePath;
    this.#temporary = temporaryPath(filePath);
    this.#descriptor = this.#try(() => fs.openSync(this.#temporary, "wx", 0o666));
  }

  add(value: object): void {
    this.#text += `${JSON.stringify(value)}\n`;
    this.lines += 1;
    if (this.#text.length > bufferedCharacters) this.#flush();
  }

  commit(): void {
    this.#flush();
    this.#try(() => {
      fs.fsyncSync(this.#descriptor!);
      this.#close();
      fs.renameSync(this.#temporary, this.#path);
      syncFolder(path.dirname(this.#path));
    });
  }

  [Symbol.dispose](): void {
    this.#close();
    fs.rmSync(this.#temporary, { force: true });
  }

  #flush(): void {
    const bytes = new TextEncoder().encode(this.#text);
    this.#text = "";
    this.#try(() => writeAll(this.#descriptor!, bytes));
  }

  #close(): void {
    if (this.#descriptor !== undefined) fs.closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }

  #try<Result>(work: () => Result): Result {
    try {
      return work();
    } catch (error) {
      throw fileError(error, this.#path, "write");
    }
  }
}
