import assert from "node:assert/strict";
import { test } from "node:test";
import type { FrozenRouting } from "../../../test/twins/moe.ts";
import { checkGradient, frozenRouting, type OpCase, router as twin } from "../../../test/twins/ops.ts";
import { dtypes, normals } from "../../../test/twins/support.ts";
import { streamKeys } from "../../base/random.ts";
import type { RoutingMode } from "../../kernels/bindings/moe.ts";
import { Execution } from "../execution.ts";
import { Parameter } from "../parameter.ts";
import { route } from "./router.ts";

const [tokens, hidden, experts] = [24, 9, 5];
const shape = { tokens, hidden, experts };

/** Weights under which low experts are preferred, so that some are over capacity. */
const skewed = normals(experts * hidden, 2, "f32", 0.4).map((value, i) => value - 0.05 * Math.floor(i / hidden));
const positive = normals(tokens * hidden, 1).map((value, i) => (i % hidden === 0 ? 3 : value));

const plans: { topK: number; mode: RoutingMode; capacity: number }[] = [
  { topK: 1, mode: "dropless", capacity: 0 },
  { topK: 2, mode: "dropless", capacity: 0 },
  { topK: 1, mode: "recycle", capacity: 5 },
  { topK: 2, mode: "recycle", capacity: 10 },
  { topK: 1, mode: "drop", capacity: 5 },
  { topK: 2, mode: "drop", capacity: 8 },
];

for (const dtype of dtypes) {
  for (const { topK, mode, capacity } of plans) {
    for (const [balanceWeight, zWeight] of [
      [0, 0],
      [2, 0.5],
    ] as const) {
      const losses = balanceWeight > 0 ? " and the losses" : "";
      test(`gradients through the gates${losses}: top-${topK}, ${mode} in ${dtype}`, () => {
        let chosen: FrozenRouting | undefined;
        checkGradient({
          dtype,
          inputs: { x: { shape: [tokens, hidden], values: positive } },
          parameters: { weight: { kind: "array", shape: [experts, hidden], values: skewed } },
          outputDtype: "f32",
          run: (execution, { x }, { weight }) => {
            const keys = streamKeys(7, "test");
            const options = { topK, mode, capacity, keys, balanceWeight, zWeight };
            const routing = route(execution, x!, weight!, options);
            chosen = frozenRouting(routing);
            const counts = routing.counts.toInt32Array();
            assert.equal(counts[1]! > 0, mode !== "dropless", "some are over capacity");
            return routing.gates;
          },
          twin: ({ x, weight }) => twin(x!, weight!, shape, chosen!, { balanceWeight, zWeight }),
        });
      });
    }
  }

  test(`gradients of the balance loss and the z-loss alone, when nobody uses the gates, in ${dtype}`, () => {
    let chosen: FrozenRouting | undefined;
    const op: OpCase = {
      dtype,
      inputs: { x: { shape: [tokens, hidden] } },
      parameters: { weight: { kind: "array", shape: [experts, hidden], scale: 0.3 } },
      seeded: false,
      run: (execution, { x }, { weight }) => {
        const options = { topK: 2, mode: "dropless", capacity: 0, keys: [1, 2], balanceWeight: 3, zWeight: 1 } as const;
        const routing = route(execution, x!, weight!, options);
        chosen = frozenRouting(routing);
        return routing.gates;
      },
      twin: ({ x, weight }) => twin(x!, weight!, shape, chosen!, { balanceWeight: 3, zWeight: 1 }),
    };
    checkGradient(op);
  });
}

test("the same keys place recycled tokens the same, other keys elsewhere", () => {
  using execution = new Execution({ threads: 2, computeType: "f32" });
  using weight = new Parameter("wg", [experts, hidden], "array");
  weight.weight.setFloats(Float32Array.from(skewed));
  const x = execution.arena.tensor("f32", tokens, hidden);
  x.setFloats(Float32Array.from(positive));
  const assigned = (seed: number) => {
    const options = { topK: 1, mode: "recycle", capacity: 5, balanceWeight: 0, zWeight: 0 } as const;
    const routing = route(execution, x, weight, { ...options, keys: streamKeys(seed) });
    assert.equal(routing.counts.toInt32Array()[3], 0, "none is dropped with room for all");
    return routing.assigned.toInt32Array().join();
  };
  assert.equal(assigned(1), assigned(1));
  assert.notEqual(assigned(1), assigned(2));
});
