import fs from "node:fs";
import { promisify } from "node:util";
import { RookeryError } from "../base/errors.ts";
import { fileError, quoteForMessage, readAll } from "../base/files.ts";
import {
  damaged,
  maxHeaderBytes,
  parseHeader,
  type SafetensorsHeader,
  type TensorEntry,
} from "./safetensors-header.ts";

import { noSuchTensor, TensorSource } from "./tensor-source.ts";

export { dtypeBytes, type SafetensorsDtype, type TensorEntry } from "./safetensors-header.ts";
export { type TensorToWrite, type WrittenFile, writeSafetensors } from "./safetensors-writer.ts";
export { noSuchTensor, type TensorInfo, TensorSource } from "./tensor-source.ts";

const readAsync = promisify(fs.read);

/** One open safetensors file, its header checked against its size. Close it, or hold it with `using`. */
export class SafetensorsFile extends TensorSource {
  readonly path: string;
  readonly byteLength: number;
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  private readonly dataStart: number;
  private fileDescriptor: number | null;

  private constructor(
    path: string,
    fileDescriptor: number,
    byteLength: number,
    headerBytes: number,
    header: SafetensorsHeader,
  ) {
    super();
    this.path = path;
    this.fileDescriptor = fileDescriptor;
    this.byteLength = byteLength;
    this.dataStart = 8 + headerBytes;
    this.metadata = header.metadata;
    this.tensors = new Map(header.entries.map((entry) => [entry.name, entry]));
  }

  /**
   * Opens a file and checks its header. Throws FILE_UNREADABLE, FILE_DAMAGED (with what is wrong where) or
   * UNKNOWN_FORMAT. Reads the header only, whatever the size of the file.
   */
  static open(path: string): SafetensorsFile {
    let fileDescriptor: number | null = null;
    try {
      // Asked before opening: opening a named pipe would wait for a writer for ever.
      if (!fs.statSync(path).isFile()) {
        throw new RookeryError("FILE_UNREADABLE", `cannot read ${path}: it is no regular file`, "give a file");
      }
      fileDescriptor = fs.openSync(path, "r");
      const byteLength = fs.fstatSync(fileDescriptor).size;
      const headerBytes = readHeaderBytes(fileDescriptor, byteLength, path);
      const header = parseHeader(headerBytes, byteLength - 8 - headerBytes.byteLength, path);
      return new SafetensorsFile(path, fileDescriptor, byteLength, headerBytes.byteLength, header);
    } catch (error) {
      if (fileDescriptor !== null) fs.closeSync(fileDescriptor);
      throw fileError(error, path, "read");
    }
  }

  readInto(name: string, destination: Uint8Array, byteOffset = 0): void {
    const { fileDescriptor, position } = this.place(name, destination, byteOffset);
    let count: number;
    try {
      count = readAll(fileDescriptor, destination, position);
    } catch (error) {
      throw fileError(error, this.path, "read");
    }
    if (count !== destination.byteLength) throw damaged(this.path, "it became shorter while it was read");
  }

  async readIntoAsync(name: string, destination: Uint8Array, byteOffset = 0): Promise<void> {
    const { fileDescriptor, position } = this.place(name, destination, byteOffset);
    let done = 0;
    try {
      while (done < destination.byteLength) {
        // The system may give less than was asked for.
        const rest = destination.byteLength - done;
        const { bytesRead } = await readAsync(fileDescriptor, destination, done, rest, position + done);
        if (bytesRead === 0) break;
        done += bytesRead;
      }
    } catch (error) {
      throw fileError(error, this.path, "read");
    }
    if (done !== destination.byteLength) throw damaged(this.path, "it became shorter while it was read");
  }

  close(): void {
    if (this.fileDescriptor === null) return;
    fs.closeSync(this.fileDescriptor);
    this.fileDescriptor = null;
  }

  /** Where `destination` comes from. Throws when that is not all within the tensor. */
  private place(
    name: string,
    destination: Uint8Array,
    byteOffset: number,
  ): { fileDescriptor: number; position: number } {
    const entry = this.entry(name);
    const end = byteOffset + destination.byteLength;
    if (!Number.isSafeInteger(byteOffset) || byteOffset < 0 || end > entry.byteLength) {
      throw new RangeError(
        `bytes ${byteOffset} to ${end} of tensor ${quoteForMessage(name)} were asked for; it has ${entry.byteLength}`,
      );
    }
    if (this.fileDescriptor === null) throw new RookeryError("DISPOSED", `${this.path} was closed`, "open it again");
    return { fileDescriptor: this.fileDescriptor, position: this.dataStart + entry.begin + byteOffset };
  }

  private entry(name: string): TensorEntry {
    const entry = this.tensors.get(name);
    if (entry === undefined) throw noSuchTensor(this.path, name);
    return entry;
  }
}

function readHeaderBytes(fileDescriptor: number, byteLength: number, path: string): Uint8Array {
  const prefix = new Uint8Array(8);
  if (readAll(fileDescriptor, prefix, 0) !== 8) {
    throw damaged(path, `it has ${byteLength} bytes, too few for a safetensors file`);
  }
  const declared = new DataView(prefix.buffer).getBigUint64(0, true);
  if (declared > BigInt(maxHeaderBytes)) {
    throw damaged(path, `it is no safetensors file, or its header of ${declared} bytes is over ${maxHeaderBytes}`);
  }
  const headerLength = Number(declared);
  if (headerLength > byteLength - 8) {
    throw damaged(path, `it has ${byteLength} bytes, less than its header of ${headerLength}: it is cut short`);
  }
  const header = new Uint8Array(headerLength);
  if (readAll(fileDescriptor, header, 8) !== headerLength) throw damaged(path, "it became shorter while it was read");
  return header;
}
