import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { normals } from "../../test/twins/support.ts";
import { tinyConfig } from "../../test/twins/tiny.ts";
import { Execution } from "../tensor/execution.ts";
import { Parameter } from "../tensor/parameter.ts";
import { dropless, expertCapacity, type RoutingPlan, routeTokens } from "./router.ts";

test("capacity is the even share times the factor, rounded up: at factor 1 there is room for every slot", () => {
  assert.equal(expertCapacity(10, { ...tinyConfig, numExperts: 4, topK: 1 }, 1), 3);
  assert.equal(expertCapacity(10, { ...tinyConfig, numExperts: 4, topK: 2 }, 1), 5);
  assert.equal(expertCapacity(10, { ...tinyConfig, numExperts: 4, topK: 1 }, 1.3), 4);
  assert.equal(expertCapacity(0, tinyConfig, 1), 0);
  const sizes = fc.record({ tokens: fc.nat(5000), numExperts: fc.integer({ min: 1, max: 64 }) });
  fc.assert(
    fc.property(sizes, fc.integer({ min: 1, max: 4 }), ({ tokens, numExperts }, topK) => {
      const config = { ...tinyConfig, numExperts, topK };
      const capacity = expertCapacity(tokens, config, 1);
      assert.ok(capacity * numExperts >= tokens * topK);
      assert.ok((capacity - 1) * numExperts < tokens * topK);
      assert.ok(expertCapacity(tokens, config, 0.5) <= capacity);
    }),
    { seed: 5 },
  );
});

/** Where the tokens go when the router prefers one expert. */
function assignedBy(plan: Partial<RoutingPlan>, layer = 0) {
  const { hiddenSize, numExperts } = tinyConfig;
  using execution = new Execution({ threads: 1, computeType: "f32" });
  using weight = new Parameter("wg", [numExperts, hiddenSize], "array");
  const tokens = 40;
  const skewed = normals(numExperts * hiddenSize, 1, "f32", 0.1).map((value, i) => (i === 0 ? 2 : value));
  weight.weight.setFloats(Float32Array.from(skewed));
  const x = execution.arena.tensor("f32", tokens, hiddenSize);
  x.setFloats(Float32Array.from(normals(tokens * hiddenSize, 2), (value, i) => (i % hiddenSize === 0 ? 1 : value)));
  const routing = routeTokens(execution, x, weight, tinyConfig, layer, { ...dropless, ...plan });
  const [slots, over, recycled, dropped] = routing.counts.toInt32Array();
  return { assigned: routing.assigned.toInt32Array().join(), slots, over, recycled, dropped };
}

test("the plan's mode and factor reach the kernel", () => {
  const { over, ...free } = assignedBy({});
  assert.deepEqual([over, free.slots, free.recycled, free.dropped], [0, 40, 0, 0]);
  const recycled = assignedBy({ mode: "recycle", capacityFactor: 1 });
  assert.ok(recycled.over! > 0);
  assert.deepEqual([recycled.recycled, recycled.dropped], [recycled.over, 0]);
  const dropped = assignedBy({ mode: "drop", capacityFactor: 1 });
  assert.deepEqual([dropped.recycled, dropped.dropped], [0, dropped.over]);
  assert.equal(assignedBy({ mode: "recycle", capacityFactor: 4 }).over, 0);
});

test("seed, stream and layer each name other random choices, and repeat their own", () => {
  const plan: Partial<RoutingPlan> = { mode: "recycle", seed: 1, randomStream: ["step", 1, "micro-batch", 0] };
  const first = assignedBy(plan).assigned;
  assert.equal(assignedBy(plan).assigned, first);
  const others = [
    assignedBy({ ...plan, seed: 2 }),
    assignedBy({ ...plan, randomStream: ["step", 2, "micro-batch", 0] }),
    assignedBy({ ...plan, randomStream: ["step", 1, "micro-batch", 1] }),
    assignedBy(plan, 1),
  ].map(({ assigned }) => assigned);
  assert.equal(new Set([first, ...others]).size, 5);
});
