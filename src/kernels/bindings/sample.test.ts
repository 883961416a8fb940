import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { accepts, refusesEach } from "../../../test/twins/refusals.ts";
import * as twin from "../../../test/twins/sample.ts";
import {
  assertClose,
  bytesOf,
  emptyMemory,
  fromMemory,
  fromMemoryI32,
  normals,
  scratchMemory,
  toMemory,
  toMemoryI32,
} from "../../../test/twins/support.ts";
import { streamKeys } from "../../base/random.ts";
import type { Addressed } from "./declare.ts";
import type { NativeMemory } from "./memory.ts";
import { noToken, sample, sampleScratchBytes, tokenLogprobs } from "./sample.ts";
import { ThreadPool } from "./threads.ts";

const seed = 20241104;
const keys = streamKeys(1, "test");

/** Row r draws the number at `place + r` of the test's stream. */
function sampleTokens(
  logits: ArrayLike<number>,
  vocabulary: number,
  rows: readonly twin.TwinRow[],
  { place = 0, pool = null as Addressed | null, threads = 1 } = {},
): number[] {
  const words = Math.ceil(vocabulary / 32);
  const masks = rows.flatMap(({ permits = () => true }) =>
    Array.from({ length: words }, (_, word) => {
      let bits = 0;
      for (let bit = 0; bit < 32; bit++) if (permits(32 * word + bit)) bits |= 1 << bit;
      return bits;
    }),
  );
  const offsets = (lists: readonly (readonly unknown[])[]) => {
    let end = 0;
    return [0, ...lists.map((list) => (end += list.length))];
  };
  const biases = rows.map((row) => row.biases ?? []);
  const seen = rows.map((row) => row.seen ?? []);
  const owned: NativeMemory[] = [];
  const own = (memory: NativeMemory) => {
    owned.push(memory);
    return memory;
  };
  const tokens = own(emptyMemory(rows.length));
  try {
    sample({
      pool,
      logits: own(toMemory(logits)),
      rows: rows.length,
      vocabulary,
      masks: own(toMemoryI32(masks)),
      maskCount: rows.length,
      settings: own(
        toMemory(
          rows.flatMap((row) => [
            row.temperature,
            row.topP ?? 1,
            row.minP ?? 0,
            row.repetitionPenalty ?? 1,
            row.presencePenalty ?? 0,
            row.frequencyPenalty ?? 0,
          ]),
        ),
      ),
      numbers: own(toMemoryI32(rows.flatMap((row, r) => [row.topK ?? 0, r, keys[0] | 0, keys[1] | 0, place + r]))),
      biasOffsets: own(toMemoryI32(offsets(biases))),
      biasIds: own(toMemoryI32(biases.flat().map(([id]) => id))),
      biases: own(toMemory(biases.flat().map(([, bias]) => bias))),
      seenOffsets: own(toMemoryI32(offsets(seen))),
      seenIds: own(toMemoryI32(seen.flat().map(([id]) => id))),
      seenCounts: own(toMemoryI32(seen.flat().map(([, count]) => count))),
      tokens,
      scratch: own(scratchMemory(sampleScratchBytes({ vocabulary, threads }))),
    });
    return fromMemoryI32(tokens, rows.length);
  } finally {
    for (const memory of owned) memory[Symbol.dispose]();
  }
}

/** Logits of which many are equal, some −∞; at least one is finite. */
const logits = fc
  .array(
    fc.oneof(fc.constantFrom(-1, -0, 0, 2, Number.NEGATIVE_INFINITY), fc.float({ min: -30, max: 30, noNaN: true })),
    { minLength: 1, maxLength: 70 },
  )
  .filter((values) => values.some(Number.isFinite));

const nothing = { nil: undefined };
const settings = fc.record({
  temperature: fc.double({ min: 0.05, max: 5, noNaN: true }).map(Math.fround),
  topK: fc.option(fc.integer({ min: 1, max: 80 }), nothing),
  topP: fc.option(fc.double({ min: 0.01, max: 0.999, noNaN: true }).map(Math.fround), nothing),
  minP: fc.option(fc.double({ min: 0, max: 1, noNaN: true }).map(Math.fround), nothing),
});
type Settings = { [Name in "topK" | "topP" | "minP"]: number | undefined } & { temperature: number };

/** Without the keys that are undefined. */
function defined({ temperature, topK, topP, minP }: Settings): twin.TwinRow {
  return {
    temperature,
    ...(topK === undefined ? {} : { topK }),
    ...(topP === undefined ? {} : { topP }),
    ...(minP === undefined ? {} : { minP }),
  };
}

/** Fails unless `token` lies where the draw at `place` points, give or take what f32 rounds. */
function assertDrawn(token: number, values: ArrayLike<number>, row: twin.TwinRow, place: number): void {
  const all = twin.candidates(values, row);
  const found = twin.interval(all, token);
  assert.ok(found, `${token} is not among ${all.map(({ id }) => id)}`);
  const at = twin.uniform53(keys, place);
  assert.ok(found[0] - 1e-5 <= at && at <= found[1] + 1e-5, `${at} lies outside ${found}`);
}

describe("a token", () => {
  for (const vocabulary of [1, 3, 16, 31, 33, 100, 1023, 1025, 5003]) {
    it(`of ${vocabulary} is the twin's, with all rules, on 1, 2 and 3 threads`, () => {
      const rows: twin.TwinRow[] = Array.from({ length: 24 }, (_, r) => ({
        temperature: [0.25, 1, 2][r % 3]!,
        ...(r % 2 === 0 ? { topK: 1 + 7 * r } : {}),
        ...(r % 4 < 2 ? { topP: 0.5 + r / 64 } : {}),
        ...(r % 5 === 0 ? { minP: 0.0625 } : {}),
        repetitionPenalty: 1 + (r % 3) / 4,
        presencePenalty: (r % 4) / 4,
        frequencyPenalty: (r % 5) / 8,
        biases: r % 3 === 0 ? [[vocabulary - 1, 1.5]] : [],
        seen: Array.from({ length: Math.min(vocabulary, r) }, (_, id) => [id, id % 3] as const),
        permits: (id) => r % 6 !== 5 || id % 3 === 0,
      }));
      const values = normals(rows.length * vocabulary, 11, "f32", 2);
      const alone = sampleTokens(values, vocabulary, rows);
      for (const [r, row] of rows.entries()) {
        const own = values.subarray(r * vocabulary, (r + 1) * vocabulary);
        assertDrawn(alone[r]!, twin.adjusted(own, row), { ...row, ...unadjusted }, r);
      }
      for (const threads of [1, 2, 3]) {
        using pool = new ThreadPool(threads);
        assert.deepEqual(sampleTokens(values, vocabulary, rows, { pool, threads }), alone);
      }
    });
  }

  it("is one that top-k, top-p and min-p leave, at its place among them", () => {
    fc.assert(
      fc.property(logits, settings, fc.nat(1000), (values, limits, place) => {
        const row = defined(limits);
        // a border that rounding may move is no test of the border
        if (hasNearBorder(values, row)) return;
        assertDrawn(sampleTokens(values, values.length, [row], { place })[0]!, values, row, place);
      }),
      { seed, numRuns: 1000 },
    );
  });

  it("may be each of those that are left, and no other", () => {
    fc.assert(
      fc.property(logits, settings, (values, limits) => {
        const row = defined({ ...limits, temperature: 20 });
        if (hasNearBorder(values, row)) return;
        const rows = Array.from({ length: 2000 }, () => row);
        const repeated = rows.flatMap(() => values);
        const drawn = new Set(sampleTokens(repeated, values.length, rows));
        // at this temperature none of 70 has less than a 400th
        const expected = twin.candidates(values, row).filter(({ weight }) => weight > 0.3);
        for (const { id } of expected) assert.ok(drawn.has(id));
        const ids = new Set(twin.candidates(values, row).map(({ id }) => id));
        for (const id of drawn) assert.ok(ids.has(id));
      }),
      { seed, numRuns: 30 },
    );
  });

  it("is the likeliest at temperature 0 and near it, the first of equals", () => {
    fc.assert(
      fc.property(logits, (values) => {
        const expected = values.indexOf(Math.max(...values));
        for (const temperature of [0, 1e-42]) {
          const [token] = sampleTokens(values, values.length, [{ temperature }]);
          if (temperature === 0) assert.equal(token, expected);
          else assert.ok(values[expected]! - values[token!]! < 1e-30);
        }
      }),
      { seed, numRuns: 300 },
    );
  });

  it("comes as often as its probability says", () => {
    const values = [1, 0, -1, 2, Number.NEGATIVE_INFINITY];
    const count = 40_000;
    const rows = Array.from({ length: count }, () => ({ temperature: 0.8 }));
    const tokens = sampleTokens(
      rows.flatMap(() => values),
      values.length,
      rows,
    );
    const total = values.reduce((sum, logit) => sum + Math.exp(logit / 0.8), 0);
    for (const [id, logit] of values.entries()) {
      const probability = Math.exp(logit / 0.8) / total;
      const share = tokens.filter((token) => token === id).length / count;
      assert.ok(Math.abs(share - probability) <= 4.5 * Math.sqrt((probability * (1 - probability)) / count), `${id}`);
    }
  });

  it("comes from the whole vocabulary: of 100,000 equals all ranges are drawn, and top-k takes the first", () => {
    const vocabulary = 100_000;
    const values = new Float64Array(vocabulary * 40);
    const rows = Array.from({ length: 40 }, (_, r) => ({ temperature: 1, ...(r < 20 ? {} : { topK: 77 }) }));
    const tokens = sampleTokens(values, vocabulary, rows);
    assert.ok(new Set(tokens.slice(0, 20).map((id) => Math.floor(id / 10_000))).size >= 7);
    for (const token of tokens.slice(20)) assert.ok(token < 77);
  });

  it("is none where the logits are no numbers to draw from", () => {
    const rows = Array.from({ length: 2 }, (_, r) => ({ temperature: r }));
    const twice = (values: number[]) => sampleTokens([...values, ...values], values.length, rows);
    assert.deepEqual(twice([0, Number.NaN, 1]), [noToken.notFinite, noToken.notFinite]);
    assert.deepEqual(twice([0, Number.POSITIVE_INFINITY, 1]), [noToken.notFinite, noToken.notFinite]);
    assert.deepEqual(twice([Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY]), [noToken.empty, noToken.empty]);
    const forbidden = { temperature: 1, permits: () => false };
    assert.deepEqual(sampleTokens([1, 2], 2, [forbidden]), [noToken.empty]);
  });
});

/** What `adjusted` has done already. */
const unadjusted = {
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  biases: [],
  seen: [],
  permits: () => true,
};

/** Whether top-p or min-p cuts so near a candidate that f32 may cut on its other side. */
function hasNearBorder(values: readonly number[], row: twin.TwinRow): boolean {
  const count = (change: number) =>
    twin.candidates(values, {
      ...row,
      ...(row.topP === undefined ? {} : { topP: row.topP * (1 + change) }),
      ...(row.minP === undefined ? {} : { minP: row.minP * (1 + change) }),
    }).length;
  return count(-1e-5) !== count(1e-5);
}

describe("log-probabilities", () => {
  for (const [rows, vocabulary, top] of [
    [1, 1, 1],
    [3, 15, 15],
    [7, 100, 0],
    [20, 1037, 5],
    [2, 20_000, 20],
  ] as const) {
    it(`of ${rows} rows of ${vocabulary}, and the ${top} likeliest, on 1, 2 and 3 threads`, () => {
      const values = normals(rows * vocabulary, 3, "f32", 4).map((x) => Math.round(x * 4) / 4);
      const targets = Array.from({ length: rows }, (_, r) => (r % 4 === 3 ? -1 : (r * 7919) % vocabulary));
      const mask = Array.from({ length: Math.ceil(vocabulary / 32) }, (_, word) => (word === 1 ? 0 : -1));
      const permits = (id: number) => id >>> 5 !== 1;
      using logits = toMemory(values);
      using targetMemory = toMemoryI32(targets);
      using maskMemory = toMemoryI32(mask);
      const run = (pool: Addressed | null, threads: number) => {
        using logprobs = emptyMemory(rows);
        using topIds = toMemoryI32(new Int32Array(rows * top).fill(-7));
        using topLogprobs = emptyMemory(rows * top);
        using scratch = scratchMemory(sampleScratchBytes({ vocabulary, threads }));
        const wanted = { mask: maskMemory, targets: targetMemory, top, logprobs, topIds, topLogprobs };
        tokenLogprobs({ pool, logits, rows, vocabulary, ...wanted, scratch });
        return {
          bytes: [logprobs, topIds, topLogprobs].map(bytesOf),
          logprobs: fromMemory(logprobs, rows),
          topIds: fromMemoryI32(topIds, rows * top),
          topLogprobs: fromMemory(topLogprobs, rows * top),
        };
      };
      const alone = run(null, 1);
      for (const [r, target] of targets.entries()) {
        const ids = alone.topIds.slice(r * top, (r + 1) * top);
        if (target === -1) {
          assert.ok(Number.isNaN(alone.logprobs[r]!) && ids.every((id) => id === -7), "nothing is written");
          continue;
        }
        const expected = twin.logprobs(values.subarray(r * vocabulary, (r + 1) * vocabulary));
        assertClose([alone.logprobs[r]!], [expected[target]!], "f32", "of the target");
        const order = [...expected.keys()].filter(permits).sort((a, b) => expected[b]! - expected[a]! || a - b);
        const likeliest = order.slice(0, top);
        assert.deepEqual(ids, [...likeliest, ...new Array<number>(top - likeliest.length).fill(-1)]);
        const logprobs = alone.topLogprobs.subarray(r * top, r * top + likeliest.length);
        const exact = likeliest.map((id) => expected[id]!);
        if (top > 0) assertClose(logprobs, exact, "f32", "of the likeliest");
      }
      for (const threads of [1, 2, 3]) {
        using pool = new ThreadPool(threads);
        assert.deepEqual(run(pool, threads).bytes, alone.bytes);
      }
    });
  }

  it("of broken logits are no numbers", () => {
    for (const broken of [Number.NaN, Number.POSITIVE_INFINITY]) {
      using logits = toMemory([0, broken, 1]);
      using targets = toMemoryI32([0]);
      using mask = toMemoryI32([-1]);
      using logprobs = toMemory([0]);
      using topIds = toMemoryI32([0, 0]);
      using topLogprobs = toMemory([0, 0]);
      using scratch = scratchMemory(sampleScratchBytes({ vocabulary: 3, threads: 1 }));
      const outputs = { logprobs, topIds, topLogprobs, scratch };
      tokenLogprobs({ pool: null, logits, rows: 1, vocabulary: 3, mask, targets, top: 2, ...outputs });
      assert.ok(Number.isNaN(fromMemory(logprobs, 1)[0]!));
      assert.deepEqual(fromMemoryI32(topIds, 2), [-1, -1]);
    }
  });
});

describe("arguments", () => {
  it("of sample", () => {
    using offsets = toMemoryI32([0, 0]);
    using one = toMemoryI32([0, 1]);
    using id = toMemoryI32([3]);
    const good = (any: NativeMemory) => {
      const lists = {
        biasOffsets: any,
        biasIds: null,
        biases: null,
        seenOffsets: any,
        seenIds: null,
        seenCounts: null,
      };
      const call = { pool: null, logits: any, rows: 1, vocabulary: 3, masks: any, maskCount: 1 };
      return { ...call, settings: any, numbers: any, ...lists, tokens: any, scratch: any };
    };
    using settings = toMemory([1, 1, 0, 1, 0, 0]);
    using numbers = toMemoryI32([0, 0, 0, 0, 0]);
    const whole = (any: NativeMemory) => ({
      ...good(any),
      settings,
      numbers,
      biasOffsets: offsets,
      seenOffsets: offsets,
    });
    accepts((any) => sample(whole(any)));
    refusesEach(
      sample,
      whole,
      { rows: [-1, 2 ** 31, 1.5], vocabulary: [0, 2 ** 31], maskCount: [0] },
      { optional: ["pool", "biasIds", "biases", "seenIds", "seenCounts"], aligned: ["scratch"] },
    );
    using any = scratchMemory(1 << 16);
    const refused = { code: "KERNEL_FAILED", message: /bad argument/ };
    for (const wrong of [
      { biasOffsets: one, biasIds: id, biases: any },
      { seenOffsets: one, seenIds: id, seenCounts: any },
      { biasOffsets: one },
      { seenOffsets: one, seenIds: offsets },
      { biasOffsets: id },
    ]) {
      assert.throws(() => sample({ ...whole(any), ...wrong }), refused);
    }
    for (const [column, value] of [
      [0, -1],
      [0, Number.NaN],
      [0, Number.POSITIVE_INFINITY],
      [1, 0],
      [1, 1.5],
      [2, -0.5],
      [3, 0],
      [4, Number.NaN],
      [5, Number.POSITIVE_INFINITY],
    ] as const) {
      using wrong = toMemory([1, 1, 0, 1, 0, 0].map((good, at) => (at === column ? value : good)));
      assert.throws(() => sample({ ...whole(any), settings: wrong }), refused, `${column} ${value}`);
    }
    for (const wrong of [
      [-1, 0],
      [0, -1],
      [0, 1],
    ]) {
      using memory = toMemoryI32([...wrong, 0, 0, 0]);
      assert.throws(() => sample({ ...whole(any), numbers: memory }), refused);
    }
    assert.equal(sampleScratchBytes({ vocabulary: 0, threads: 1 }), 0);
    assert.equal(sampleScratchBytes({ vocabulary: 10, threads: 0 }), 0);
  });

  it("of log-probabilities", () => {
    using target = toMemoryI32([2]);
    using wrong = toMemoryI32([3]);
    const good = (any: NativeMemory) => {
      const outputs = { logprobs: any, topIds: any, topLogprobs: any, scratch: any };
      return { pool: null, logits: any, rows: 1, vocabulary: 3, mask: any, targets: target, top: 1, ...outputs };
    };
    accepts((any) => tokenLogprobs(good(any)));
    refusesEach(
      tokenLogprobs,
      good,
      { rows: [-1, 2 ** 31], vocabulary: [0, 2 ** 31], top: [4, -1] },
      { aligned: ["scratch"] },
    );
    using any = scratchMemory(1 << 16);
    assert.throws(() => tokenLogprobs({ ...good(any), targets: wrong }), { code: "KERNEL_FAILED" });
  });
});
