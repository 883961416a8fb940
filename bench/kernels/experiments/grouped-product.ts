/** What grouping buys: one call for all experts against a call for each, on the same packed weights and uneven loads. */
import { unevenOffsets } from "../../../src/bench/gemm-shapes.ts";
import { Inputs } from "../../../src/bench/work/inputs.ts";
import { dtypeCodes } from "../../../src/kernels/bindings/declare.ts";
import { matmul, pack, packBytes } from "../../../src/kernels/bindings/gemm.ts";
import { NativeMemory } from "../../../src/kernels/bindings/memory.ts";
import type { Experiment } from "../lab.ts";

const { experts, rows, inner, columns } = { experts: 8, rows: 512, inner: 256, columns: 352 };

export function groupedProductExperiment(): Experiment {
  const dtype = dtypeCodes.bf16;
  const inputs = new Inputs();
  const a = inputs.uniform("a", "bf16", rows, inner);
  const weight = inputs.uniform("weight", "f32", experts, columns, inner);
  const c = inputs.empty("bf16", rows, columns);
  const loads = unevenOffsets(rows, experts);
  const offsets = inputs.integers(Int32Array.from(loads));
  const shape = { dtype, out: columns, in: inner, transpose: 0 };
  const all = new NativeMemory(packBytes({ ...shape, groups: experts }));
  pack({ pool: null, weight, packed: all, groups: experts, ...shape });
  const each = loads.slice(1).map((end, expert) => {
    const start = loads[expert]!;
    const packed = new NativeMemory(packBytes({ ...shape, groups: 1 }));
    pack({ pool: null, weight: weight.rows(expert, 1), packed, groups: 1, ...shape });
    return { packed, rows: end - start, a: a.rows(start, end - start), c: c.rows(start, end - start) };
  });
  const sizes = { pool: null, dtype, cDtype: dtype, addend: null, inner, columns };

  const [left, right] = [a.toFloat32Array(), weight.toFloat32Array()];
  const wanted = Float64Array.from({ length: rows * columns }, (_, place) => {
    const [row, column] = [Math.floor(place / columns), place % columns];
    const expert = loads.findIndex((end) => row < end) - 1;
    let sum = 0;
    for (let i = 0; i < inner; i++) sum += left[row * inner + i]! * right[(expert * columns + column) * inner + i]!;
    return sum;
  });
  const scale = wanted.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const error = () =>
    c.toFloat32Array().reduce((most, value, i) => Math.max(most, Math.abs(value - wanted[i]!)), 0) / scale;
  return {
    work: { amount: 2 * rows * inner * columns, unit: "FLOP" },
    allowedError: 0.01, // bf16 weights and results
    versions: [
      {
        name: "one grouped call",
        run: () => matmul({ ...sizes, a, packed: all, gated: null, c, rows, groups: experts, offsets }),
        error,
      },
      {
        name: "a call an expert",
        run: () => {
          for (const one of each) matmul({ ...sizes, ...one, gated: null, groups: 1, offsets: null });
        },
        error,
      },
    ],
    [Symbol.dispose]() {
      for (const { packed } of each) packed[Symbol.dispose]();
      all[Symbol.dispose]();
      inputs[Symbol.dispose]();
    },
  };
}
