/** Slow f64 twins of quant_pack.c and quant.c: what codes mean, and how activations are rounded. */
import type { QuantFormat } from "../../src/kernels/bindings/quant.ts";
import { fp8Values, toFp8 } from "./fp8.ts";

/** A row of codes as files have them, as numbers before any scale. */
export function codeValues(format: QuantFormat, codes: Uint8Array, count: number): Float64Array {
  return Float64Array.from({ length: count }, (_, k) => {
    if (format === "fp8") return fp8Values[codes[k]!]!;
    if (format === "int8") return codes[k]! - 128;
    return ((codes[k >> 1]! >> (4 * (k % 2))) & 15) - 8;
  });
}

/** Random codes [rows, columns] that are numbers; every code comes up. */
export function randomCodes(format: QuantFormat, rows: number, columns: number, seed: number): Uint8Array {
  let state = seed >>> 0;
  const bytes = rows * (format === "int4" ? columns / 2 : columns);
  return Uint8Array.from({ length: bytes }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const byte = state >>> 24;
    return format === "fp8" && (byte & 0x7f) === 0x7f ? byte ^ 1 : byte;
  });
}

/** A row rounded to FP8, as numbers: by `scale`, or by its largest magnitude / 448. */
export function roundRow(row: Float64Array, scale?: number): Float64Array {
  const largest = row.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  const smallest = Math.fround(1 / (448 * 512));
  const by = scale ?? Math.max(Math.fround(largest / 448), smallest);
  return row.map((x) => fp8Values[toFp8(Math.fround(x / by))]! * by);
}
