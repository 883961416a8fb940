import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type AttentionShape, attentionTwin } from "../../../test/twins/attention.ts";
import { fp8Values, toFp8 } from "../../../test/twins/fp8.ts";
import { accepts, badCounts, refusesEach } from "../../../test/twins/refusals.ts";
import {
  assertClose,
  bytesOf,
  type Dtype,
  dtypes,
  emptyMemory,
  fromMemory,
  normals,
  roundTo,
  scratchMemory,
  toMemory,
  toMemoryI32,
} from "../../../test/twins/support.ts";
import { attentionForward, attentionForwardScratchBytes, attentionPaged, cacheWrite, keyBlock } from "./attention.ts";
import { cacheDtypeCodes, dtypeCodes } from "./declare.ts";
import { NativeMemory } from "./memory.ts";
import { ThreadPool } from "./threads.ts";

type CacheType = keyof typeof cacheDtypeCodes;

/** Heads, KV heads and width of a head. */
const heads: [number, number, number][] = [
  [4, 2, 64],
  [5, 1, 24],
  [8, 8, 80],
  [2, 1, 33],
  [2, 1, 272],
];
const lengths = [1, 63, 64, 65, 130, 200, 17];

type Case = { shape: AttentionShape; q: Float64Array; k: Float64Array; v: Float64Array };

/** Texts of several lengths, of which the last few tokens are queries: one, some, or all. */
function caseOf([heads, kvHeads, headDim]: [number, number, number], dtype: Dtype): Case {
  let keyRow = 0;
  let queryRow = 0;
  const sequences = lengths.map((keys, at) => {
    const queries = [1, Math.ceil(keys / 2), keys][at % 3]!;
    const sequence = { queryRow, queries, keyRow, keys };
    keyRow += keys;
    queryRow += queries;
    return sequence;
  });
  const shape = { heads, kvHeads, headDim, scale: Math.fround(headDim ** -0.5), sequences };
  const width = kvHeads * headDim;
  const q = normals(queryRow * heads * headDim, 1, dtype, 2);
  return { shape, q, k: normals(keyRow * width, 2, dtype), v: normals(keyRow * width, 3, dtype, 3) };
}

const pages = 24;
/** An order in which neighbours are far apart, and pages that belong to nobody lie between. */
const pageAt = (index: number) => (index * 7 + 3) % pages;

/** Writes the keys and values into pages, and attends to them there. */
function runPaged({ shape, q, k, v }: Case, dtype: Dtype, cacheType: CacheType, scales = [1, 1], threads = 0) {
  const { heads, kvHeads, headDim, scale, sequences } = shape;
  const width = kvHeads * headDim;
  const cacheRows = pages * keyBlock;
  const cacheBytes = cacheRows * width * { f32: 4, bf16: 2, fp8: 1 }[cacheType];
  // what nobody wrote is NaN in every type
  const [keyCache, valueCache] = [scratchMemory(cacheBytes), scratchMemory(cacheBytes)];
  const table: number[] = [];
  const places: number[] = [];
  const rows = sequences.flatMap(({ queryRow, queries, keys }) => {
    const first = table.length;
    for (let block = 0; block * keyBlock < keys; block++) table.push(pageAt(table.length));
    for (let key = 0; key < keys; key++) {
      places.push(table[first + Math.floor(key / keyBlock)]! * keyBlock + (key % keyBlock));
    }
    return [queryRow, queries, first, keys];
  });
  using pool = threads > 0 ? new ThreadPool(threads) : undefined;
  const [keyScale, valueScale] = scales as [number, number];
  const common = { pool: pool ?? null, dtype: dtypeCodes[dtype], cacheDtype: cacheDtypeCodes[cacheType] };
  cacheWrite({
    ...common,
    k: toMemory(k, dtype),
    v: toMemory(v, dtype),
    places: toMemoryI32(places),
    keyCache,
    valueCache,
    rows: places.length,
    pages,
    kvHeads,
    headDim,
    keyScale,
    valueScale,
  });
  const out = emptyMemory(q.length, dtype);
  const count = sequences.length;
  using scratch = scratchMemory(
    attentionForwardScratchBytes({ dtype: common.dtype, headDim, count, threads: Math.max(1, threads) }),
  );
  attentionPaged({
    ...common,
    q: toMemory(q, dtype),
    k: keyCache,
    v: valueCache,
    pages,
    table: toMemoryI32(table),
    entries: table.length,
    sequences: toMemoryI32(rows),
    count,
    out,
    queryRows: q.length / heads / headDim,
    heads,
    kvHeads,
    headDim,
    scale: scale * keyScale,
    valueScale,
    scratch,
  });
  return { out, keyCache, valueCache, places, width };
}

function runContiguous({ shape, q, k, v }: Case, dtype: Dtype): NativeMemory {
  const { heads, kvHeads, headDim, scale, sequences } = shape;
  const out = emptyMemory(q.length, dtype);
  const count = sequences.length;
  using scratch = scratchMemory(attentionForwardScratchBytes({ dtype: dtypeCodes[dtype], headDim, count, threads: 1 }));
  attentionForward({
    pool: null,
    dtype: dtypeCodes[dtype],
    q: toMemory(q, dtype),
    k: toMemory(k, dtype),
    v: toMemory(v, dtype),
    sequences: toMemoryI32(sequences.flatMap((s) => [s.queryRow, s.queries, s.keyRow, s.keys])),
    count,
    out,
    logSumExp: null,
    queryRows: q.length / heads / headDim,
    keyRows: k.length / kvHeads / headDim,
    heads,
    kvHeads,
    headDim,
    scale,
    ...{ dropoutThreshold: 0, dropoutScale: 1, key0: 0, key1: 0 },
    scratch,
  });
  return out;
}

/** What the cache makes of a number. */
const throughFp8 = (values: Float64Array, scale: number) => values.map((x) => fp8Values[toFp8(x / scale)]! * scale);

for (const dtype of dtypes) {
  describe(`attention to pages in ${dtype}`, () => {
    for (const size of heads) {
      it(`gives the bits of contiguous keys, ${size[0]}/${size[1]} heads of ${size[2]}`, () => {
        const one = caseOf(size, dtype);
        const expected = bytesOf(runContiguous(one, dtype));
        assert.ok(bytesOf(runPaged(one, dtype, dtype).out) === expected);
        assert.ok(bytesOf(runPaged(one, dtype, dtype, [1, 1], 2).out) === expected);
      });

      it(`equals its f64 twin with 8-bit keys and values, ${size[0]}/${size[1]} heads of ${size[2]}`, () => {
        const one = caseOf(size, dtype);
        for (const [keyScale, valueScale] of [
          [1, 1],
          [0.25, 0.125],
        ] as const) {
          const { out } = runPaged(one, dtype, "fp8", [keyScale, valueScale]);
          const seen = { ...one, k: throughFp8(one.k, keyScale), v: throughFp8(one.v, valueScale) };
          const expected = attentionTwin(seen, one.shape).out;
          assertClose(fromMemory(out, expected.length, dtype), expected, dtype, `scales ${keyScale} ${valueScale}`);
          assert.ok(bytesOf(runPaged(one, dtype, "fp8", [keyScale, valueScale], 2).out) === bytesOf(out));
        }
      });
    }

    it("lets a value of NaN reach the queries that see it, and no others", () => {
      const one = caseOf([4, 2, 32], dtype);
      const text = one.shape.sequences.find(({ queries, keys }) => queries === keys && keys > 63)!;
      for (const cacheType of [dtype, "fp8"] as const) {
        const clean = fromMemory(runPaged(one, dtype, cacheType).out, one.q.length, dtype);
        const poisoned = { ...one, v: Float64Array.from(one.v) };
        poisoned.v[(text.keyRow + 40) * 64 + 3] = Number.NaN;
        const out = fromMemory(runPaged(poisoned, dtype, cacheType).out, one.q.length, dtype);
        const first = (text.queryRow + 40) * 128;
        const end = (text.queryRow + text.queries) * 128;
        assert.ok(out.subarray(first, first + 128).some(Number.isNaN));
        assert.equal(
          out.findIndex((value, i) => (i < first || i >= end) && !Object.is(value, clean[i])),
          -1,
        );
      }
    });

    it("writes rows to their places, in 8 bits rounded to the nearest", () => {
      const one = caseOf([2, 1, 33], dtype);
      const odd = [
        0,
        -0,
        1e9,
        -1e9,
        Number.NaN,
        448,
        464,
        465,
        2 ** -6,
        2 ** -10,
        3 * 2 ** -10,
        2 ** -11,
        1.0625,
        1.1875,
      ];
      one.k.set(odd.map((x) => roundTo(dtype, x)));
      const copy = runPaged(one, dtype, dtype);
      const narrow = runPaged(one, dtype, "fp8", [1, 0.5]);
      const { width, places } = copy;
      const wide = fromMemory(copy.keyCache, pages * keyBlock * width, dtype);
      const [keyCodes, valueCodes] = [narrow.keyCache.bytes(), narrow.valueCache.bytes()];
      for (const [row, place] of places.entries()) {
        for (let column = 0; column < width; column++) {
          const [key, value] = [one.k[row * width + column]!, one.v[row * width + column]!];
          // one KV head: a page is its rows
          const at = place * width + column;
          assert.ok(Object.is(wide[at], key));
          const expected = toFp8(key);
          assert.equal(keyCodes[at]! & (Number.isNaN(key) ? 0x7f : 0xff), expected, `${key}`);
          assert.equal(valueCodes[at], toFp8(value / 0.5), `${value}`);
        }
      }
      const untouched = new Set(places);
      for (let row = 0; row < pages * keyBlock; row++) {
        if (!untouched.has(row)) assert.ok(keyCodes.subarray(row * width, (row + 1) * width).every((b) => b === 0xff));
      }
    });
  });
}

it("every 8-bit code is read as its value, and written as itself", () => {
  // one text of one key a code: attention to one key gives its value
  const codes = Array.from({ length: 256 }, (_, code) => code).filter((code) => (code & 127) !== 127);
  for (const dtype of dtypes) {
    const v = Float64Array.from(codes, (code) => fp8Values[code]!);
    const sequences = codes.map((_, at) => ({ queryRow: at, queries: 1, keyRow: at, keys: 1 }));
    const shape = { heads: 1, kvHeads: 1, headDim: 1, scale: 1, sequences };
    // more texts than pages: in parts
    for (let start = 0; start < codes.length; start += 20) {
      const part = sequences.slice(0, 20).filter((_, at) => start + at < codes.length);
      const values = v.slice(start, start + part.length);
      const one = { shape: { ...shape, sequences: part }, q: values.map(() => 1), k: values.map(() => 1), v: values };
      const { out } = runPaged(one, dtype, "fp8");
      const found = fromMemory(out, part.length, dtype);
      for (const [at, value] of values.entries()) assert.equal(found[at]! + 0, value + 0, `code ${codes[start + at]}`);
    }
  }
});

describe("the paged kernels refuse", () => {
  const sizes = { queryRows: 1, pages: 1, heads: 1, kvHeads: 1, headDim: 1, count: 0, entries: 1 };
  const attend = (any: NativeMemory) => ({
    pool: null,
    dtype: 0,
    cacheDtype: 0,
    q: any,
    k: any,
    v: any,
    table: any,
    sequences: any,
    out: any,
    scale: 1,
    valueScale: 1,
    scratch: any,
    ...sizes,
  });

  it("sizes, types, and alignment", () => {
    accepts((any) => attentionPaged(attend(any)));
    const bad = { dtype: [2, -1], cacheDtype: [1, 3, -1], heads: [0], kvHeads: [0, 2], headDim: [0], count: badCounts };
    refusesEach(
      attentionPaged,
      attend,
      { ...bad, count: [2 ** 31] },
      { optional: ["pool", "sequences"], aligned: ["scratch"] },
    );
    const write = (any: NativeMemory) => ({
      pool: null,
      dtype: 0,
      cacheDtype: 0,
      k: any,
      v: any,
      places: any,
      keyCache: any,
      valueCache: any,
      rows: 1,
      pages: 1,
      kvHeads: 1,
      headDim: 1,
      keyScale: 1,
      valueScale: 1,
    });
    accepts((any) => cacheWrite({ ...write(any), rows: 0 }));
    const wrong = {
      dtype: [2],
      cacheDtype: [1, 3],
      rows: [2 ** 31],
      pages: [0],
      keyScale: [0, -1],
      valueScale: [0],
    };
    refusesEach(cacheWrite, write, wrong);
  });

  it("pages that do not exist, and texts with fewer pages than tokens", () => {
    using q = new NativeMemory(1 << 12);
    using scratch = new NativeMemory(attentionForwardScratchBytes({ dtype: 0, headDim: 1, count: 1, threads: 1 }));
    const call = (table: number[], sequence: number[]) =>
      attentionPaged({
        ...attend(q),
        out: new NativeMemory(1 << 12),
        pages: 2,
        table: toMemoryI32(table),
        entries: table.length,
        sequences: toMemoryI32(sequence),
        count: 1,
        scratch,
      });
    call([1, 0], [0, 1, 0, 128]);
    for (const [table, sequence] of [
      [[2], [0, 1, 0, 1]],
      [[-1], [0, 1, 0, 1]],
      [
        [0, 0],
        [0, 1, 0, 129],
      ],
      [
        [0, 0],
        [0, 1, 1, 65],
      ],
      [
        [0, 0],
        [0, 1, -1, 1],
      ],
    ] as const) {
      assert.throws(() => call([...table], [...sequence]), /refused a bad argument/);
    }
  });
});
