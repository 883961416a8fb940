import { test } from "node:test";
import { rmsnormTwin } from "../../../test/twins/norm.ts";
import { checkGradient } from "../../../test/twins/ops.ts";
import { dtypes } from "../../../test/twins/support.ts";
import { rmsnorm } from "./rmsnorm.ts";

const eps = 1e-5;

for (const dtype of dtypes) {
  for (const [rows, columns] of [
    [1, 1],
    [7, 33],
    [35, 16],
  ] as const) {
    // One column of f32 is x / |x| · (1 − tiny): its gradient is eps, below what f32 can tell from 0.
    const wideEps = columns === 1 ? 0.5 : eps;
    test(`gradients of rmsnorm, [${rows}, ${columns}] in ${dtype}`, () => {
      checkGradient({
        dtype,
        inputs: { x: { shape: [rows, columns], scale: 2 } },
        parameters: { weight: { kind: "array", shape: [columns] } },
        run: (execution, { x }, { weight }) => rmsnorm(execution, x!, weight!, wideEps),
        twin: ({ x, weight }) => ({ output: rmsnormTwin(x!, weight!, Math.fround(wideEps)).y }),
      });
    });
  }
}
