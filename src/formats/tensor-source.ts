import { RookeryError } from "../base/errors.ts";
import { ioChunkBytes, quoteForMessage } from "../base/files.ts";
import type { SafetensorsDtype } from "./safetensors-header.ts";

/** What is known of a tensor without reading it. */
export type TensorInfo = {
  readonly name: string;
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
  readonly byteLength: number;
};

/** The error for a tensor that a source does not have. */
export function noSuchTensor(where: string, name: string): RookeryError {
  return new RookeryError("FILE_DAMAGED", `${where} has no tensor ${quoteForMessage(name)}`, "check the model's files");
}

/** Named tensors that lie in one or several open files. Bytes are little-endian and row-major. */
export abstract class TensorSource implements Disposable {
  abstract readonly tensors: ReadonlyMap<string, TensorInfo>;

  /** Fills `destination` with the tensor's bytes from `byteOffset` on; it must not reach past the tensor's end. */
  abstract readInto(name: string, destination: Uint8Array, byteOffset?: number): void;

  /** The same while other reads are under way. Nobody may close the source before it is done. */
  abstract readIntoAsync(name: string, destination: Uint8Array, byteOffset?: number): Promise<void>;

  abstract close(): void;

  /** The whole tensor as a copy. */
  read(name: string): Uint8Array {
    const bytes = new Uint8Array(this.#byteLengthOf(name));
    this.readInto(name, bytes);
    return bytes;
  }

  /** The tensor in pieces of at most `chunkBytes`. Each piece is overwritten by the next one. */
  *chunks(name: string, chunkBytes: number = ioChunkBytes): Generator<Uint8Array> {
    if (!Number.isSafeInteger(chunkBytes) || chunkBytes < 1) throw new RangeError(`chunkBytes is ${chunkBytes}`);
    const byteLength = this.#byteLengthOf(name);
    const buffer = new Uint8Array(Math.min(chunkBytes, byteLength));
    for (let offset = 0; offset < byteLength; offset += chunkBytes) {
      const piece = buffer.subarray(0, Math.min(chunkBytes, byteLength - offset));
      this.readInto(name, piece, offset);
      yield piece;
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #byteLengthOf(name: string): number {
    const info = this.tensors.get(name);
    if (info === undefined) throw noSuchTensor("the model", name);
    return info.byteLength;
  }
}

/** A piece of a tensor, from `byteOffset` on. Its memory is used again once the next piece is asked for. */
export type TensorPiece = { name: string; byteOffset: number; bytes: Uint8Array };

/**
 * The tensors of the given names, one after the other in pieces of at most `chunkBytes`, while the next `readsAhead` pieces
 * are being read: a disk answers several reads at a time, and the processor is not idle meanwhile. Memory holds
 * `readsAhead + 1` pieces.
 */
export async function* readAhead(
  source: TensorSource,
  names: readonly string[],
  { chunkBytes = ioChunkBytes, readsAhead = 3 }: { chunkBytes?: number; readsAhead?: number } = {},
): AsyncGenerator<TensorPiece> {
  const buffers: Uint8Array[] = [];
  const underWay: Promise<TensorPiece>[] = [];
  const start = async (name: string, byteOffset: number, byteLength: number): Promise<TensorPiece> => {
    const buffer = buffers.pop() ?? new Uint8Array(chunkBytes);
    const bytes = buffer.subarray(0, byteLength);
    await source.readIntoAsync(name, bytes, byteOffset);
    return { name, byteOffset, bytes };
  };
  async function* finish(most: number): AsyncGenerator<TensorPiece> {
    while (underWay.length > most) {
      const piece = await underWay[0]!;
      underWay.shift();
      yield piece;
      buffers.push(new Uint8Array(piece.bytes.buffer));
    }
  }
  try {
    for (const name of names) {
      const info = source.tensors.get(name);
      if (info === undefined) throw noSuchTensor("the model", name);
      for (let offset = 0; offset < info.byteLength; offset += chunkBytes) {
        const read = start(name, offset, Math.min(chunkBytes, info.byteLength - offset));
        // It may fail while an earlier one is awaited; it is heard of when its turn comes.
        read.catch(() => undefined);
        underWay.push(read);
        yield* finish(readsAhead);
      }
    }
    yield* finish(0);
  } finally {
    // Whoever stops early may close the files next: no read may be left that would then go elsewhere.
    await Promise.allSettled(underWay);
  }
}
