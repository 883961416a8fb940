/** What norm.c and attention.c refuse, and that they touch nothing then. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { accepts, badCodes, refuses, refusesEach } from "../../../test/twins/refusals.ts";
import {
  attentionBackward,
  attentionBackwardScratchBytes,
  attentionForward,
  attentionForwardScratchBytes,
} from "./attention.ts";
import type { NativeMemory } from "./memory.ts";
import {
  rmsnormBackward,
  rmsnormBackwardScratchBytes,
  rmsnormForward,
  ropeNormBackward,
  ropeNormBackwardScratchBytes,
  ropeNormForward,
} from "./norm.ts";

const huge = 2 ** 40;

describe("arguments of the norms", () => {
  const sizes = { pool: null, dtype: 0, rows: 1, columns: 2 };
  const bad = { dtype: badCodes, rows: [-1, 2 ** 31, 1.5], columns: [0, huge] };

  it("of RMSNorm", () => {
    const forward = (any: NativeMemory) => ({ ...sizes, x: any, weight: any, y: any, inverseRms: any, eps: 1 });
    accepts((any) => rmsnormForward(forward(any)));
    refusesEach(rmsnormForward, forward, { ...bad, eps: [Number.NaN] }, { optional: ["pool", "inverseRms"] });
    const outputs = (any: NativeMemory) => ({ dx: any, weightGradient: any, accumulate: 0, scratch: any });
    const backward = (any: NativeMemory) => ({
      ...{ ...sizes, dy: any, x: any, weight: any, inverseRms: any },
      ...outputs(any),
    });
    accepts((any) => rmsnormBackward(backward(any)));
    refusesEach(rmsnormBackward, backward, bad, { aligned: ["scratch"] });
    assert.equal(rmsnormBackwardScratchBytes({ rows: huge, columns: huge }), 0);
  });

  it("of RoPE and the heads' norms", () => {
    const { columns: _columns, ...rest } = sizes;
    const inputs = (any: NativeMemory) => ({ x: any, positions: any, cosine: any, sine: any, tableRows: 1 });
    const numbers = { ...rest, heads: 1, headDim: 2, normalize: 1 };
    const forward = (any: NativeMemory) => ({
      ...{ ...numbers, ...inputs(any), weightA: null, weightB: null, y: any, inverseRms: null, eps: 1 },
    });
    const wrong = { dtype: badCodes, rows: [2 ** 31], heads: [0], headDim: [0, 1, huge], tableRows: [0] };
    accepts((any) => ropeNormForward(forward(any)));
    const optional = ["pool", "weightA", "weightB", "inverseRms"] as const;
    refusesEach(ropeNormForward, forward, wrong, { optional: [...optional] });
    refuses((any) => ropeNormForward({ ...forward(any), heads: 2 ** 50, headDim: 2 ** 20 }), "heads that overflow");
    const backward = (any: NativeMemory) => ({
      ...{ ...numbers, ...inputs(any), dy: any, weightA: any, weightB: null, inverseRms: any, dx: any },
      ...{ weightAGradient: any, weightBGradient: null, accumulate: 0, scratch: any },
    });
    accepts((any) => ropeNormBackward(backward(any)));
    refusesEach(ropeNormBackward, backward, wrong, {
      optional: ["pool", "weightB", "weightAGradient", "weightBGradient"],
      aligned: ["scratch"],
    });
    refuses((any) => ropeNormBackward({ ...backward(any), weightBGradient: any }), "the gradient of no weight");
    assert.equal(ropeNormBackwardScratchBytes({ rows: huge, headDim: huge }), 0);
  });
});

describe("arguments of attention", () => {
  // the memory says {1, 0, 0, 0}: a sequence without queries and keys, from row 1 on
  const sizes = {
    pool: null,
    dtype: 0,
    count: 1,
    queryRows: 1,
    keyRows: 1,
    heads: 2,
    kvHeads: 1,
    headDim: 8,
    scale: 1,
    ...{ dropoutThreshold: 0, dropoutScale: 1, key0: 0, key1: 0 },
  };
  const bad = {
    ...{ dtype: badCodes, count: [2 ** 31], queryRows: [0] },
    ...{ heads: [0], kvHeads: [0, 3], headDim: [0, huge], scale: [Number.NaN], dropoutScale: [Number.NaN] },
  };

  it("forward", () => {
    const arrays = (any: NativeMemory) => ({ q: any, k: any, v: any, sequences: any, out: any, logSumExp: null });
    const good = (any: NativeMemory) => ({ ...sizes, ...arrays(any), scratch: any });
    refusesEach(attentionForward, good, bad, { optional: ["pool", "logSumExp"], aligned: ["scratch"] });
    refuses((any) => attentionForward({ ...good(any), queryRows: huge, heads: huge }), "queries that overflow");
    refuses(
      (any) => attentionForward({ ...good(any), keyRows: huge, heads: huge, kvHeads: huge }),
      "keys that overflow",
    );
    accepts((any) => {
      any.bytes().fill(0);
      attentionForward(good(any));
    });
    assert.equal(attentionForwardScratchBytes({ dtype: 0, headDim: huge, count: 1, threads: 1 }), 0);
  });

  it("backward", () => {
    const inputs = (any: NativeMemory) => ({ dout: any, q: any, k: any, v: any, out: any, logSumExp: any });
    const outputs = (any: NativeMemory) => ({ sequences: any, dq: any, dk: any, dv: any, scratch: any });
    const good = (any: NativeMemory) => ({
      ...{ ...sizes, ...inputs(any), ...outputs(any), accumulate: 0, accumulateKv: 0 },
    });
    refusesEach(attentionBackward, good, bad, { aligned: ["scratch"] });
    accepts((any) => attentionBackward(good(any)));
    const overflowing = { dtype: 0, queryRows: huge, keyRows: 1, heads: huge, kvHeads: 1, headDim: 8, count: 1 };
    assert.equal(attentionBackwardScratchBytes({ ...overflowing, threads: 1 }), 0);
  });
});
