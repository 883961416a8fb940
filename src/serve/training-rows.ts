/** Steps as rows: each step its own while there are few, then the means of 2, 4, 8, … neighbors. */
import { isPlainObject } from "../base/option-schema.ts";
import type { TrainingRows } from "./training-wire.ts";

const mostRows = 1024;
const mostLoads = 1 << 16;

/** Where each column comes from in a line of `metrics.jsonl`. */
const sources = {
  loss: "crossEntropy",
  gradientNorm: "gradientNorm",
  learningRate: "learningRate",
  expertLearningRate: "expertLearningRate",
  tokensPerSecond: "tokensPerSecond",
  recycledShare: "recycledShare",
  droppedShare: "droppedShare",
  peakMemoryBytes: "peakMemoryBytes",
} as const;

type Column = keyof typeof sources;
const columnNames = Object.keys(sources) as Column[];

/** `values` in the order of the columns, NaN where there is none; `load` is [layers][experts] flat. */
type Row = { step: number; values: Float64Array; load: Float32Array };

export class RowStore {
  stepsPerRow = 1;
  /** Counts the times that all rows were made anew. */
  merges = 0;
  #rows: Row[] = [];
  /** Steps that do not fill a row yet. */
  #pending: Row[] = [];
  #layers = 0;
  #experts = 0;

  get length(): number {
    return this.#rows.length;
  }

  clear(): void {
    this.stepsPerRow = 1;
    this.#rows = [];
    this.#pending = [];
    this.#layers = 0;
    this.#experts = 0;
  }

  add(step: number, record: Record<string, unknown>): void {
    const values = Float64Array.from(columnNames, (name) => {
      const value = record[sources[name]];
      return typeof value === "number" ? value : Number.NaN;
    });
    this.#pending.push({ step, values, load: this.#loadOf(record.layers) });
    if (this.#pending.length < this.stepsPerRow) return;
    this.#rows.push(meanOf(this.#pending));
    this.#pending = [];
    if (this.#rows.length < mostRows) return;
    this.#rows = Array.from({ length: mostRows / 2 }, (_, pair) => meanOf(this.#rows.slice(2 * pair, 2 * pair + 2)));
    this.stepsPerRow *= 2;
    this.merges++;
  }

  /** The rows from `first` on; `withPending` makes a last row of steps that would not fill one. */
  columns(first: number, withPending: boolean): TrainingRows {
    const rows = this.#rows.slice(first);
    if (withPending && this.#pending.length > 0) rows.push(meanOf(this.#pending));
    const column = (index: number) =>
      rows.map(({ values }) => (Number.isFinite(values[index]) ? Number(values[index]!.toPrecision(6)) : null));
    const [layers, experts] = [this.#layers, this.#experts];
    return {
      step: rows.map(({ step }) => step),
      ...(Object.fromEntries(columnNames.map((name, index) => [name, column(index)])) as Record<
        Column,
        (number | null)[]
      >),
      load: Array.from({ length: layers }, (_, layer) =>
        rows.map(({ load }) =>
          Array.from(load.subarray(layer * experts, (layer + 1) * experts), (share) => Math.round(100 * share) / 100),
        ),
      ),
    };
  }

  /** Multiples of an even load; zeros where a line says nothing that fits the lines before it. */
  #loadOf(layers: unknown): Float32Array {
    const tables = Array.isArray(layers) ? layers.map((layer) => (isPlainObject(layer) ? layer.load : undefined)) : [];
    if (this.#layers === 0 && Array.isArray(tables[0]) && tables.length * tables[0].length <= mostLoads) {
      this.#layers = tables.length;
      this.#experts = tables[0].length;
    }
    const load = new Float32Array(this.#layers * this.#experts);
    if (tables.length !== this.#layers) return load;
    for (const [layer, table] of tables.entries()) {
      if (!Array.isArray(table) || table.length !== this.#experts) continue;
      const tokens = table.map((count) => (typeof count === "number" && count > 0 ? count : 0));
      const even = tokens.reduce((sum, count) => sum + count, 0) / this.#experts;
      for (const [expert, count] of tokens.entries())
        load[layer * this.#experts + expert] = even > 0 ? count / even : 0;
    }
    return load;
  }
}

/** The mean of finite values; of memory, the most. */
function meanOf(rows: readonly Row[]): Row {
  const last = rows.at(-1)!;
  if (rows.length === 1) return last;
  const values = last.values.map((_, index) => {
    const finite = rows.map((row) => row.values[index]!).filter(Number.isFinite);
    if (columnNames[index] === "peakMemoryBytes") return Math.max(...finite, Number.NEGATIVE_INFINITY);
    return finite.reduce((sum, value) => sum + value, 0) / finite.length;
  });
  const load = last.load.map((_, index) => rows.reduce((sum, row) => sum + (row.load[index] ?? 0), 0) / rows.length);
  return { step: last.step, values, load };
}
