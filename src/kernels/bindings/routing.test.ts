/** Properties of the choice of experts, on the kernel that training calls. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { gatesOf, topExperts } from "../../../test/twins/moe.ts";
import {
  capacityOf,
  type Routing,
  type RoutingRequest,
  route,
  skewedProbabilities,
} from "../../../test/twins/routing.ts";
import { relativeError } from "../../../test/twins/support.ts";
import { hash32 } from "../../base/random.ts";

type Case = RoutingRequest & { factor: number; probabilities: Float64Array; routing: Routing };

const int32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const cases = fc
  .record({
    tokens: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constantFrom(33, 300)),
    experts: fc.constantFrom(1, 2, 3, 5, 8, 17),
    k: fc.integer({ min: 1, max: 4 }),
    mode: fc.constantFrom("dropless" as const, "drop" as const, "recycle" as const),
    factor: fc.constantFrom(0.3, 0.6, 1, 1.1, 1.25, 2),
    keys: fc.tuple(int32, int32),
    seed: fc.nat(10_000),
    skew: fc.constantFrom(0, 0.3, 1, 5),
  })
  .map(({ seed, skew, ...drawn }): Case => {
    const request = { ...drawn, k: Math.min(drawn.k, drawn.experts) };
    const probabilities = skewedProbabilities(request.tokens, request.experts, seed, skew);
    const withCapacity = { ...request, capacity: capacityOf(request.factor, request) };
    return { ...withCapacity, probabilities, routing: route(probabilities, withCapacity) };
  });

function property(check: (drawn: Case) => void, numRuns = 150): void {
  fc.assert(fc.property(cases, check), { seed: 20241106, numRuns });
}

const sum = (values: number[]) => values.reduce((total, value) => total + value, 0);
const rowsOfExpert = ({ offsets }: Routing, expert: number) => offsets[expert + 1]! - offsets[expert]!;

function tally(values: number[], length: number): number[] {
  const counts = new Array<number>(length).fill(0);
  for (const value of values) if (value >= 0) counts[value]!++;
  return counts;
}

describe("any routing", () => {
  it("selects the k most probable experts and counts the load before capacity", () => {
    property(({ probabilities, experts, k, routing }) => {
      assert.deepEqual(routing.selected, topExperts(probabilities, experts, k));
      assert.deepEqual(routing.load, tally(routing.selected, experts));
    });
  });

  it("sorts slots by expert: offsets, rows and slots are one permutation, an expert's rows in the order of slots", () => {
    property(({ experts, routing: { assigned, offsets, rowOf, slotAt } }) => {
      const byExpert = Array.from({ length: experts }, (_, e) =>
        assigned.flatMap((a, slot) => (a === e ? [slot] : [])),
      );
      assert.deepEqual(slotAt, byExpert.flat());
      assert.equal(offsets[0], 0);
      byExpert.forEach((slots, e) => {
        assert.equal(offsets[e + 1]! - offsets[e]!, slots.length);
      });
      const expected = new Array<number>(assigned.length).fill(-1);
      slotAt.forEach((slot, row) => {
        expected[slot] = row;
      });
      assert.deepEqual(rowOf, expected);
    });
  });

  it("gives every slot the probability of the expert that took it, over the sum of the selected for k > 1", () => {
    property(({ probabilities, experts, k, routing }) => {
      const expected = gatesOf(probabilities, experts, { ...routing, k });
      assert.ok(relativeError(routing.gates, expected) < 1e-6);
      routing.assigned.forEach((expert, slot) => {
        if (expert < 0) assert.equal(routing.gates[slot], 0);
        else if (k === 1) assert.equal(routing.gates[slot], probabilities[slot * experts + expert]);
      });
    });
  });

  it("keeps the experts of a token distinct", () => {
    property(({ tokens, k, routing }) => {
      for (let t = 0; t < tokens; t++) {
        const mine = routing.assigned.slice(t * k, (t + 1) * k).filter((expert) => expert >= 0);
        assert.equal(new Set(mine).size, mine.length);
      }
    });
  });

  it("lets no expert exceed its capacity, unless dropless, and fills the experts that are over it", () => {
    property(({ experts, capacity, mode, routing }) => {
      for (let e = 0; e < experts; e++) {
        const rows = rowsOfExpert(routing, e);
        if (mode === "dropless") assert.equal(rows, routing.load[e]);
        else assert.ok(rows <= capacity, `${rows} rows over a capacity of ${capacity}`);
        if (mode !== "dropless" && routing.load[e]! > capacity) assert.equal(rows, capacity);
      }
    });
  });

  it("moves or drops exactly the slots over capacity, and counts them", () => {
    property(({ experts, capacity, mode, routing: { selected, assigned, load, counts } }) => {
      const over = mode === "dropless" ? 0 : sum(load.map((count) => Math.max(0, count - capacity)));
      const dropped = assigned.filter((expert) => expert < 0).length;
      const moved = assigned.filter((expert, slot) => expert >= 0 && expert !== selected[slot]).length;
      assert.deepEqual(counts, { slots: selected.length, over, recycled: moved, dropped });
      assert.equal(over, moved + dropped);
      if (mode !== "recycle") assert.equal(moved, 0);
      const stayed = tally(
        selected.filter((expert, slot) => assigned[slot] === expert),
        experts,
      );
      load.forEach((count, e) => {
        assert.equal(stayed[e], mode === "dropless" ? count : Math.min(count, capacity));
      });
    });
  });

  it("depends on nothing but the probabilities and the keys", () => {
    property(({ routing, ...request }) => {
      assert.deepEqual(route(request.probabilities, request), routing);
    }, 50);
  });
});

describe("recycle routing", () => {
  it("loses no token with one expert a token and a capacity factor of at least 1", () => {
    let recycled = 0;
    property(({ k, mode, factor, routing }) => {
      if (k > 1 || mode !== "recycle" || factor < 1) return;
      assert.equal(routing.counts.dropped, 0);
      assert.ok(routing.assigned.every((expert) => expert >= 0));
      recycled += routing.counts.recycled;
    }, 400);
    assert.ok(recycled > 100, `only ${recycled} tokens were recycled`);
  });

  it("fills every place with one expert a token and a capacity factor under 1", () => {
    for (const factor of [0.1, 0.5, 0.9]) {
      const shape = { tokens: 100, experts: 8, k: 1, mode: "recycle" as const };
      const capacity = capacityOf(factor, shape);
      const { counts } = route(skewedProbabilities(100, 8, 1, 1), { ...shape, capacity, keys: [1, 2] });
      assert.equal(counts.dropped, 100 - 8 * capacity);
    }
  });

  it("drops a slot only if every expert that its token does not have is full", () => {
    let dropped = 0;
    property(({ tokens, experts, k, mode, capacity, routing }) => {
      if (mode !== "recycle") return;
      for (let t = 0; t < tokens; t++) {
        const mine = routing.assigned.slice(t * k, (t + 1) * k);
        if (!mine.includes(-1)) continue;
        dropped++;
        for (let e = 0; e < experts; e++) assert.ok(mine.includes(e) || rowsOfExpert(routing, e) === capacity);
      }
    }, 400);
    assert.ok(dropped > 100, `only ${dropped} tokens lost a slot`);
  });

  it("admits the same slots as drop routing", () => {
    property(({ routing, ...request }) => {
      const recycle = route(request.probabilities, { ...request, mode: "recycle" });
      const drop = route(request.probabilities, { ...request, mode: "drop" });
      drop.assigned.forEach((expert, slot) => {
        if (expert >= 0) assert.equal(recycle.assigned[slot], expert);
        else assert.notEqual(recycle.assigned[slot], recycle.selected[slot]);
      });
    });
  });

  it("keeps places in the order of the tokens' counter hashes, to their last bit", () => {
    // So many tokens that several share the upper half of a hash.
    const tokens = 100_000;
    const shape = { tokens, experts: 2, k: 1, mode: "drop" as const, capacity: tokens / 2 };
    const probabilities = Float64Array.from({ length: 2 * tokens }, (_, i) => (i % 2 ? 0.25 : 0.75));
    for (const keys of [
      [0, 0],
      [123, 456],
      [-1, 2 ** 31 - 1],
    ] as [number, number][]) {
      const hashes = Float64Array.from({ length: tokens }, (_, t) => hash32(keys, t));
      const last = hashes.toSorted()[tokens / 2 - 1]!;
      const expected = Array.from(hashes, (hash) => (hash <= last ? 0 : -1));
      assert.ok(route(probabilities, { ...shape, keys }).assigned.every((expert, t) => expert === expected[t]));
    }
  });

  it("assigns otherwise under other keys, each of the two", () => {
    const shape = { tokens: 60, experts: 4, k: 1, mode: "recycle" as const, capacity: 15 };
    const probabilities = skewedProbabilities(60, 4, 3, 2);
    const seen = new Set<string>();
    for (let i = 0; i < 50; i++) {
      seen.add(route(probabilities, { ...shape, keys: [i, 0] }).assigned.join());
      seen.add(route(probabilities, { ...shape, keys: [0, i + 1] }).assigned.join());
    }
    assert.ok(seen.size >= 99, `${seen.size} different assignments of 100`);
  });
});

/** Σ (seen − expected)² / variance, which is near the number of counts where chance alone decides. */
function dispersion(counts: number[], trials: number, share: number): number {
  return sum(counts.map((count) => (count - trials * share) ** 2 / (trials * share * (1 - share))));
}

describe("chance", () => {
  const trials = 2000;
  /** What 60 counts exceed once in 100,000 seeds; the seeds here are fixed. */
  const bound = 117;

  for (const k of [1, 2]) {
    it(`keeps places by neither position, score nor rank of choice, k = ${k}`, () => {
      const shape = { tokens: 60, experts: 6, k, mode: "recycle" as const, capacity: 15 };
      // Expert 0 is everyone's; with two choices it is the second of every other token. Scores fall with the position.
      const probabilities = Float64Array.from({ length: 60 * 6 }, (_, i) => {
        const [t, e] = [Math.floor(i / 6), i % 6];
        if (e === 0) return 0.4 - t / 1000;
        return e === 1 + (t % 5) ? (k === 2 && t % 2 ? 0.5 : 0.2) : 0.01;
      });
      const kept = new Array<number>(60).fill(0);
      const keptWithNext = new Array<number>(60).fill(0);
      for (let trial = 0; trial < trials; trial++) {
        const routing = route(probabilities, { ...shape, keys: trial % 2 ? [trial, 7] : [7, trial] });
        assert.equal(routing.load[0], 60);
        const stays = kept.map((_, t) => {
          const slot = t * k + routing.selected.slice(t * k, (t + 1) * k).indexOf(0);
          return routing.assigned[slot] === 0;
        });
        stays.forEach((stay, t) => {
          if (stay) kept[t]!++;
          if (stay && stays[(t + 1) % 60]) keptWithNext[t]!++;
        });
      }
      assert.equal(sum(kept), trials * 15);
      assert.ok(dispersion(kept, trials, 1 / 4) < bound, kept.join());
      assert.ok(dispersion(keptWithNext, trials, (15 / 60) * (14 / 59)) < bound, keptWithNext.join());
    });
  }

  it("gives the last free places to tokens of any position", () => {
    // Everyone chooses expert 0, which keeps 15; expert 1 takes 15 more; 30 of the 60 are dropped.
    const shape = { tokens: 60, experts: 2, k: 1, mode: "recycle" as const, capacity: 15 };
    const probabilities = Float64Array.from({ length: 120 }, (_, i) => (i % 2 ? 0.25 : 0.75));
    const recycled = new Array<number>(60).fill(0);
    for (let trial = 0; trial < trials; trial++) {
      const { assigned } = route(probabilities, { ...shape, keys: [trial, -trial] });
      assigned.forEach((expert, t) => {
        if (expert === 1) recycled[t]!++;
      });
    }
    assert.ok(dispersion(recycled, trials, 1 / 4) < bound, recycled.join());
  });

  it("takes free places in proportion, whoever takes them", () => {
    // Expert 0 is chosen by 60 and keeps 30; expert 1 has 3 of 30 places free, expert 2 all 30.
    const shape = { tokens: 87, experts: 3, k: 1, mode: "recycle" as const, capacity: 30 };
    const probabilities = Float64Array.from({ length: 87 * 3 }, (_, i) => {
      const chosen = i < 60 * 3 ? 0 : 1;
      return i % 3 === chosen ? 0.8 : 0.1;
    });
    const tookRare = new Array<number>(60).fill(0);
    for (let trial = 0; trial < trials; trial++) {
      const { assigned, counts } = route(probabilities, { ...shape, keys: [trial, trial] });
      assert.deepEqual(counts, { slots: 87, over: 30, recycled: 30, dropped: 0 });
      assigned.slice(0, 60).forEach((expert, t) => {
        if (expert === 1) tookRare[t]!++;
      });
    }
    // 30 of the 33 free places are taken, so expert 1 receives 3 · 30/33 on average (hypergeometric: variance 0.232).
    const mean = sum(tookRare) / trials;
    assert.ok(Math.abs(mean - 90 / 33) < 4 * Math.sqrt(0.232 / trials), `expert 1 received ${mean} on average`);
    assert.ok(dispersion(tookRare, trials, 90 / 33 / 60) < bound, tookRare.join());
  });
});

describe("unusual probabilities", () => {
  const request = {
    tokens: 3,
    experts: 4,
    k: 2,
    mode: "recycle" as const,
    capacity: 2,
    keys: [1, 2] as [number, number],
  };

  it("chooses experts that exist and passes NaN on in the gates", () => {
    const nan = Number.NaN;
    const probabilities = [nan, nan, nan, nan, 0.1, nan, 0.6, 0.3, 0.25, 0.25, 0.25, 0.25];
    const routing = route(probabilities, { ...request, mode: "dropless" });
    assert.deepEqual(routing.selected, [0, 1, 2, 3, 0, 1]);
    assert.deepEqual([...routing.gates.subarray(0, 2)], [nan, nan]);
    assert.ok(routing.gates.subarray(2).every(Number.isFinite));
  });

  it("divides by no less than the f32 epsilon", () => {
    const routing = route(new Float64Array(12), { ...request, mode: "dropless" });
    assert.deepEqual([...routing.gates], [0, 0, 0, 0, 0, 0]);
  });

  it("drops everything where there is no place, and routes no tokens to no rows", () => {
    const none = route(skewedProbabilities(3, 4, 1, 0), { ...request, capacity: 0 });
    assert.deepEqual(none.assigned, [-1, -1, -1, -1, -1, -1]);
    assert.deepEqual(none.counts, { slots: 6, over: 6, recycled: 0, dropped: 6 });
    const empty = route([], { ...request, tokens: 0 });
    assert.deepEqual([empty.offsets, empty.counts.slots], [[0, 0, 0, 0, 0], 0]);
  });

  it("refuses what it cannot route", () => {
    const probabilities = skewedProbabilities(3, 4, 1, 0);
    const refused = { code: "KERNEL_FAILED" };
    for (const bad of [
      { k: 5 },
      { k: 0 },
      { experts: 0 },
      { experts: 1025 },
      { capacity: -1 },
      { keys: [0.5, 0] as [number, number] },
    ]) {
      assert.throws(() => route(probabilities, { ...request, ...bad }), refused, JSON.stringify(bad));
    }
  });
});
