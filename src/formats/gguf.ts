/** GGUF files: what llama.cpp reads. */
import fs from "node:fs";
import { RookeryError } from "../base/errors.ts";
import { fileError, quoteForMessage, readAll } from "../base/files.ts";
import { parseGgufHeader } from "./gguf-header.ts";
import { damagedGguf, type GgufHeader, type GgufTensorInfo, type GgufValue } from "./gguf-types.ts";

export { type GgufTensorInfo, type GgufTensorType, type GgufValue, ggufTensorTypes } from "./gguf-types.ts";
export { type GgufTensorToWrite, writeGguf } from "./gguf-writer.ts";

/** One open GGUF file, its header checked against its size. Close it, or hold it with `using`. */
export class GgufFile implements Disposable {
  readonly path: string;
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly tensors: ReadonlyMap<string, GgufTensorInfo>;
  readonly #dataStart: number;
  #fileDescriptor: number | null;

  private constructor(path: string, fileDescriptor: number, header: GgufHeader) {
    this.path = path;
    this.#fileDescriptor = fileDescriptor;
    this.metadata = header.metadata;
    this.tensors = new Map(header.tensors.map((tensor) => [tensor.name, tensor]));
    this.#dataStart = header.dataStart;
  }

  /**
   * Opens a file and checks its header; reads nothing else. Throws FILE_UNREADABLE, FILE_DAMAGED (with what is wrong where) or
   * UNKNOWN_FORMAT.
   */
  static open(path: string): GgufFile {
    let fileDescriptor: number | null = null;
    try {
      // Asked before opening: opening a named pipe would wait for a writer for ever.
      if (!fs.statSync(path).isFile()) {
        throw new RookeryError("FILE_UNREADABLE", `cannot read ${path}: it is no regular file`, "give a file");
      }
      fileDescriptor = fs.openSync(path, "r");
      const opened = fileDescriptor;
      const read = (position: number, length: number): Uint8Array => {
        const bytes = new Uint8Array(length);
        return bytes.subarray(0, readAll(opened, bytes, position));
      };
      return new GgufFile(path, opened, parseGgufHeader(read, fs.fstatSync(opened).size, path));
    } catch (error) {
      if (fileDescriptor !== null) fs.closeSync(fileDescriptor);
      throw fileError(error, path, "read");
    }
  }

  /** Fills `destination` with the tensor's bytes from `byteOffset` on; it must not reach past the tensor's end. */
  readInto(name: string, destination: Uint8Array, byteOffset = 0): void {
    const tensor = this.#tensor(name);
    const end = byteOffset + destination.byteLength;
    if (!Number.isSafeInteger(byteOffset) || byteOffset < 0 || end > tensor.byteLength) {
      throw new RangeError(
        `bytes ${byteOffset} to ${end} of ${quoteForMessage(name)} were asked for; it has ${tensor.byteLength}`,
      );
    }
    if (this.#fileDescriptor === null) throw new RookeryError("DISPOSED", `${this.path} was closed`, "open it again");
    let count: number;
    try {
      count = readAll(this.#fileDescriptor, destination, this.#dataStart + tensor.begin + byteOffset);
    } catch (error) {
      throw fileError(error, this.path, "read");
    }
    if (count !== destination.byteLength) throw damagedGguf(this.path, "it became shorter while it was read");
  }

  /** The whole tensor as a copy. */
  read(name: string): Uint8Array {
    const bytes = new Uint8Array(this.#tensor(name).byteLength);
    this.readInto(name, bytes);
    return bytes;
  }

  close(): void {
    if (this.#fileDescriptor === null) return;
    fs.closeSync(this.#fileDescriptor);
    this.#fileDescriptor = null;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #tensor(name: string): GgufTensorInfo {
    const tensor = this.tensors.get(name);
    if (tensor === undefined) {
      throw new RookeryError("FILE_DAMAGED", `${this.path} has no ${quoteForMessage(name)}`, "check the file");
    }
    return tensor;
  }
}
