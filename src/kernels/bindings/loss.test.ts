import assert from "node:assert/strict";
import { test } from "node:test";
import * as twin from "../../../test/twins/loss.ts";
import {
  assertClose,
  bytesOf,
  dtypes,
  emptyMemory,
  fromMemory,
  normals,
  toMemory,
  toMemoryI32,
} from "../../../test/twins/support.ts";
import { type Addressed, dtypeCodes } from "./declare.ts";
import { crossEntropy, embeddingBackward, embeddingForward, sum } from "./loss.ts";
import type { NativeMemory } from "./memory.ts";
import { ThreadPool } from "./threads.ts";

/** The bytes of what `run` makes, which must be the same on 1, 2 and 3 threads. */
function onAnyThreads(run: (pool: Addressed | null) => NativeMemory[]): NativeMemory[] {
  const alone = run(null);
  for (const threads of [1, 2, 3]) {
    using pool = new ThreadPool(threads);
    const result = run(pool);
    assert.deepEqual(result.map(bytesOf), alone.map(bytesOf), `${threads} threads`);
    for (const memory of result) memory[Symbol.dispose]();
  }
  return alone;
}

function tokenIds(tokens: number, vocabulary: number): number[] {
  return Array.from(normals(tokens, 7), (x) => Math.floor(Math.abs(x * 1000)) % vocabulary);
}

const shapes = [
  { tokens: 1, vocabulary: 1, columns: 1 },
  { tokens: 3, vocabulary: 5, columns: 15 },
  { tokens: 17, vocabulary: 4, columns: 16 },
  { tokens: 33, vocabulary: 100, columns: 77 },
  { tokens: 200, vocabulary: 3, columns: 259 },
  { tokens: 1100, vocabulary: 50, columns: 33 },
];

for (const dtype of dtypes) {
  for (const { tokens, vocabulary, columns } of shapes) {
    const name = `${dtype} ${tokens} tokens of ${vocabulary}, ${columns} columns`;
    test(`embedding forward and backward: ${name}`, () => {
      const ids = tokenIds(tokens, vocabulary);
      const table = normals(vocabulary * columns, 1);
      const dout = normals(tokens * columns, 2, dtype);
      using idMemory = toMemoryI32(ids);
      using tableMemory = toMemory(table);
      using doutMemory = toMemory(dout, dtype);
      const shape = { dtype: dtypeCodes[dtype], ids: idMemory, tokens, vocabulary, columns };
      const [out, gradient] = onAnyThreads((pool) => {
        const out = emptyMemory(tokens * columns, dtype);
        const tableGradient = toMemory(table);
        embeddingForward({ ...shape, pool, table: tableMemory, out });
        embeddingBackward({ ...shape, pool, dout: doutMemory, tableGradient });
        return [out, tableGradient];
      }) as [NativeMemory, NativeMemory];
      assertClose(fromMemory(out, tokens * columns, dtype), twin.embeddingForward(ids, table, columns), dtype, "out");
      const expected = twin.embeddingBackward(ids, dout, table, columns);
      assertClose(fromMemory(gradient, expected.length), expected, "f32", "table gradient");
      out[Symbol.dispose]();
      gradient[Symbol.dispose]();
    });
  }

  for (const [rows, vocabulary] of [
    [1, 1],
    [1, 2],
    [3, 15],
    [7, 16],
    [5, 100],
    [40, 1037],
    [3, 20_000],
  ] as const) {
    test(`cross-entropy: ${dtype} ${rows} rows of ${vocabulary}`, () => {
      const logits = normals(rows * vocabulary, 3, "f32", 4);
      const targets = tokenIds(rows, vocabulary);
      for (let r = 1; r < rows; r += 3) targets[r] = -1;
      targets[0] = vocabulary - 1;
      using logitMemory = toMemory(logits);
      using targetMemory = toMemoryI32(targets);
      const scale = 0.125;
      const call = {
        dtype: dtypeCodes[dtype],
        logits: logitMemory,
        targets: targetMemory,
        rows,
        vocabulary,
        scale,
        rowScales: null,
      };
      const [losses, dlogits] = onAnyThreads((pool) => {
        const losses = emptyMemory(rows);
        const dlogits = emptyMemory(rows * vocabulary, dtype);
        crossEntropy({ ...call, pool, losses, dlogits });
        return [losses, dlogits];
      }) as [NativeMemory, NativeMemory];
      const expected = twin.crossEntropy(logits, targets, vocabulary, scale);
      // A loss is a difference of numbers of the size of the logits: near 0 its error is absolute.
      const plusOne = (values: Float64Array) => values.map((x) => x + 1);
      assertClose(plusOne(fromMemory(losses, rows)), plusOne(expected.losses), "f32", "losses + 1");
      assertClose(fromMemory(dlogits, rows * vocabulary, dtype), expected.dlogits, dtype, "dlogits");
      using lossesAlone = emptyMemory(rows);
      crossEntropy({ ...call, pool: null, losses: lossesAlone, dlogits: null });
      assert.equal(bytesOf(lossesAlone), bytesOf(losses), "without a gradient the losses are the same");
      losses[Symbol.dispose]();
      dlogits[Symbol.dispose]();
    });
  }

  test(`cross-entropy: ${dtype} gradients scaled row by row`, () => {
    const [rows, vocabulary] = [5, 37];
    const logits = normals(rows * vocabulary, 3, "f32", 4);
    const targets = [0, 36, -1, 5, 7];
    const rowScales = [1, -0.5, 3, 0, 2];
    using logitMemory = toMemory(logits);
    using targetMemory = toMemoryI32(targets);
    using scaleMemory = toMemory(rowScales);
    using losses = emptyMemory(rows);
    using dlogits = emptyMemory(rows * vocabulary, dtype);
    const arrays = { logits: logitMemory, targets: targetMemory, losses, dlogits, rowScales: scaleMemory };
    crossEntropy({ pool: null, dtype: dtypeCodes[dtype], ...arrays, rows, vocabulary, scale: 0.5 });
    const expected = twin.crossEntropy(logits, targets, vocabulary, 0.5).dlogits;
    const scaled = expected.map((value, i) => value * rowScales[Math.floor(i / vocabulary)]!);
    assertClose(fromMemory(dlogits, rows * vocabulary, dtype), scaled, dtype, "dlogits");
  });

  test(`cross-entropy: ${dtype} infinite, enormous and NaN logits`, () => {
    const infinity = Number.POSITIVE_INFINITY;
    const vocabulary = 19;
    const row = (special: Record<number, number>) =>
      Array.from({ length: vocabulary }, (_, i) => special[i] ?? (i % 5) / 4);
    const rows = [
      row({ 2: -infinity, 18: -infinity }), // a masked token has probability 0
      row({ 3: 3e38, 4: -3e38 }), // no overflow on the way to the maximum
      row({ 17: Number.NaN }),
      row({ 1: infinity }),
      Array(vocabulary).fill(-infinity),
      row({ 0: Number.NaN }), // ignored: its target is -1
      row({}),
    ];
    const targets = [0, 3, 0, 0, 0, -1, 18];
    using logits = toMemory(rows.flat());
    using targetMemory = toMemoryI32(targets);
    using losses = emptyMemory(rows.length);
    using dlogits = emptyMemory(rows.length * vocabulary, dtype);
    crossEntropy({
      pool: null,
      dtype: dtypeCodes[dtype],
      logits,
      targets: targetMemory,
      losses,
      dlogits,
      rows: rows.length,
      vocabulary,
      scale: 1,
      rowScales: null,
    });
    const loss = fromMemory(losses, rows.length);
    const gradient = fromMemory(dlogits, rows.length * vocabulary, dtype);
    const gradientOf = (r: number) => gradient.subarray(r * vocabulary, (r + 1) * vocabulary);
    for (const r of [0, 1, 5, 6]) {
      assert.ok(Number.isFinite(loss[r]), `loss of row ${r}`);
      assert.ok(gradientOf(r).every(Number.isFinite), `gradient of row ${r}`);
    }
    assert.equal(gradientOf(0)[2], 0);
    assert.equal(gradientOf(0)[18], 0);
    assert.equal(loss[1], 0);
    assert.ok(gradientOf(1).every((x) => x === 0));
    assert.ok(gradientOf(5).every((x) => x === 0));
    for (const r of [2, 3, 4]) {
      assert.ok(Number.isNaN(loss[r]), `loss of row ${r}`);
      assert.ok(gradientOf(r).every(Number.isNaN), `gradient of row ${r}`);
    }
  });
}

test("an id or target outside the vocabulary is refused before anything is written", () => {
  using table = toMemory(normals(12, 1));
  using out = emptyMemory(12);
  const before = bytesOf(out);
  const refused = { code: "KERNEL_FAILED", message: /bad argument/ };
  for (const ids of [
    [0, 4, 1],
    [0, 1, -1],
    [-2147483648, 0, 0],
  ]) {
    using idMemory = toMemoryI32(ids);
    const shape = { pool: null, dtype: 0, ids: idMemory, tokens: 3, vocabulary: 4, columns: 3 };
    assert.throws(() => embeddingForward({ ...shape, table, out }), refused);
    assert.throws(() => embeddingBackward({ ...shape, dout: table, tableGradient: out }), refused);
  }
  for (const target of [3, -2, 2147483647]) {
    using targets = toMemoryI32([0, target]);
    const call = { pool: null, dtype: 0, logits: table, targets, losses: out, dlogits: out, rows: 2, vocabulary: 3 };
    assert.throws(() => crossEntropy({ ...call, scale: 1, rowScales: null }), refused);
  }
  assert.equal(bytesOf(out), before);
});

test("wrong dtypes, absent arrays and sizes that overflow are refused", () => {
  const refused = { code: "KERNEL_FAILED", message: /bad argument/ };
  using ids = toMemoryI32([0]);
  using memory = toMemory([1]);
  const embedding = { pool: null, dtype: 0, ids, table: memory, out: memory, tokens: 1, vocabulary: 1, columns: 1 };
  assert.throws(() => embeddingForward({ ...embedding, dtype: 2 }), refused);
  assert.throws(() => embeddingForward({ ...embedding, ids: null }), refused);
  assert.throws(() => embeddingForward({ ...embedding, out: null }), refused);
  assert.throws(() => embeddingForward({ ...embedding, vocabulary: 2 ** 40, columns: 2 ** 40 }), refused);
  const loss = { pool: null, dtype: 0, logits: memory, targets: ids, losses: memory, dlogits: null, rows: 1 };
  assert.throws(() => crossEntropy({ ...loss, vocabulary: 0, scale: 1, rowScales: null }), refused);
  assert.throws(() => crossEntropy({ ...loss, dtype: -1, vocabulary: 1, scale: 1, rowScales: null }), refused);
  assert.throws(() => crossEntropy({ ...loss, losses: null, vocabulary: 1, scale: 1, rowScales: null }), refused);
  assert.throws(() => sum({ values: null, count: 1, sum: memory }), refused);
  assert.throws(() => sum({ values: memory, count: 1, sum: null }), refused);
});

test("nothing to do is no error", () => {
  embeddingForward({ pool: null, dtype: 0, ids: null, table: null, out: null, tokens: 0, vocabulary: 4, columns: 3 });
  const shape = { pool: null, dtype: 1, ids: null, dout: null, tableGradient: null };
  embeddingBackward({ ...shape, tokens: 0, vocabulary: 0, columns: 3 });
  const call = { pool: null, dtype: 0, logits: null, targets: null, losses: null, dlogits: null, rows: 0 };
  crossEntropy({ ...call, vocabulary: 3, scale: 1, rowScales: null });
  using total = emptyMemory(1);
  sum({ values: null, count: 0, sum: total });
  assert.deepEqual([...fromMemory(total, 1)], [0]);
});

test("sum over odd counts", () => {
  for (const count of [1, 15, 16, 4095, 4096, 4097, 100_003]) {
    const values = normals(count, count).map((x) => Math.fround(x + 1));
    using memory = toMemory(values);
    using total = emptyMemory(1);
    sum({ values: memory, count, sum: total });
    const expected = values.reduce((a, b) => a + b, 0);
    assertClose(fromMemory(total, 1), [expected], "f32", `sum of ${count}`);
  }
});
