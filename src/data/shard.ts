/**
 * A shard: the tokens of many documents in one file, read at random without loading it.
 *
 *     4,096 bytes   JSON header, padded with spaces: format, counts, sha256
 *     tokens        uint16 or uint32 (where the vocabulary needs it), little-endian, documents one after another
 *     padding       zeros up to a multiple of 8
 *     offsets       documents + 1 uint64: document d is tokens [offsets[d], offsets[d + 1])
 *
 * The sha256 is that of everything after the header, followed by the header's JSON with an empty sha256.
 */
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { z } from "zod";
import { RookeryError } from "../base/errors.ts";
import { fileError, readAll, writeAll } from "../base/files.ts";

export const shardFormat = "rookery-shard/1";
const HEADER_BYTES = 4096;
const COPY_BYTES = 1 << 20;

const headerSchema = z.strictObject({
  format: z.string(),
  bytesPerToken: z.union([z.literal(2), z.literal(4)]),
  vocabularySize: z.int().min(1).max(0x7fffffff),
  documents: z.int().min(0).max(0xfffffffe),
  tokens: z.int().min(0),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});
export type ShardHeader = z.infer<typeof headerSchema>;

type Layout = { tokenBytes: number; offsetsAt: number; fileBytes: number };

function layoutOf(header: Pick<ShardHeader, "bytesPerToken" | "documents" | "tokens">): Layout {
  const tokenBytes = header.tokens * header.bytesPerToken;
  const offsetsAt = HEADER_BYTES + Math.ceil(tokenBytes / 8) * 8;
  return { tokenBytes, offsetsAt, fileBytes: offsetsAt + (header.documents + 1) * 8 };
}

function damaged(file: string, what: string): RookeryError {
  return new RookeryError("FILE_DAMAGED", `${file}: ${what}`, "delete its folder and prepare the data again");
}

/** Fills `view` from `position` of an open file, or throws FILE_DAMAGED where the file ends too early. */
function readFully(descriptor: number, view: Uint8Array, position: number, file: string): void {
  const missing = view.byteLength - readAll(descriptor, view, position);
  if (missing > 0) throw damaged(file, `ends ${missing} bytes too early`);
}

/**
 * Writes a shard document by document. Memory does not grow with the number of documents: the offsets wait in a
 * file of their own. Nothing stands under the final name until `close()`, and `abort()` leaves nothing behind.
 */
export class ShardWriter {
  readonly #file: string;
  readonly #vocabularySize: number;
  readonly #bytesPerToken: 2 | 4;
  readonly #hash = createHash("sha256");
  readonly #body: number;
  readonly #offsets: number;
  #documents = 0;
  #tokens = 0;
  #pendingOffsets: BigUint64Array = new BigUint64Array(4096);
  #open = true;

  /** @param file final name; `vocabularySize` bounds the tokens and decides whether they take 2 or 4 bytes. */
  constructor(file: string, vocabularySize: number) {
    this.#file = file;
    this.#vocabularySize = vocabularySize;
    this.#bytesPerToken = vocabularySize <= 0x10000 ? 2 : 4;
    this.#body = fs.openSync(`${file}.writing`, "w");
    this.#offsets = fs.openSync(`${file}.offsets`, "w+");
    writeAll(this.#body, new Uint8Array(HEADER_BYTES));
    this.#pendingOffsets[0] = 0n;
  }

  get documents(): number {
    return this.#documents;
  }

  get tokens(): number {
    return this.#tokens;
  }

  /** Appends a document; its tokens must be below the vocabulary size. */
  add(tokens: ArrayLike<number>): void {
    const packed = this.#bytesPerToken === 2 ? new Uint16Array(tokens.length) : new Uint32Array(tokens.length);
    for (let i = 0; i < tokens.length; i++) {
      const token = tokens[i]!;
      if (!(token >= 0 && token < this.#vocabularySize)) {
        throw new RangeError(`token ${token} is outside of the vocabulary of ${this.#vocabularySize}`);
      }
      packed[i] = token;
    }
    const bytes = new Uint8Array(packed.buffer);
    this.#hash.update(bytes);
    writeAll(this.#body, bytes);
    this.#tokens += tokens.length;
    this.#documents++;
    const slot = this.#documents % this.#pendingOffsets.length;
    if (slot === 0) writeAll(this.#offsets, new Uint8Array(this.#pendingOffsets.buffer));
    this.#pendingOffsets[slot] = BigInt(this.#tokens);
  }

  /** Writes the index and the header, syncs, and gives the file its name. */
  close(): ShardHeader {
    const header: ShardHeader = {
      format: shardFormat,
      bytesPerToken: this.#bytesPerToken,
      vocabularySize: this.#vocabularySize,
      documents: this.#documents,
      tokens: this.#tokens,
      sha256: "",
    };
    const layout = layoutOf(header);
    const pad = new Uint8Array(layout.offsetsAt - HEADER_BYTES - layout.tokenBytes);
    this.#append(pad);
    const used = (this.#documents % this.#pendingOffsets.length) + 1;
    writeAll(this.#offsets, new Uint8Array(this.#pendingOffsets.buffer, 0, used * 8));
    const total = (this.#documents + 1) * 8;
    for (let done = 0; done < total; done += COPY_BYTES) {
      const piece = new Uint8Array(Math.min(COPY_BYTES, total - done));
      readFully(this.#offsets, piece, done, `${this.#file}.offsets`);
      this.#append(piece);
    }
    header.sha256 = this.#hash.update(JSON.stringify(header)).digest("hex");
    const text = new TextEncoder().encode(`${JSON.stringify(header).padEnd(HEADER_BYTES - 1, " ")}\n`);
    fs.writeSync(this.#body, text, 0, text.length, 0);
    fs.fsyncSync(this.#body);
    this.#release();
    fs.renameSync(`${this.#file}.writing`, this.#file);
    return header;
  }

  /** Gives up: removes what was written. Harmless after `close()`. */
  abort(): void {
    if (!this.#open) return;
    this.#release();
    fs.rmSync(`${this.#file}.writing`, { force: true });
  }

  #append(bytes: Uint8Array): void {
    this.#hash.update(bytes);
    writeAll(this.#body, bytes);
  }

  #release(): void {
    this.#open = false;
    fs.closeSync(this.#body);
    fs.closeSync(this.#offsets);
    fs.rmSync(`${this.#file}.offsets`, { force: true });
  }
}

/** An open shard. Reads are synchronous and touch only what is asked for; close it with `using` or `dispose()`. */
export class Shard implements Disposable {
  readonly file: string;
  readonly header: ShardHeader;
  readonly #descriptor: number;
  readonly #layout: Layout;
  readonly #pair = new BigUint64Array(2);
  #open = true;

  private constructor(file: string, header: ShardHeader, descriptor: number) {
    this.file = file;
    this.header = header;
    this.#descriptor = descriptor;
    this.#layout = layoutOf(header);
  }

  /**
   * Opens a shard and checks its header against the size of the file. Throws FILE_UNREADABLE, UNKNOWN_FORMAT or
   * FILE_DAMAGED. The checksum is compared only by `verify()`, because that reads the whole file.
   */
  static open(file: string): Shard {
    let descriptor: number;
    try {
      descriptor = fs.openSync(file, "r");
    } catch (cause) {
      throw fileError(cause, file, "read");
    }
    try {
      const size = fs.fstatSync(descriptor).size;
      if (size < HEADER_BYTES) throw damaged(file, `${size} bytes are too few for a shard`);
      const text = new Uint8Array(HEADER_BYTES);
      readFully(descriptor, text, 0, file);
      const header = parseHeader(text, file);
      const expected = layoutOf(header).fileBytes;
      if (size !== expected) throw damaged(file, `has ${size} bytes where its header promises ${expected}`);
      return new Shard(file, header, descriptor);
    } catch (error) {
      fs.closeSync(descriptor);
      throw error;
    }
  }

  get documents(): number {
    return this.header.documents;
  }

  get tokens(): number {
    return this.header.tokens;
  }

  /** Where document `index` starts and ends, in tokens from the start of the shard. */
  bounds(index: number): { start: number; end: number } {
    if (!(Number.isInteger(index) && index >= 0 && index < this.header.documents)) {
      throw new RangeError(`${this.file} has no document ${index}`);
    }
    this.#read(new Uint8Array(this.#pair.buffer), this.#layout.offsetsAt + index * 8);
    const start = Number(this.#pair[0]);
    const end = Number(this.#pair[1]);
    if (!(start <= end && end <= this.header.tokens))
      throw damaged(this.file, `document ${index} has impossible bounds`);
    return { start, end };
  }

  /** Copies tokens [start, start + count) of the shard to `into` from `at` on. */
  readTokens(start: number, count: number, into: Int32Array, at: number): void {
    if (!(start >= 0 && count >= 0 && start + count <= this.header.tokens)) {
      throw new RangeError(`${this.file} has no tokens ${start} to ${start + count}`);
    }
    const { bytesPerToken, vocabularySize } = this.header;
    const packed = bytesPerToken === 2 ? new Uint16Array(count) : new Uint32Array(count);
    this.#read(new Uint8Array(packed.buffer), HEADER_BYTES + start * bytesPerToken);
    for (let i = 0; i < count; i++) {
      const token = packed[i]!;
      if (token >= vocabularySize) throw damaged(this.file, `token ${token} is outside of the vocabulary`);
      into[at + i] = token;
    }
  }

  /** All tokens of one document. */
  document(index: number): Int32Array {
    const { start, end } = this.bounds(index);
    const tokens = new Int32Array(end - start);
    this.readTokens(start, end - start, tokens, 0);
    return tokens;
  }

  /** Size on the disk. */
  get bytes(): number {
    return this.#layout.fileBytes;
  }

  /** Reads the whole file and throws FILE_DAMAGED unless its checksum and its index are right. */
  verify(onBytes: (count: number) => void = () => {}): void {
    const hash = createHash("sha256");
    const piece = new Uint8Array(COPY_BYTES);
    const { offsetsAt, fileBytes } = this.#layout;
    let previous = 0n;
    let first = true;
    for (let at = HEADER_BYTES; at < fileBytes; ) {
      const stop = at < offsetsAt ? offsetsAt : fileBytes;
      const view = piece.subarray(0, Math.min(COPY_BYTES, stop - at));
      this.#read(view, at);
      hash.update(view);
      if (at >= offsetsAt) {
        for (const offset of new BigUint64Array(view.buffer, 0, view.byteLength / 8)) {
          if (offset < previous || (first && offset !== 0n)) throw damaged(this.file, "its index is out of order");
          previous = offset;
          first = false;
        }
      }
      at += view.byteLength;
      onBytes(view.byteLength);
    }
    if (previous !== BigInt(this.header.tokens)) throw damaged(this.file, "its index does not cover its tokens");
    hash.update(JSON.stringify({ ...this.header, sha256: "" }));
    if (hash.digest("hex") !== this.header.sha256) throw damaged(this.file, "its checksum does not match");
  }

  dispose(): void {
    if (!this.#open) return;
    this.#open = false;
    fs.closeSync(this.#descriptor);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #read(view: Uint8Array, position: number): void {
    if (!this.#open)
      throw new RookeryError("DISPOSED", `${this.file} was read after it was closed`, "keep it open longer");
    readFully(this.#descriptor, view, position, this.file);
  }
}

function parseHeader(bytes: Uint8Array, file: string): ShardHeader {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw damaged(file, "does not start with the header of a shard");
  }
  const format = z.object({ format: z.string() }).safeParse(json).data?.format;
  if (format !== undefined && format !== shardFormat) {
    const hint = `this Rookery reads ${shardFormat}: prepare the data again`;
    throw new RookeryError("UNKNOWN_FORMAT", `${path.basename(file)} is ${JSON.stringify(format.slice(0, 40))}`, hint);
  }
  const header = headerSchema.safeParse(json);
  if (!header.success) throw damaged(file, `its header is wrong at "${header.error.issues[0]?.path.join(".") ?? ""}"`);
  const { bytesPerToken, vocabularySize, tokens } = header.data;
  // A limit that keeps every byte position below 2⁵³, so that sizes are compared exactly.
  if (tokens > 2 ** 48) throw damaged(file, `its header promises ${tokens} tokens`);
  if (bytesPerToken === 2 && vocabularySize > 0x10000)
    throw damaged(file, "its tokens are too narrow for its vocabulary");
  return header.data;
}
