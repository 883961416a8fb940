import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  type AttentionShape,
  attentionBackwardTwin,
  attentionTwin,
  type Sequence,
} from "../../../test/twins/attention.ts";
import {
  assertClose,
  bytesOf,
  type Dtype,
  dtypes,
  emptyMemory,
  fromMemory,
  normals,
  relativeError,
  scratchMemory,
  toMemory,
  toMemoryI32,
} from "../../../test/twins/support.ts";
import { dropoutArguments } from "../../tensor/ops/dropout.ts";
import {
  attentionBackward,
  attentionBackwardScratchBytes,
  attentionForward,
  attentionForwardScratchBytes,
} from "./attention.ts";
import { dtypeCodes } from "./declare.ts";
import { ThreadPool } from "./threads.ts";

type Inputs = { q: Float64Array; k: Float64Array; v: Float64Array };

/** Sequences of the given lengths one behind another, each with as many queries as keys. */
function packed(lengths: number[]): Sequence[] {
  let row = 0;
  return lengths.map((length) => {
    const sequence = { queryRow: row, queries: length, keyRow: row, keys: length };
    row += length;
    return sequence;
  });
}

function shapeOf(heads: number, kvHeads: number, headDim: number, sequences: Sequence[]): AttentionShape {
  return { heads, kvHeads, headDim, scale: Math.fround(headDim ** -0.5), sequences };
}

function rowsOf({ sequences }: AttentionShape) {
  const queryRows = Math.max(0, ...sequences.map((s) => s.queryRow + s.queries));
  return { queryRows, keyRows: Math.max(0, ...sequences.map((s) => s.keyRow + s.keys)) };
}

function inputsOf(shape: AttentionShape, dtype: Dtype, seed = 1): Inputs {
  const { queryRows, keyRows } = rowsOf(shape);
  const keys = keyRows * shape.kvHeads * shape.headDim;
  const q = normals(queryRows * shape.heads * shape.headDim, seed, dtype, 2);
  return { q, k: normals(keys, seed + 1, dtype), v: normals(keys, seed + 2, dtype) };
}

function argumentsOf(shape: AttentionShape, dtype: Dtype, pool: ThreadPool | null) {
  const { heads, kvHeads, headDim, scale, sequences } = shape;
  const table = toMemoryI32(sequences.flatMap((s) => [s.queryRow, s.queries, s.keyRow, s.keys]));
  const common = { dtype: dtypeCodes[dtype], ...rowsOf(shape), heads, kvHeads, headDim, count: sequences.length };
  return { ...common, pool, sequences: table, scale, ...dropoutArguments(shape.dropout) };
}

function runForward({ q, k, v }: Inputs, shape: AttentionShape, dtype: Dtype, pool: ThreadPool | null = null) {
  const args = argumentsOf(shape, dtype, pool);
  using scratch = scratchMemory(attentionForwardScratchBytes({ ...args, threads: pool?.threads ?? 1 }));
  const out = emptyMemory(q.length, dtype);
  const logSumExp = emptyMemory(q.length / shape.headDim);
  const arrays = { q: toMemory(q, dtype), k: toMemory(k, dtype), v: toMemory(v, dtype) };
  attentionForward({ ...args, ...arrays, out, logSumExp, scratch });
  return { out, logSumExp };
}

type Gradients = { dq: Float64Array; dk: Float64Array; dv: Float64Array };

function runBackward(
  dout: Float64Array,
  { q, k, v }: Inputs,
  shape: AttentionShape,
  dtype: Dtype,
  into: Gradients & { accumulate: number; accumulateKv: number },
  pool: ThreadPool | null = null,
) {
  const args = argumentsOf(shape, dtype, pool);
  using scratch = scratchMemory(attentionBackwardScratchBytes({ ...args, threads: pool?.threads ?? 1 }));
  const arrays = { dout: toMemory(dout, dtype), q: toMemory(q, dtype), k: toMemory(k, dtype), v: toMemory(v, dtype) };
  const gradients = { dq: toMemory(into.dq, dtype), dk: toMemory(into.dk, dtype), dv: toMemory(into.dv, dtype) };
  const { accumulate, accumulateKv } = into;
  const forward = runForward({ q, k, v }, shape, dtype);
  attentionBackward({ ...args, ...arrays, ...forward, ...gradients, accumulate, accumulateKv, scratch });
  return gradients;
}

const add = (a: Float64Array, b: Float64Array) => a.map((value, i) => value + b[i]!);

/** One row's slice of the hex that bytesOf gives. */
function rowBits(hex: string, rows: number, row: number, count = 1): string {
  const width = hex.length / rows;
  return hex.slice(row * width, (row + count) * width);
}

describe("the f64 twin of attention", () => {
  it("has the gradients that central differences give", () => {
    const shape = shapeOf(4, 2, 3, [...packed([3, 1]), { queryRow: 4, queries: 2, keyRow: 4, keys: 5 }]);
    shape.dropout = { rate: 0.25, keys: [1, 2] };
    const inputs = inputsOf(shape, "f32");
    const dout = normals(inputs.q.length, 9);
    const gradients = attentionBackwardTwin(dout, inputs, shape);
    const step = 1e-5;
    for (const name of ["q", "k", "v"] as const) {
      const value = (i: number, by: number) => {
        const moved = Float64Array.from(inputs[name]);
        moved[i]! += by;
        return attentionTwin({ ...inputs, [name]: moved }, shape).out.reduce((sum, o, j) => sum + o * dout[j]!, 0);
      };
      const expected = inputs[name].map((_, i) => (value(i, step) - value(i, -step)) / (2 * step));
      assert.ok(relativeError(gradients[`d${name}`], expected) < 1e-7, name);
    }
  });
});

const decode = [
  { queryRow: 0, queries: 1, keyRow: 0, keys: 131 },
  { queryRow: 1, queries: 3, keyRow: 140, keys: 70 },
  { queryRow: 4, queries: 0, keyRow: 135, keys: 0 },
];
/** Chunks of the way back are 512 positions: here they begin within a chunk, or end in one, or have no queries. */
const chunked = [
  { queryRow: 0, queries: 700, keyRow: 0, keys: 1300 },
  { queryRow: 700, queries: 0, keyRow: 1300, keys: 530 },
  { queryRow: 700, queries: 1025, keyRow: 1830, keys: 1025 },
  { queryRow: 1725, queries: 2, keyRow: 2855, keys: 512 },
];
const cases: [name: string, shape: AttentionShape][] = [
  ["one token", shapeOf(4, 2, 16, packed([1]))],
  ["several sequences, head of 64", shapeOf(4, 2, 64, packed([1, 3, 63, 64, 65, 130]))],
  ["five heads to one", shapeOf(5, 1, 24, packed([63, 0, 20, 65]))],
  ["no sharing of heads", shapeOf(8, 8, 80, packed([3, 130]))],
  ["head of 128", shapeOf(4, 2, 128, packed([130, 7]))],
  ["head of 33", shapeOf(2, 2, 33, packed([17, 66]))],
  ["head of 256", shapeOf(2, 1, 256, packed([65]))],
  ["head of 272", shapeOf(2, 1, 272, packed([65]))],
  ["few queries, many keys", shapeOf(8, 2, 64, decode)],
  ["several chunks", shapeOf(3, 1, 8, chunked)],
  ["few queries, odd head", shapeOf(5, 1, 24, decode)],
  ["dropout", { ...shapeOf(4, 2, 64, packed([1, 3, 64, 130])), dropout: { rate: 0.3, keys: [5, 0x9abcdef0] } }],
  ["dropout, several chunks", { ...shapeOf(3, 1, 8, chunked), dropout: { rate: 0.1, keys: [0xffffffff, 7] } }],
];

for (const dtype of dtypes) {
  describe(`attention in ${dtype}`, () => {
    for (const [name, shape] of cases) {
      it(`equals its f64 twin both ways: ${name}`, () => {
        const inputs = inputsOf(shape, dtype);
        const dout = normals(inputs.q.length, 9, dtype);
        const twin = attentionTwin(inputs, shape);
        const forward = runForward(inputs, shape, dtype);
        assertClose(fromMemory(forward.out, twin.out.length, dtype), twin.out, dtype, "out");
        const logSumExp = fromMemory(forward.logSumExp, twin.logSumExp.length);
        assertClose(logSumExp, twin.logSumExp, "f32", "log sum exp");

        const gradients = attentionBackwardTwin(dout, inputs, shape);
        const before = {
          dq: normals(inputs.q.length, 10, dtype),
          dk: normals(inputs.k.length, 11, dtype),
          dv: normals(inputs.v.length, 12, dtype),
        };
        const fresh = { ...before, accumulate: 0, accumulateKv: 0 };
        const onto = { ...before, accumulate: 1, accumulateKv: 1 };
        const written = runBackward(dout, inputs, shape, dtype, fresh);
        const added = runBackward(dout, inputs, shape, dtype, onto);
        const belongs = (row: number) =>
          shape.sequences.some(({ keyRow, keys }) => row >= keyRow && row < keyRow + keys);
        for (const key of ["dq", "dk", "dv"] as const) {
          const count = before[key].length;
          const keyWidth = shape.kvHeads * shape.headDim;
          const expected = gradients[key].map((value, i) =>
            key === "dq" || belongs(Math.floor(i / keyWidth)) ? value : before[key][i]!,
          );
          if (shape.sequences[0]!.keys > 1) assertClose(fromMemory(written[key], count, dtype), expected, dtype, key);
          assertClose(fromMemory(added[key], count, dtype), add(before[key], gradients[key]), dtype, `${key} +=`);
        }
      });
    }

    for (const [heads, kvHeads, headDim] of [
      [4, 2, 64],
      [5, 1, 24],
      [2, 2, 33],
    ] as const) {
      it(`gives a query the same bits alone and among others, ${heads}/${kvHeads} heads of ${headDim}`, () => {
        const keys = 130;
        const whole = shapeOf(heads, kvHeads, headDim, packed([keys]));
        const inputs = inputsOf(whole, dtype);
        const expected = runForward(inputs, whole, dtype);
        const [out, logSumExp] = [bytesOf(expected.out), bytesOf(expected.logSumExp)];
        const width = heads * headDim;
        for (let queries = 1; queries <= 64; queries++) {
          const first = keys - queries;
          const some = { ...whole, sequences: [{ queryRow: 0, queries, keyRow: 0, keys }] };
          const result = runForward({ ...inputs, q: inputs.q.subarray(first * width) }, some, dtype);
          assert.equal(bytesOf(result.out), rowBits(out, keys, first, queries), `${queries} queries`);
          assert.equal(bytesOf(result.logSumExp), rowBits(logSumExp, keys, first, queries), `${queries} queries`);
        }
        for (const seen of [1, 2, 15, 16, 17, 31, 63, 64, 65, 100, 128, 129]) {
          const alone = { ...whole, sequences: [{ queryRow: 0, queries: 1, keyRow: 0, keys: seen }] };
          const q = inputs.q.subarray((seen - 1) * width, seen * width);
          const keyCount = seen * kvHeads * headDim;
          const cache = { k: inputs.k.subarray(0, keyCount), v: inputs.v.subarray(0, keyCount) };
          const result = runForward({ q, ...cache }, alone, dtype);
          assert.equal(bytesOf(result.out), rowBits(out, keys, seen - 1), `${seen} keys`);
        }
        const shifted = { ...whole, sequences: packed([21, keys, 5]) };
        const others = inputsOf(shifted, dtype, 50);
        for (const name of ["q", "k", "v"] as const) {
          others[name].set(inputs[name], (21 * inputs[name].length) / keys);
        }
        assert.equal(rowBits(bytesOf(runForward(others, shifted, dtype).out), keys + 26, 21, keys), out);
      });
    }

    it("gives the same bits on any number of threads", () => {
      const shape = shapeOf(4, 2, 64, packed([150, 3, 65, 1600]));
      const inputs = inputsOf(shape, dtype);
      const dout = normals(inputs.q.length, 9, dtype);
      const zeros = { dq: inputs.q.map(() => 0), dk: inputs.k.map(() => 0), dv: inputs.v.map(() => 0) };
      const into = { ...zeros, accumulate: 1, accumulateKv: 0 };
      const run = (pool: ThreadPool | null) => {
        const { out, logSumExp } = runForward(inputs, shape, dtype, pool);
        const { dq, dk, dv } = runBackward(dout, inputs, shape, dtype, into, pool);
        return [out, logSumExp, dq, dk, dv].map(bytesOf);
      };
      const alone = run(null);
      for (const threads of [1, 2, 3]) {
        using pool = new ThreadPool(threads);
        assert.deepEqual(run(pool), alone);
      }
    });

    it("lets NaN and infinity reach the queries that see them, and no others", () => {
      for (const name of ["q", "k", "v"] as const) {
        for (const poison of [Number.NaN, Number.POSITIVE_INFINITY]) {
          const shape = shapeOf(2, 1, 16, packed([90, 10]));
          const inputs = inputsOf(shape, dtype);
          const clean = bytesOf(runForward(inputs, shape, dtype).out);
          const width = name === "q" ? 32 : 16;
          inputs[name][75 * width + 3] = poison;
          const { out } = runForward(inputs, shape, dtype);
          const bits = bytesOf(out);
          assert.equal(rowBits(bits, 100, 0, 75), rowBits(clean, 100, 0, 75), `${name} ${poison}: before`);
          assert.equal(rowBits(bits, 100, 90, 10), rowBits(clean, 100, 90, 10), `${name} ${poison}: next sequence`);
          const row = fromMemory(out, 100 * 32, dtype).subarray(75 * 32, 76 * 32);
          assert.ok(!row.every(Number.isFinite), `${name} ${poison}: the row itself`);
        }
      }
    });

    it("passes over infinitely low scores", () => {
      const shape = shapeOf(1, 1, 16, packed([70]));
      const inputs = { q: new Float64Array(70 * 16), k: new Float64Array(70 * 16), v: normals(70 * 16, 3, dtype) };
      for (let row = 0; row < 70; row++) inputs.q[row * 16] = 1;
      for (let row = 0; row < 64; row++) inputs.k[row * 16] = Number.NEGATIVE_INFINITY;
      const out = fromMemory(runForward(inputs, shape, dtype).out, 70 * 16, dtype);
      assert.ok(Number.isNaN(out[0]!));
      assert.deepEqual(out.subarray(64 * 16, 65 * 16), inputs.v.subarray(64 * 16, 65 * 16));
    });

    it("takes a negative scale", () => {
      const shape = { ...shapeOf(4, 2, 32, packed([70])), scale: -0.25 };
      const inputs = inputsOf(shape, dtype);
      const dout = normals(inputs.q.length, 9, dtype);
      const { out } = attentionTwin(inputs, shape);
      assertClose(fromMemory(runForward(inputs, shape, dtype).out, out.length, dtype), out, dtype, "out");
      const into = { dq: inputs.q, dk: inputs.k, dv: inputs.v, accumulate: 0, accumulateKv: 0 };
      const gradients = runBackward(dout, inputs, shape, dtype, into);
      const expected = attentionBackwardTwin(dout, inputs, shape);
      for (const key of ["dq", "dk", "dv"] as const) {
        assertClose(fromMemory(gradients[key], expected[key].length, dtype), expected[key], dtype, key);
      }
    });
  });
}

describe("attention refuses", () => {
  const shape = shapeOf(4, 2, 16, packed([4]));
  const inputs = inputsOf(shape, "f32");
  const refused = (changed: Partial<AttentionShape>) =>
    assert.throws(() => runForward(inputs, { ...shape, ...changed }, "f32"), /refused a bad argument/);

  it("heads that KV heads do not divide", () => {
    refused({ kvHeads: 3 });
    refused({ kvHeads: 0 });
  });

  it("sequences that leave their rows or have more queries than keys", () => {
    refused({ sequences: [{ queryRow: 0, queries: 4, keyRow: 0, keys: 3 }] });
    refused({ sequences: [{ queryRow: -1, queries: 4, keyRow: 0, keys: 4 }] });
    refused({ sequences: [{ queryRow: 0, queries: -1, keyRow: 0, keys: 4 }] });
    const args = argumentsOf(shape, "f32", null);
    using memory = toMemory(inputs.q);
    using scratch = scratchMemory(attentionForwardScratchBytes({ ...args, threads: 1 }));
    const call = { ...args, q: memory, k: memory, v: memory, out: memory, logSumExp: null, scratch };
    assert.throws(() => attentionForward({ ...call, queryRows: 3 }), /refused a bad argument/);
    assert.throws(() => attentionForward({ ...call, keyRows: 3 }), /refused a bad argument/);
  });

  it("gradients of sequences that share rows", () => {
    const twice = { ...shape, sequences: [...shape.sequences, ...shape.sequences] };
    const into = { dq: inputs.q, dk: inputs.k, dv: inputs.v, accumulate: 0, accumulateKv: 0 };
    assert.throws(() => runBackward(inputs.q, inputs, twice, "f32", into), /refused a bad argument/);
  });
});
