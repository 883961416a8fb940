import fs from "node:fs";
import { RookeryError } from "../base/errors.ts";
import { fileError, ioChunkBytes, quoteForMessage, readAll } from "../base/files.ts";
import {
  damaged,
  maxHeaderBytes,
  parseHeader,
  type SafetensorsDtype,
  type SafetensorsHeader,
  type TensorEntry,
} from "./safetensors-header.ts";

export { dtypeBytes, type SafetensorsDtype, type TensorEntry } from "./safetensors-header.ts";
export { type TensorToWrite, type WrittenFile, writeSafetensors } from "./safetensors-writer.ts";

/** What is known of a tensor without reading it. */
export type TensorInfo = {
  readonly name: string;
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
  readonly byteLength: number;
};

/** Named tensors that lie in one or several open files. Bytes are little-endian and row-major. */
export interface TensorSource extends Disposable {
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** Fills `destination` with the tensor's bytes from `byteOffset` on; it must not reach past the tensor's end. */
  readInto(name: string, destination: Uint8Array, byteOffset?: number): void;
  /** The whole tensor as a copy. */
  read(name: string): Uint8Array;
  /** The tensor in pieces of at most `chunkBytes`. Each piece is overwritten by the next one. */
  chunks(name: string, chunkBytes?: number): Generator<Uint8Array>;
  close(): void;
}

/** The error for a tensor that a source does not have. */
export function noSuchTensor(where: string, name: string): RookeryError {
  return new RookeryError("FILE_DAMAGED", `${where} has no tensor ${quoteForMessage(name)}`, "check the model's files");
}

/** One open safetensors file, its header checked against its size. Close it, or hold it with `using`. */
export class SafetensorsFile implements TensorSource {
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
    const entry = this.entry(name);
    const end = byteOffset + destination.byteLength;
    if (!Number.isSafeInteger(byteOffset) || byteOffset < 0 || end > entry.byteLength) {
      throw new RangeError(
        `bytes ${byteOffset} to ${end} of tensor ${quoteForMessage(name)} were asked for; it has ${entry.byteLength}`,
      );
    }
    if (this.fileDescriptor === null) throw new RookeryError("DISPOSED", `${this.path} was closed`, "open it again");
    let count: number;
    try {
      count = readAll(this.fileDescriptor, destination, this.dataStart + entry.begin + byteOffset);
    } catch (error) {
      throw fileError(error, this.path, "read");
    }
    if (count !== destination.byteLength) throw damaged(this.path, "it became shorter while it was read");
  }

  read(name: string): Uint8Array {
    const bytes = new Uint8Array(this.entry(name).byteLength);
    this.readInto(name, bytes);
    return bytes;
  }

  *chunks(name: string, chunkBytes = ioChunkBytes): Generator<Uint8Array> {
    if (!Number.isSafeInteger(chunkBytes) || chunkBytes < 1) throw new RangeError(`chunkBytes is ${chunkBytes}`);
    const { byteLength } = this.entry(name);
    const buffer = new Uint8Array(Math.min(chunkBytes, byteLength));
    for (let offset = 0; offset < byteLength; offset += chunkBytes) {
      const piece = buffer.subarray(0, Math.min(chunkBytes, byteLength - offset));
      this.readInto(name, piece, offset);
      yield piece;
    }
  }

  close(): void {
    if (this.fileDescriptor === null) return;
    fs.closeSync(this.fileDescriptor);
    this.fileDescriptor = null;
  }

  [Symbol.dispose](): void {
    this.close();
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
