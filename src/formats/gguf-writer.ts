/** Writes GGUF files. */
import { createHash } from "node:crypto";
import { RookeryError } from "../base/errors.ts";
import { quoteForMessage, writeAll, writeStreamAtomic } from "../base/files.ts";
import {
  alignUp,
  arrayCode,
  defaultAlignment,
  type GgufPlain,
  type GgufScalarType,
  type GgufTensorInfo,
  type GgufTensorType,
  type GgufValue,
  ggufTensorBytes,
  ggufTensorTypes,
  ggufVersion,
  maxDimensions,
  maxNameBytes,
  tensorLabel,
  valueCodes,
} from "./gguf-types.ts";

/**
 * A tensor to be written, its shape row-major. `bytes` are asked for when it is this tensor's turn, piece by piece; a piece may be
 * reused by its maker once the next one is asked for.
 */
export type GgufTensorToWrite = {
  readonly name: string;
  readonly type: GgufTensorType;
  readonly shape: readonly number[];
  readonly bytes: Iterable<Uint8Array>;
};

/**
 * Writes one GGUF file: beside, synced, renamed; tensors lie in the given order at multiples of 32 bytes. Memory holds the header
 * and one piece of a tensor. Returns size and SHA-256.
 * @throws RookeryError FILE_UNWRITABLE, or INVALID_OPTION for what GGUF cannot hold and for bytes that do not fit the shape;
 * then no file is left.
 */
export function writeGguf(
  filePath: string,
  metadata: ReadonlyMap<string, GgufValue>,
  tensors: readonly GgufTensorToWrite[],
): { byteLength: number; sha256: string } {
  const { bytes, infos } = buildGgufHeader(metadata, tensors);
  const hash = createHash("sha256");
  let byteLength = 0;
  writeStreamAtomic(filePath, (fileDescriptor) => {
    const write = (piece: Uint8Array): void => {
      hash.update(piece);
      writeAll(fileDescriptor, piece);
      byteLength += piece.byteLength;
    };
    const pad = (): void => write(new Uint8Array(alignUp(byteLength, defaultAlignment) - byteLength));
    write(bytes);
    pad();
    for (const [index, tensor] of tensors.entries()) {
      const expected = infos[index]!.byteLength;
      let count = 0;
      for (const piece of tensor.bytes) {
        count += piece.byteLength;
        if (count > expected) break;
        write(piece);
      }
      if (count !== expected) {
        const came = `${count > expected ? "at least " : ""}${count} bytes`;
        throw refused(tensor.name, `came with ${came}; its shape has ${expected}`, "give shape and bytes alike");
      }
      pad();
    }
  });
  return { byteLength, sha256: hash.digest("hex") };
}

/** The header without the padding behind it, and where each tensor is going to lie. */
export function buildGgufHeader(
  metadata: ReadonlyMap<string, GgufValue>,
  tensors: readonly Omit<GgufTensorToWrite, "bytes">[],
): { bytes: Uint8Array; infos: GgufTensorInfo[] } {
  const out = new HeaderBytes();
  out.raw(Buffer.from("GGUF"));
  out.scalar("u32", ggufVersion);
  out.scalar("u64", BigInt(tensors.length));
  out.scalar("u64", BigInt(metadata.size));
  for (const [key, value] of metadata) {
    out.scalar("string", key);
    if (value.type === "array") {
      out.scalar("u32", arrayCode);
      out.scalar("u32", valueCodes[value.of]);
      out.scalar("u64", BigInt(value.values.length));
      for (const one of value.values) out.scalar(value.of, one);
    } else {
      out.scalar("u32", valueCodes[value.type]);
      out.scalar(value.type, value.value);
    }
  }
  const infos = layOut(tensors);
  for (const { name, type, shape, begin } of infos) {
    out.scalar("string", name);
    out.scalar("u32", shape.length);
    for (const size of shape.toReversed()) out.scalar("u64", BigInt(size));
    out.scalar("u32", ggufTensorTypes[type].code);
    out.scalar("u64", BigInt(begin));
  }
  return { bytes: out.joined(), infos };
}

function layOut(tensors: readonly Omit<GgufTensorToWrite, "bytes">[]): GgufTensorInfo[] {
  const seen = new Set<string>();
  let begin = 0;
  return tensors.map(({ name, type, shape }) => {
    if (Buffer.byteLength(name) > maxNameBytes) {
      throw refused(name, `has a name of more than ${maxNameBytes} bytes`, "rename it");
    }
    if (seen.has(name)) throw refused(name, "is there twice", "rename one of the two");
    seen.add(name);
    if (shape.length > maxDimensions || !shape.every((size) => Number.isSafeInteger(size) && size >= 0)) {
      throw refused(name, `has the shape [${shape.join(", ")}]`, `give at most ${maxDimensions} whole numbers`);
    }
    const byteLength = ggufTensorBytes(type, shape);
    if (typeof byteLength === "string") throw refused(name, byteLength, "choose another type");
    const info = { name, type, shape: [...shape], begin, byteLength };
    begin = alignUp(begin + byteLength, defaultAlignment);
    return info;
  });
}

function refused(name: string, what: string, hint: string): RookeryError {
  return new RookeryError("INVALID_OPTION", `${tensorLabel(name)} cannot be written to GGUF: it ${what}`, hint);
}

/** Least and most of the integer types that fit a number. */
const integerRanges: Partial<Record<GgufScalarType, [least: number, most: number]>> = {
  u8: [0, 0xff],
  i8: [-0x80, 0x7f],
  u16: [0, 0xffff],
  i16: [-0x8000, 0x7fff],
  u32: [0, 0xffff_ffff],
  i32: [-0x8000_0000, 0x7fff_ffff],
};

class HeaderBytes {
  readonly #pieces: Uint8Array[] = [];

  raw(bytes: Uint8Array): void {
    this.#pieces.push(bytes);
  }

  scalar(type: GgufScalarType, value: GgufPlain): void {
    this.raw(encoded(type, value));
  }

  joined(): Uint8Array {
    return Buffer.concat(this.#pieces);
  }
}

function encoded(type: GgufScalarType, value: GgufPlain): Uint8Array {
  if (type === "string" && typeof value === "string" && value.isWellFormed()) {
    const text = Buffer.from(value);
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(text.byteLength));
    return Buffer.concat([length, text]);
  }
  if (type === "bool" && typeof value === "boolean") return Uint8Array.of(value ? 1 : 0);
  const bytes = Buffer.alloc(8);
  if (typeof value === "bigint" && (type === "u64" || type === "i64")) {
    if (value !== (type === "u64" ? BigInt.asUintN(64, value) : BigInt.asIntN(64, value))) throw misfit(type, value);
    if (type === "u64") bytes.writeBigUInt64LE(value);
    else bytes.writeBigInt64LE(value);
    return bytes;
  }
  if (typeof value !== "number") throw misfit(type, value);
  if (type === "f32") return bytes.subarray(0, bytes.writeFloatLE(value));
  if (type === "f64") return bytes.subarray(0, bytes.writeDoubleLE(value));
  const [least, most] = integerRanges[type] ?? [1, 0];
  if (!Number.isInteger(value) || value < least || value > most) throw misfit(type, value);
  const size = type.endsWith("32") ? 4 : type.endsWith("16") ? 2 : 1;
  return bytes.subarray(0, least < 0 ? bytes.writeIntLE(value, 0, size) : bytes.writeUIntLE(value, 0, size));
}

function misfit(type: GgufScalarType, value: GgufPlain): RookeryError {
  return new RookeryError(
    "INVALID_OPTION",
    `${quoteForMessage(String(value))} is no ${type} and cannot be written as GGUF metadata`,
    "give a value of that type",
  );
}
