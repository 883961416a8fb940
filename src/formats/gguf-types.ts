/**
 * The vocabulary of GGUF, the file format of llama.cpp (ggml's docs/gguf.md, version 3): types of values and of tensors, and
 * what a header may say. Shapes are row-major here, as everywhere in Rookery; the file lists them the other way round.
 */
import { RookeryError } from "../base/errors.ts";
import { quoteForMessage } from "../base/files.ts";

/** Codes of the types that metadata comes in. */
export const valueCodes = {
  u8: 0,
  i8: 1,
  u16: 2,
  i16: 3,
  u32: 4,
  i32: 5,
  f32: 6,
  bool: 7,
  string: 8,
  u64: 10,
  i64: 11,
  f64: 12,
} as const;

export const arrayCode = 9;

export type GgufScalarType = keyof typeof valueCodes;

/** 64-bit integers are bigints, other numbers are numbers. */
export type GgufPlain = number | bigint | boolean | string;

export type GgufValue =
  | { readonly type: GgufScalarType; readonly value: GgufPlain }
  | { readonly type: "array"; readonly of: GgufScalarType; readonly values: readonly GgufPlain[] };

/** Types of tensors that can be written and read: so many elements of a row make a block of so many bytes. */
export const ggufTensorTypes = {
  F32: { code: 0, blockElements: 1, blockBytes: 4 },
  F16: { code: 1, blockElements: 1, blockBytes: 2 },
  BF16: { code: 30, blockElements: 1, blockBytes: 2 },
  /** A scale in f16, then 32 whole numbers of 8 bits. */
  Q8_0: { code: 8, blockElements: 32, blockBytes: 34 },
} as const;

export type GgufTensorType = keyof typeof ggufTensorTypes;

/** A tensor as a header describes it. `begin` counts from the start of the tensors' bytes. */
export type GgufTensorInfo = {
  readonly name: string;
  readonly type: GgufTensorType;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly byteLength: number;
};

export type GgufHeader = {
  readonly metadata: ReadonlyMap<string, GgufValue>;
  /** In the order of their bytes. */
  readonly tensors: readonly GgufTensorInfo[];
  /** Where in the file the tensors' bytes start. */
  readonly dataStart: number;
};

export const ggufVersion = 3;
export const alignmentKey = "general.alignment";
export const defaultAlignment = 32;

/** ggml's own limits. Its names have 64 bytes with the zero that ends them. */
export const maxNameBytes = 63;
export const maxDimensions = 4;

/**
 * Keep a hostile header from taking gigabytes once parsed. The largest vocabularies have 262,144 tokens and twice as many
 * merges, and need about 20 MB.
 */
export const maxHeaderBytes = 100_000_000;
export const maxKeys = 65_536;
export const maxKeyBytes = 65_535;
export const maxArrayElements = 4_000_000;
export const maxTensors = 500_000;

/**
 * Bytes of a tensor; a sentence that says what is wrong with its shape when a row has no whole number of blocks or the size
 * exceeds what a file can have (2^53).
 */
export function ggufTensorBytes(type: GgufTensorType, shape: readonly number[]): number | string {
  const { blockElements, blockBytes } = ggufTensorTypes[type];
  const row = shape.at(-1) ?? 1;
  if (row % blockElements !== 0) return `has rows of ${row}; ${type} comes in blocks of ${blockElements}`;
  let bytes = (row / blockElements) * blockBytes;
  for (const size of shape.slice(0, -1)) {
    bytes *= size;
    if (bytes > Number.MAX_SAFE_INTEGER) break;
  }
  return bytes > Number.MAX_SAFE_INTEGER ? `has a shape that overflows: [${shape.join(", ")}]` : bytes;
}

export function alignUp(offset: number, alignment: number): number {
  return Math.ceil(offset / alignment) * alignment;
}

/** The error for a file that is not what it claims to be. `file` is shown first. */
export function damagedGguf(file: string, what: string): RookeryError {
  return new RookeryError("FILE_DAMAGED", `${file}: ${what}`, "take another copy of the file, or export it again");
}

export function tensorLabel(name: string): string {
  return `tensor ${quoteForMessage(name)}`;
}
