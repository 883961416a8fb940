import assert from "node:assert/strict";
import { test } from "node:test";
import type { FrozenRouting } from "../../../test/twins/moe.ts";
import { checkGradient, frozenRouting, mixture, type OpCase, router as routerTwin } from "../../../test/twins/ops.ts";
import { dtypes } from "../../../test/twins/support.ts";
import { streamKeys } from "../../base/random.ts";
import type { RoutingMode } from "../../kernels/bindings/moe.ts";
import { combine, dispatch } from "./dispatch.ts";
import { feedForward } from "./feed-forward.ts";
import { route } from "./router.ts";

for (const dtype of dtypes) {
  const plans: { topK: number; mode: RoutingMode; factor: number }[] = [
    { topK: 1, mode: "dropless", factor: 1 },
    { topK: 2, mode: "dropless", factor: 1 },
    { topK: 1, mode: "recycle", factor: 1 },
    { topK: 2, mode: "recycle", factor: 0.6 },
    { topK: 1, mode: "drop", factor: 0.6 },
    { topK: 2, mode: "drop", factor: 0.6 },
  ];
  for (const { topK, mode, factor } of plans) {
    test(`gradients of route, dispatch, experts and combine: top-${topK}, ${mode} in ${dtype}`, () => {
      // As many experts as leave some without a token when nothing is recycled.
      const [tokens, hidden, experts, width] = [11, 6, 8, 5];
      const weights = { balanceWeight: 1.5, zWeight: 0.5 };
      let chosen: FrozenRouting | undefined;
      const matrix = { kind: "matrix" as const, scale: 0.5 };
      const op: OpCase = {
        dtype,
        inputs: { x: { shape: [tokens, hidden] }, base: { shape: [tokens, hidden] } },
        parameters: {
          router: { kind: "array", shape: [experts, hidden], scale: 0.7 },
          gateUp: { ...matrix, shape: [experts, 2 * width, hidden] },
          down: { ...matrix, shape: [experts, hidden, width] },
        },
        run: (execution, { x, base }, { router, gateUp, down }) => {
          const capacity = Math.ceil((factor * tokens * topK) / experts);
          const routing = route(execution, x!, router!, { topK, mode, capacity, keys: streamKeys(3), ...weights });
          const { offsets } = routing;
          chosen = frozenRouting(routing);
          assert.equal(chosen.assigned.includes(-1), factor < 1, "some slots are dropped");
          assert.equal(
            chosen.assigned.some((expert, slot) => expert >= 0 && expert !== chosen!.selected[slot]),
            mode === "recycle",
            "some slots are recycled",
          );
          const sorted = dispatch(execution, x!, routing);
          const rows = feedForward(execution, sorted, { gateUp: gateUp!, down: down! }, { offsets });
          return combine(execution, base!, rows, routing);
        },
        twin: ({ x, base, router, gateUp, down }) => {
          const inputs = { x: x!, base: base!, router: router!, gateUp: gateUp!, down: down! };
          return mixture(inputs, { tokens, hidden, experts, width }, chosen!, weights);
        },
      };
      checkGradient(op);
    });
  }

  test(`what combine reads may have another consumer, in ${dtype}`, () => {
    const [tokens, columns, experts] = [9, 6, 3];
    let chosen: FrozenRouting | undefined;
    const weights = { balanceWeight: 0, zWeight: 0 };
    checkGradient({
      dtype,
      inputs: { x: { shape: [tokens, columns] }, base: { shape: [tokens, columns] } },
      parameters: { router: { kind: "array", shape: [experts, columns], scale: 0.7 } },
      run: (execution, { x, base }, { router }) => {
        const options = { topK: 1, mode: "dropless", capacity: 0, keys: streamKeys(3), ...weights } as const;
        const routing = route(execution, x!, router!, options);
        chosen = frozenRouting(routing);
        const rows = dispatch(execution, x!, routing);
        return combine(execution, combine(execution, base!, rows, routing), rows, routing);
      },
      twin: ({ x, base, router }) => {
        const shape = { tokens, hidden: columns, experts };
        const { output: gates } = routerTwin(x!, router!, shape, chosen!, weights);
        // The rows are the tokens themselves, so each combine adds gate · x.
        return { output: base!.map((value, i) => value + 2 * gates[Math.floor(i / columns)]! * x![i]!) };
      },
    });
  });
}
