import { test } from "node:test";
import { embeddingForward } from "../../../test/twins/loss.ts";
import { checkGradient } from "../../../test/twins/ops.ts";
import { dtypes } from "../../../test/twins/support.ts";
import { embedding } from "./embedding.ts";

for (const dtype of dtypes) {
  test(`gradients of embedding with repeated and with unused ids in ${dtype}`, () => {
    const ids = [3, 0, 3, 3, 8, 0, 5, 3];
    checkGradient({
      dtype,
      inputs: {},
      parameters: { table: { kind: "matrix", shape: [9, 11] } },
      run: (execution, _, { table }) => embedding(execution, execution.arena.integers(Int32Array.from(ids)), table!),
      twin: ({ table }) => ({ output: embeddingForward(ids, table!, 11) }),
    });
  });
}
