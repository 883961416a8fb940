import assert from "node:assert/strict";
import { test } from "node:test";
import { checkGradient } from "../../../test/twins/ops.ts";
import { dtypes, roundTo } from "../../../test/twins/support.ts";
import { hash32, streamKeys } from "../../base/random.ts";
import { Execution } from "../execution.ts";
import { dropout } from "./dropout.ts";

const settings = { rate: 0.2, keys: streamKeys(3, "dropout") };
const isKept = (index: number) => hash32(settings.keys, index) >= Math.round(settings.rate * 2 ** 32);

for (const dtype of dtypes) {
  for (const [rows, columns] of [
    [1, 1],
    [3, 17],
    [40, 33],
  ] as const) {
    const shape = [rows, columns];
    test(`gradients of dropout, [${rows}, ${columns}] in ${dtype}`, () => {
      checkGradient({
        dtype,
        inputs: { x: { shape }, residual: { shape } },
        parameters: {},
        run: (execution, { x, residual }) => dropout(execution, x!, residual!, settings),
        twin: ({ x, residual }) => ({
          output: residual!.map((value, i) => value + (isKept(i) ? x![i]! / (1 - settings.rate) : 0)),
        }),
      });
    });
  }
}

test("dropout drops about its rate, and the same elements on any number of threads", () => {
  const count = 300_001;
  const [alone, shared] = [1, 3].map((threads) => {
    using execution = new Execution({ threads, computeType: "bf16" });
    const x = execution.arena.tensor("bf16", count);
    const residual = execution.arena.tensor("bf16", count);
    x.setFloats(new Float32Array(count).fill(1));
    residual.zero();
    return dropout(execution, x, residual, settings).toFloat32Array();
  });
  assert.equal(Buffer.compare(Buffer.from(alone!.buffer), Buffer.from(shared!.buffer)), 0);
  const dropped = alone!.filter((value) => value === 0).length;
  assert.ok(Math.abs(dropped / count - settings.rate) < 0.004, `${dropped} of ${count}`);
  assert.equal(Math.max(...new Set(alone!)), roundTo("bf16", 1 / (1 - settings.rate)));
  for (const i of [0, 1, 65_535, 65_536, count - 1]) assert.equal(alone![i] !== 0, isKept(i), `element ${i}`);
});
