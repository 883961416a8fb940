/** Rounding of weights to codes and scales: to the nearest code, each row or group of columns by its own scale. */
import type { Addressed } from "../kernels/bindings/declare.ts";
import { NativeMemory } from "../kernels/bindings/memory.ts";
import { gptqRound, type QuantFormat } from "../kernels/bindings/quant.ts";
import type { ThreadPool } from "../kernels/bindings/threads.ts";

/** A matrix [rows, columns] in codes as files have them (quantPack says how), and its scales [rows, columns / segment]. */
export type RoundedMatrix = { codes: Uint8Array<ArrayBuffer>; scales: Float32Array<ArrayBuffer> };

const largestInt8 = 127;
/** What is added to codes in files. */
const int8Offset = 128;
const int4Offset = 8;

const float = new Float32Array(1);
const word = new Uint32Array(float.buffer);

/** The bf16 number that is not below a positive x: scales are kept in bf16, and may not make the largest weight overflow. */
export function bf16From(x: number): number {
  float[0] = x;
  if (float[0] < x) word[0]! += 1;
  word[0] = (word[0]! + 0xffff) & 0xffff0000;
  return float[0];
}

/** The nearest E4M3 code, ties to even; what is over 448 becomes 448. x is no NaN. */
export function toFp8(x: number): number {
  float[0] = x;
  const sign = (word[0]! >>> 24) & 0x80;
  const magnitude = Math.min(Math.abs(float[0]), 448);
  if (magnitude < 2 ** -6) {
    float[0] = magnitude * 512 + 2 ** 23;
    return sign | (word[0]! & 15);
  }
  float[0] = magnitude;
  return sign | ((((word[0]! + 0x7ffff + ((word[0]! >>> 20) & 1)) >>> 20) - (120 << 3)) & 0x7f);
}

export function fromFp8(code: number): number {
  const magnitude = code & 0x7f;
  const value = magnitude < 8 ? magnitude * 2 ** -9 : (8 + (magnitude & 7)) * 2 ** ((magnitude >> 3) - 10);
  return code & 0x80 ? -value : value;
}

/** The numbers of all codes of FP8. */
const fp8Values = Float32Array.from({ length: 256 }, (_, code) => fromFp8(code));

/** The scale of some values; 1 where all are 0. */
function scaleOf(format: "fp8" | "int8", values: Float32Array): number {
  let largest = 0;
  for (const value of values) largest = Math.max(largest, Math.abs(value));
  if (largest === 0) return 1;
  return format === "fp8" ? Math.fround(largest / 448) : bf16From(largest / largestInt8);
}

/** Rounds a matrix to the nearest codes. */
export function roundMatrix(
  pool: ThreadPool | null,
  format: QuantFormat,
  values: Float32Array,
  { rows, columns, segment }: { rows: number; columns: number; segment: number },
): RoundedMatrix {
  if (format === "int4") return roundInt4(pool, values, { rows, columns, segment }, null);
  const segments = columns / segment;
  const scales = new Float32Array(rows * segments);
  for (let i = 0; i < scales.length; i++) {
    scales[i] = scaleOf(format, values.subarray(i * segment, (i + 1) * segment));
  }
  return { codes: encode(format, values, scales, segment), scales };
}

/** Rounds a matrix to int4; with a factor by GPTQ. */
export function roundInt4(
  pool: ThreadPool | null,
  values: Float32Array,
  { rows, columns, segment }: { rows: number; columns: number; segment: number },
  factor: Addressed | null,
): RoundedMatrix {
  using weight = new NativeMemory(values.byteLength);
  weight.bytes().set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  using codes = new NativeMemory(values.length / 2);
  using scales = new NativeMemory((4 * values.length) / segment);
  gptqRound({ pool, weight, factor, codes, scales, rows, n: columns, segment });
  return { codes: codes.bytes().slice(), scales: new Float32Array(scales.bytes().slice().buffer) };
}

/** The nearest codes by given scales. */
function encode(
  format: "fp8" | "int8",
  values: Float32Array,
  scales: Float32Array,
  segment: number,
): Uint8Array<ArrayBuffer> {
  const codes = new Uint8Array(values.length);
  for (let i = 0; i < scales.length; i++) {
    const scale = scales[i]!;
    for (let k = i * segment; k < (i + 1) * segment; k++) {
      codes[k] =
        format === "fp8"
          ? toFp8(values[k]! / scale)
          : Math.min(Math.max(Math.round(values[k]! / scale), -largestInt8), largestInt8) + int8Offset;
    }
  }
  return codes;
}

/** What codes and scales stand for. */
export function decode(
  format: QuantFormat,
  { codes, scales }: RoundedMatrix,
  segment: number,
): Float32Array<ArrayBuffer> {
  const values = new Float32Array(scales.length * segment);
  for (let i = 0; i < scales.length; i++) {
    const scale = scales[i]!;
    for (let k = i * segment; k < (i + 1) * segment; k++) {
      const code =
        format === "fp8"
          ? fp8Values[codes[k]!]!
          : format === "int8"
            ? codes[k]! - int8Offset
            : ((codes[k >> 1]! >> (4 * (k & 1))) & 15) - int4Offset;
      values[k] = code * scale;
    }
  }
  return values;
}

/** ‖actual − expected‖ and ‖expected‖, squared. */
export function squaredError(actual: Float32Array, expected: Float32Array): { error: number; norm: number } {
  let [error, norm] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    error += (actual[i]! - expected[i]!) ** 2;
    norm += expected[i]! ** 2;
  }
  return { error, norm };
}
