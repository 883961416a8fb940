/**
 * Zstandard files of several frames, as parallel compressors and `cat` make them. Node's decompressor stops after the
 * first frame and silently drops the rest, so each frame gets a decompressor of its own. Frame layout: RFC 8878, §3.1.
 */
import { Readable } from "node:stream";
import { createZstdDecompress } from "node:zlib";

const FRAME_MAGIC = 0xfd2fb528;
/** The lowest of sixteen magic numbers of frames that hold no text. */
const SKIPPABLE_MAGIC = 0x184d2a50;

class ByteReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /** Up to `count` bytes, at least one; none at the end of the input. */
  async some(count: number): Promise<Uint8Array> {
    while (this.#rest.length === 0) {
      const next = await this.#chunks.next();
      if (next.done) return this.#rest;
      this.#rest = next.value;
    }
    const taken = this.#rest.subarray(0, count);
    this.#rest = this.#rest.subarray(taken.length);
    return taken;
  }

  /** `count` bytes, or fewer where the input ends. */
  async exactly(count: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(count);
    let done = 0;
    while (done < count) {
      const piece = await this.some(count - done);
      if (piece.length === 0) return bytes.subarray(0, done);
      bytes.set(piece, done);
      done += piece.length;
    }
    return bytes;
  }
}

const uint = (bytes: Uint8Array): number => bytes.reduceRight((value, byte) => value * 256 + byte, 0);

/** The bytes of one frame. Where the input ends or makes no sense it stops, and the decompressor says what is wrong. */
async function* frameBytes(input: ByteReader, magic: Uint8Array): AsyncGenerator<Uint8Array> {
  yield magic;
  const descriptor = await input.exactly(1);
  yield descriptor;
  const flags = descriptor[0] ?? 0;
  const isSingleSegment = (flags & 0x20) !== 0;
  const sizeBytes = [isSingleSegment ? 1 : 0, 2, 4, 8][flags >> 6]!;
  yield await input.exactly((isSingleSegment ? 0 : 1) + [0, 1, 2, 4][flags & 3]! + sizeBytes);
  for (;;) {
    const header = await input.exactly(3);
    yield header;
    const fields = uint(header);
    const type = (fields >> 1) & 3;
    if (header.length < 3 || type === 3) return;
    // A block of run-length type is one byte, however much it stands for.
    let left = type === 1 ? 1 : fields >> 3;
    while (left > 0) {
      const piece = await input.some(left);
      if (piece.length === 0) return;
      yield piece;
      left -= piece.length;
    }
    if ((fields & 1) === 1) break;
  }
  if ((flags & 4) !== 0) yield await input.exactly(4);
}

/** The decompressed bytes of all frames. Throws what the decompressor throws on damage. */
export async function* decompressZstd(
  chunks: AsyncIterable<Uint8Array>,
  chunkSize: number,
): AsyncGenerator<Uint8Array> {
  const input = new ByteReader(chunks);
  for (let isFirst = true; ; isFirst = false) {
    const magic = await input.exactly(4);
    if (magic.length === 0 && !isFirst) return;
    const number = uint(magic);
    if (magic.length === 4 && number >= SKIPPABLE_MAGIC && number < SKIPPABLE_MAGIC + 16) {
      let left = uint(await input.exactly(4));
      while (left > 0) {
        const { length } = await input.some(left);
        if (length === 0) return;
        left -= length;
      }
      continue;
    }
    const bytes = number === FRAME_MAGIC ? frameBytes(input, magic) : [magic];
    const source = Readable.from(bytes, { objectMode: false });
    const decompressor = createZstdDecompress({ chunkSize });
    source.on("error", (error) => decompressor.destroy(error));
    try {
      yield* source.pipe(decompressor);
    } finally {
      source.destroy();
      decompressor.destroy();
    }
  }
}
