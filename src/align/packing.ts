/** Whole samples into rows: none is cut, and attention stays within each. */
import type { MicroBatch } from "../train/step.ts";
import type { Sample } from "./samples.ts";

/** Samples that must be in one row together, such as the two answers of a pair. */
export type Unit = readonly Sample[];

/** Where a sample of the batch stands. */
export type Placed = { unit: number; sample: number; start: number; length: number };

export type PackedSamples = MicroBatch & { placed: Placed[] };

/** As many rows as this wait for a sample that still fits. */
const openRows = 64;

/** Rows of unit numbers, first fit in the given order; every unit must fit a row. */
export function planRows(lengths: readonly number[], order: Iterable<number>, sequenceLength: number): number[][] {
  const rows: { units: number[]; room: number }[] = [];
  for (const unit of order) {
    const length = lengths[unit]!;
    if (length > sequenceLength) throw new RangeError(`${length} tokens for rows of ${sequenceLength}`);
    let row = rows.slice(-openRows).find(({ room }) => room >= length);
    if (!row) {
      row = { units: [], room: sequenceLength };
      rows.push(row);
    }
    row.units.push(unit);
    row.room -= length;
  }
  return rows.map(({ units }) => units);
}

export const lengthOf = (unit: Unit): number => unit.reduce((sum, { tokens }) => sum + tokens.length, 0);

/**
 * One batch of the given rows. The end of a row is filled with padding that is a sequence of its own and has no targets.
 * @param rows numbers of units; `unitOf` gives the unit of a number.
 */
export function packRows(
  rows: readonly (readonly number[])[],
  unitOf: (unit: number) => Unit,
  sequenceLength: number,
  padToken: number,
): PackedSamples {
  const total = rows.length * sequenceLength;
  const tokens = new Int32Array(total).fill(padToken);
  const targets = new Int32Array(total).fill(-1);
  const positions = new Int32Array(total);
  const sequences: number[] = [];
  const placed: Placed[] = [];
  const close = (start: number, length: number) => {
    for (let i = 0; i < length; i++) positions[start + i] = i;
    if (length > 0) sequences.push(start, length);
  };
  for (const [row, units] of rows.entries()) {
    let at = row * sequenceLength;
    for (const unit of units) {
      for (const [number, sample] of unitOf(unit).entries()) {
        const { length } = sample.tokens;
        tokens.set(sample.tokens, at);
        targets.set(sample.targets, at);
        close(at, length);
        placed.push({ unit, sample: number, start: at, length });
        at += length;
      }
    }
    close(at, (row + 1) * sequenceLength - at);
  }
  return { tokens, targets, positions, sequences: Int32Array.from(sequences), placed };
}

/** `items` in parts of `size`, the last perhaps smaller. */
export function inParts<Item>(items: readonly Item[], size: number): Item[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) => items.slice(i * size, (i + 1) * size));
}
