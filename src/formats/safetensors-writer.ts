import { createHash } from "node:crypto";
import { RookeryError } from "../base/errors.ts";
import { quoteForMessage, writeAll, writeStreamAtomic } from "../base/files.ts";
import { buildHeader, dtypeBytes, type SafetensorsDtype } from "./safetensors-header.ts";

/**
 * A tensor to be written. `bytes` are little-endian and row-major; as an iterable they are asked for only when it is this
 * tensor's turn, piece by piece, and a piece may be reused by its maker once the next one is asked for.
 */
export type TensorToWrite = {
  readonly name: string;
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array | Iterable<Uint8Array>;
};

export type WrittenFile = { byteLength: number; sha256: string };

/**
 * Puts wide types first (the order is kept otherwise), as the reference implementation does: then every tensor starts at
 * a multiple of its element size, and readers can map it. The order of names alone decides the file's bytes.
 */
export function inFileOrder<T extends { readonly dtype: SafetensorsDtype }>(tensors: Iterable<T>): T[] {
  return [...tensors].sort((a, b) => dtypeBytes[b.dtype] - dtypeBytes[a.dtype]);
}

/**
 * Writes one safetensors file: beside, synced, renamed. Declared shapes make the header before any data is asked for, so
 * memory holds one piece of one tensor at a time. Returns the file's size and SHA-256, computed on the way. Throws
 * FILE_UNWRITABLE, or INVALID_OPTION when the bytes do not fit the shape; then no file is left.
 */
export function writeSafetensors(
  filePath: string,
  tensors: Iterable<TensorToWrite>,
  metadata: Readonly<Record<string, string>> = {},
): WrittenFile {
  const ordered = inFileOrder(tensors);
  const header = buildHeader(ordered, metadata);
  const hash = createHash("sha256");
  let byteLength = 0;
  writeStreamAtomic(filePath, (fileDescriptor) => {
    const write = (bytes: Uint8Array): void => {
      hash.update(bytes);
      writeAll(fileDescriptor, bytes);
      byteLength += bytes.byteLength;
    };
    write(header.bytes);
    ordered.forEach((tensor, index) => {
      const expected = header.entries[index]?.byteLength ?? 0;
      let count = 0;
      for (const piece of tensor.bytes instanceof Uint8Array ? [tensor.bytes] : tensor.bytes) {
        count += piece.byteLength;
        if (count > expected) break;
        write(piece);
      }
      if (count !== expected) throw wrongLength(tensor, expected, count);
    });
  });
  return { byteLength, sha256: hash.digest("hex") };
}

/** Bytes that `writeSafetensors` makes of these. Throws INVALID_OPTION for what it cannot write. */
export function safetensorsBytes(
  tensors: Iterable<TensorToWrite>,
  metadata: Readonly<Record<string, string>> = {},
): number {
  const { bytes, entries } = buildHeader(inFileOrder(tensors), metadata);
  return entries.reduce((sum, { byteLength }) => sum + byteLength, bytes.byteLength);
}

function wrongLength(tensor: TensorToWrite, expected: number, count: number): RookeryError {
  return new RookeryError(
    "INVALID_OPTION",
    `tensor ${quoteForMessage(tensor.name)} came with ${count > expected ? "at least " : ""}${count} bytes; ` +
      `${tensor.dtype} [${tensor.shape.join(", ")}] has ${expected}`,
    "give its shape and its bytes alike",
  );
}
