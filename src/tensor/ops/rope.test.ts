import { test } from "node:test";
import { ropeNormTwin } from "../../../test/twins/norm.ts";
import { checkGradient } from "../../../test/twins/ops.ts";
import { dtypes } from "../../../test/twins/support.ts";
import type { Tensor } from "../tensor.ts";
import { ropeNorm } from "./rope.ts";

const [heads, headDim, eps] = [3, 10, 1e-5];
const positions = [0, 1, 2, 0, 6, 6, 3];
const tablePositions = 7;
const angles = Float64Array.from({ length: (tablePositions * headDim) / 2 }, (_, i) => {
  return Math.floor(i / (headDim / 2)) * 0.7 ** (i % (headDim / 2));
});
const cosine = angles.map(Math.cos).map(Math.fround);
const sine = angles.map(Math.sin).map(Math.fround);

for (const dtype of dtypes) {
  for (const normalize of [true, false]) {
    for (const names of [[], ["first"], ["first", "second"]]) {
      test(`gradients of ropeNorm, normalize ${normalize}, ${names.length} weights in ${dtype}`, () => {
        checkGradient({
          dtype,
          inputs: { x: { shape: [positions.length, heads * headDim] } },
          parameters: Object.fromEntries(names.map((name) => [name, { kind: "array", shape: [headDim] }])),
          run: (execution, { x }, parameters) => {
            const floats = (values: Float64Array): Tensor => {
              const tensor = execution.arena.tensor("f32", tablePositions, headDim / 2);
              tensor.setFloats(Float32Array.from(values));
              return tensor;
            };
            return ropeNorm(execution, x!, {
              heads,
              positions: execution.arena.integers(Int32Array.from(positions)),
              table: { cosine: floats(cosine), sine: floats(sine) },
              normalize,
              eps,
              weights: names.map((name) => parameters[name]!),
            });
          },
          twin: ({ x, first, second }) => ({
            output: ropeNormTwin(x!, {
              ...{ heads, headDim, positions, cosine, sine, normalize },
              weightA: first,
              weightB: second,
              eps: Math.fround(eps),
            }).y,
          }),
        });
      });
    }
  }
}
