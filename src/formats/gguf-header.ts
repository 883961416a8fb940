/**
 * Reads the header of a GGUF file: magic, version, counts, metadata, descriptions of tensors. It comes from strangers: every
 * length and count is checked against the file before anything is allocated for it.
 */
import { RookeryError } from "../base/errors.ts";
import { quoteForMessage } from "../base/files.ts";
import {
  alignmentKey,
  alignUp,
  arrayCode,
  damagedGguf,
  defaultAlignment,
  type GgufHeader,
  type GgufPlain,
  type GgufScalarType,
  type GgufTensorInfo,
  type GgufTensorType,
  type GgufValue,
  ggufTensorBytes,
  ggufTensorTypes,
  ggufVersion,
  maxArrayElements,
  maxDimensions,
  maxHeaderBytes,
  maxKeyBytes,
  maxKeys,
  maxNameBytes,
  maxTensors,
  tensorLabel,
  valueCodes,
} from "./gguf-types.ts";

/** Answers with `length` bytes of the file from `position` on, fewer only if it ends before. */
export type ReadAt = (position: number, length: number) => Uint8Array;

const scalarTypes = new Map<number, GgufScalarType>(
  Object.entries(valueCodes).map(([type, code]) => [code, type as GgufScalarType]),
);
const tensorTypes = new Map<number, GgufTensorType>(
  Object.entries(ggufTensorTypes).map(([type, { code }]) => [code, type as GgufTensorType]),
);
const scalarBytes: Record<Exclude<GgufScalarType, "string">, number> = {
  u8: 1,
  i8: 1,
  bool: 1,
  u16: 2,
  i16: 2,
  u32: 4,
  i32: 4,
  f32: 4,
  u64: 8,
  i64: 8,
  f64: 8,
};
/** The least that a key with its value, and the description of a tensor, take. */
const leastPairBytes = 8 + 1 + 4 + 1;
const leastTensorBytes = 8 + 1 + 4 + 4 + 8;

/**
 * @param byteLength of the whole file.
 * @param file shown in messages.
 * @throws RookeryError FILE_DAMAGED for whatever breaks the format, UNKNOWN_FORMAT for another version or type of tensor.
 */
export function parseGgufHeader(read: ReadAt, byteLength: number, file: string): GgufHeader {
  const cursor = new Cursor(read, byteLength, file);
  if (cursor.unsigned32() !== 0x46554747) throw damagedGguf(file, "it is no GGUF file: it does not start with GGUF");
  const version = cursor.unsigned32();
  if (version !== ggufVersion) {
    throw new RookeryError(
      "UNKNOWN_FORMAT",
      `${file}: GGUF version ${version} is unknown`,
      `version ${ggufVersion} can be read`,
    );
  }
  const tensorCount = cursor.count("tensors", maxTensors, leastTensorBytes);
  const pairCount = cursor.count("metadata keys", maxKeys, leastPairBytes);
  const metadata = readMetadata(cursor, pairCount);
  const alignment = readAlignment(metadata.get(alignmentKey), file);
  const tensors = readTensors(cursor, tensorCount, alignment);
  const dataStart = alignUp(cursor.position, alignment);
  checkEnd(tensors, byteLength - dataStart, alignment, file);
  return { metadata, tensors, dataStart };
}

function readMetadata(cursor: Cursor, count: number): Map<string, GgufValue> {
  const metadata = new Map<string, GgufValue>();
  let elements = 0;
  for (let index = 0; index < count; index++) {
    const key = cursor.string(maxKeyBytes);
    if (key === "") throw cursor.flaw("a metadata key is empty");
    if (metadata.has(key)) throw cursor.flaw(`the metadata key ${quoteForMessage(key)} stands there twice`);
    const code = cursor.unsigned32();
    if (code !== arrayCode) {
      const type = scalarType(cursor, key, code);
      metadata.set(key, { type, value: cursor.scalar(type) });
      continue;
    }
    const of = scalarType(cursor, key, cursor.unsigned32());
    const room = maxArrayElements - elements;
    const length = cursor.count(`elements of ${quoteForMessage(key)}`, room, of === "string" ? 8 : scalarBytes[of]);
    elements += length;
    const values: GgufPlain[] = [];
    for (let at = 0; at < length; at++) values.push(cursor.scalar(of));
    metadata.set(key, { type: "array", of, values });
  }
  return metadata;
}

/** llama.cpp knows no lists of lists either. */
function scalarType(cursor: Cursor, key: string, code: number): GgufScalarType {
  const type = scalarTypes.get(code);
  if (type !== undefined) return type;
  const what = code === arrayCode ? "is a list of lists" : `has the unknown type ${code}`;
  throw cursor.flaw(`the metadata key ${quoteForMessage(key)} ${what}`);
}

function readAlignment(value: GgufValue | undefined, file: string): number {
  if (value === undefined) return defaultAlignment;
  const alignment = value.type === "u32" ? Number(value.value) : 0;
  const isPowerOfTwo = alignment > 0 && (alignment & (alignment - 1)) === 0;
  if (isPowerOfTwo && alignment >= 8 && alignment <= 65_536) return alignment;
  throw damagedGguf(file, `${alignmentKey} is no power of two from 8 to 65536`);
}

function readTensors(cursor: Cursor, count: number, alignment: number): GgufTensorInfo[] {
  const tensors: GgufTensorInfo[] = [];
  const seen = new Set<string>();
  let begin = 0;
  for (let index = 0; index < count; index++) {
    const name = cursor.string(maxNameBytes);
    if (seen.has(name)) throw cursor.flaw(`${tensorLabel(name)} stands there twice`);
    seen.add(name);
    const dimensions = cursor.unsigned32();
    if (dimensions > maxDimensions) {
      throw cursor.flaw(`${tensorLabel(name)} has ${dimensions} dimensions; at most ${maxDimensions} are allowed`);
    }
    const shape = Array.from({ length: dimensions }, () =>
      cursor.size(`a dimension of ${tensorLabel(name)}`),
    ).reverse();
    const code = cursor.unsigned32();
    const type = tensorTypes.get(code);
    if (type === undefined) {
      throw new RookeryError(
        "UNKNOWN_FORMAT",
        `${cursor.file}: ${tensorLabel(name)} has the type ${code}, which is unknown here`,
        `types that can be read: ${Object.keys(ggufTensorTypes).join(" ")}`,
      );
    }
    const byteLength = ggufTensorBytes(type, shape);
    if (typeof byteLength === "string") throw cursor.flaw(`${tensorLabel(name)} ${byteLength}`);
    const offset = cursor.size(`the place of ${tensorLabel(name)}`);
    // as in llama.cpp: back to back, each at a multiple of the alignment
    if (offset !== begin) throw cursor.flaw(`${tensorLabel(name)} starts at ${offset}, not ${begin}`);
    tensors.push({ name, type, shape, begin, byteLength });
    begin = alignUp(begin + byteLength, alignment);
    if (begin > Number.MAX_SAFE_INTEGER) throw cursor.flaw(`${tensorLabel(name)} ends beyond what a file can have`);
  }
  return tensors;
}

function checkEnd(tensors: readonly GgufTensorInfo[], dataBytes: number, alignment: number, file: string): void {
  const last = tensors.at(-1);
  const end = last === undefined ? 0 : last.begin + last.byteLength;
  if (dataBytes < end)
    throw damagedGguf(file, `the file is cut short: its tensors take ${end} bytes, it has ${dataBytes}`);
  if (dataBytes > alignUp(end, alignment)) {
    throw damagedGguf(file, `the file has ${dataBytes - end} bytes that belong to no tensor`);
  }
}

/** Little-endian values one after the other, through a window on the file. */
class Cursor {
  position = 0;
  readonly file: string;
  readonly #read: ReadAt;
  readonly #byteLength: number;
  #window: DataView = new DataView(new ArrayBuffer(0));
  #windowStart = 0;

  constructor(read: ReadAt, byteLength: number, file: string) {
    this.#read = read;
    this.#byteLength = byteLength;
    this.file = file;
  }

  unsigned32(): number {
    const at = this.#take(4);
    return this.#window.getUint32(at, true);
  }

  /** A u64 that must be an exact number. */
  size(what: string): number {
    const at = this.#take(8);
    const value = this.#window.getBigUint64(at, true);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw this.flaw(`${what} is ${value}`);
    return Number(value);
  }

  /** A number of things that follow, each of at least `leastBytes`. */
  count(what: string, most: number, leastBytes: number): number {
    const count = this.size(`the number of ${what}`);
    if (count > most) throw this.flaw(`it has ${count} ${what}; ${most} are allowed`);
    if (count * leastBytes > this.#byteLength - this.position) {
      throw this.flaw(`it has ${count} ${what}, more than the rest of the file can hold`);
    }
    return count;
  }

  string(mostBytes: number): string {
    const length = this.size("the length of a string");
    if (length > mostBytes) throw this.flaw(`a string has ${length} bytes; ${mostBytes} are allowed`);
    const at = this.#take(length);
    try {
      const bytes = new Uint8Array(this.#window.buffer, this.#window.byteOffset + at, length);
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      throw this.flaw("a string is not UTF-8");
    }
  }

  scalar(type: GgufScalarType): GgufPlain {
    if (type === "string") return this.string(maxHeaderBytes);
    const at = this.#take(scalarBytes[type]);
    const view = this.#window;
    switch (type) {
      case "u8":
        return view.getUint8(at);
      case "i8":
        return view.getInt8(at);
      case "u16":
        return view.getUint16(at, true);
      case "i16":
        return view.getInt16(at, true);
      case "u32":
        return view.getUint32(at, true);
      case "i32":
        return view.getInt32(at, true);
      case "f32":
        return view.getFloat32(at, true);
      case "u64":
        return view.getBigUint64(at, true);
      case "i64":
        return view.getBigInt64(at, true);
      case "f64":
        return view.getFloat64(at, true);
      case "bool": {
        const byte = view.getUint8(at);
        if (byte > 1) throw this.flaw(`a truth value is ${byte}`);
        return byte === 1;
      }
    }
  }

  flaw(what: string): RookeryError {
    return damagedGguf(this.file, `the header is broken before byte ${this.position}: ${what}`);
  }

  /** Moves on by `count` bytes, and answers where in the window they are. */
  #take(count: number): number {
    const start = this.position;
    const end = start + count;
    if (end > this.#byteLength) throw this.flaw("the file is cut short");
    if (end > maxHeaderBytes) throw this.flaw(`it is longer than ${maxHeaderBytes} bytes`);
    if (start < this.#windowStart || end > this.#windowStart + this.#window.byteLength) {
      const length = Math.min(Math.max(count, windowBytes), this.#byteLength - start);
      const bytes = this.#read(start, length);
      if (bytes.byteLength < count) throw damagedGguf(this.file, "it became shorter while it was read");
      this.#window = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      this.#windowStart = start;
    }
    this.position = end;
    return start - this.#windowStart;
  }
}

const windowBytes = 65_536;
