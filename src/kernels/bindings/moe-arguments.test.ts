/** What experts.c and router.c refuse, and that they touch nothing then. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { accepts, badCodes as codes, badCounts as counts, refuses, refusesEach } from "../../../test/twins/refusals.ts";
import { bytesOf, toMemoryI32 } from "../../../test/twins/support.ts";
import type { NativeMemory } from "./memory.ts";
import {
  combineBackward,
  combineForward,
  dispatchBackward,
  dispatchForward,
  routerBackward,
  routerForward,
  routerLosses,
  routerSelect,
  swigluBackward,
  swigluForward,
} from "./moe.ts";

describe("arguments of the experts' and the router's kernels", () => {
  it("of SwiGLU", () => {
    const forward = (any: NativeMemory) => ({
      pool: null,
      dtype: 0,
      gateUp: any,
      h: any,
      rows: 1,
      width: 1,
      rowsLimit: null,
    });
    const backward = (any: NativeMemory) => {
      const { h: dh, ...rest } = forward(any);
      return { ...rest, dh, dgateUp: any, h: null };
    };
    const optional = ["pool", "rowsLimit"] as ("pool" | "rowsLimit")[];
    const bad = { dtype: codes, rows: counts, width: [0, 2 ** 53 - 1] };
    accepts((any) => swigluForward(forward(any)));
    accepts((any) => swigluBackward(backward(any)));
    const many = (any: NativeMemory) => ({ ...forward(any), rows: 2 ** 20 });
    refusesEach(swigluForward, forward, { ...bad, width: [0] }, { optional });
    refusesEach(swigluForward, many, bad, { optional });
    refusesEach(swigluBackward, backward, { ...bad, width: [0] }, { optional: [...optional, "h"] });
    for (const limit of [-1, 2]) {
      using rowsLimit = toMemoryI32([limit]);
      refuses((any) => swigluForward({ ...forward(any), rowsLimit }), `a limit of ${limit} on one row`);
    }
  });

  it("of the router", () => {
    const sizes = { tokens: 1, hidden: 1, experts: 1 };
    const forward = (any: NativeMemory) => ({ x: any, weight: any, probabilities: any, logSumExp: any });
    const bad = { dtype: codes, tokens: counts, hidden: [0], experts: [0, 1025] };
    refusesEach(routerForward, (any) => ({ pool: null, dtype: 0, ...forward(any), ...sizes, scratch: any }), bad, {
      aligned: ["scratch"],
    });
    const choice = (any: NativeMemory) => ({ dgates: any, selected: any, assigned: any, load: any });
    const results = (any: NativeMemory) => ({ dx: any, weightGradient: any, scratch: any });
    const numbers = { dtype: 0, ...sizes, k: 1, balanceWeight: 0, zWeight: 0 };
    refusesEach(
      routerBackward,
      (any) => ({ pool: null, ...forward(any), ...choice(any), ...results(any), ...numbers }),
      { ...bad, tokens: [0, ...counts], k: [0, 2], balanceWeight: [Number.NaN], zWeight: [Number.NaN] },
      { aligned: ["scratch"] },
    );
    refusesEach(
      routerLosses,
      (any) => ({
        pool: null,
        probabilities: any,
        logSumExp: any,
        load: any,
        losses: any,
        scratch: any,
        tokens: 1,
        experts: 1,
      }),
      { tokens: [0, ...counts], experts: [0, 1025] },
      { aligned: ["scratch"] },
    );
  });

  it("of the choice of experts", () => {
    const outputs = (any: NativeMemory) => ({ selected: any, assigned: any, gates: any, offsets: any, rowOf: any });
    const more = (any: NativeMemory) => ({ slotAt: any, load: any, counts: any, scratch: any, probabilities: any });
    const numbers = { tokens: 1, experts: 1, k: 1, mode: 0, capacity: 1, key0: 0, key1: 0 };
    refusesEach(
      routerSelect,
      (any) => ({ ...outputs(any), ...more(any), ...numbers }),
      { tokens: counts, experts: [0, 1025], k: [0, 2], mode: [-1, 3], capacity: [-1], key0: [0.5], key1: [2 ** 31] },
      { aligned: ["scratch"] },
    );
  });

  it("of dispatch and combine", () => {
    const numbers = { dtype: 0, tokens: 1, columns: 1, k: 1 };
    const bad = { dtype: codes, columns: [0], k: [0] };
    const gather = (any: NativeMemory) => ({ pool: null, x: any, slotAt: any, rowCount: any, rows: any, ...numbers });
    refusesEach(dispatchForward, gather, { ...bad, tokens: [0] });
    for (const count of [-1, 2]) {
      using rowCount = toMemoryI32([count]);
      refuses((any) => dispatchForward({ ...gather(any), rowCount }), `${count} rows of one slot`);
    }
    const scatter = (any: NativeMemory) => ({ pool: null, drows: any, rowOf: any, dx: any, accumulate: 0, ...numbers });
    refusesEach(dispatchBackward, scatter, { ...bad, tokens: counts });
    const mix = (any: NativeMemory) => ({ pool: null, rows: any, rowOf: any, gates: any, ...numbers });
    refusesEach(combineForward, (any) => ({ ...mix(any), base: any, out: any }), { ...bad, tokens: counts });
    refusesEach(combineBackward, (any) => ({ ...mix(any), dout: any, drows: any, dgates: any }), {
      ...bad,
      tokens: counts,
    });
  });

  it("that ask for no work are no error", () => {
    using memory = toMemoryI32([0]);
    using rowCount = toMemoryI32([0]);
    const numbers = { pool: null, dtype: 0, tokens: 0, columns: 1, k: 1 };
    dispatchForward({ ...numbers, x: memory, slotAt: memory, rowCount, rows: memory });
    dispatchBackward({ ...numbers, drows: memory, rowOf: memory, dx: memory, accumulate: 0 });
    combineForward({ ...numbers, base: memory, rows: memory, rowOf: memory, gates: memory, out: memory });
    swigluForward({ pool: null, dtype: 0, gateUp: memory, h: memory, rows: 0, width: 1, rowsLimit: null });
    assert.equal(bytesOf(memory), "00000000");
  });
});
