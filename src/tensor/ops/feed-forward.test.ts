import { test } from "node:test";
import { swigluForward } from "../../../test/twins/moe.ts";
import { checkGradient, linear } from "../../../test/twins/ops.ts";
import { dtypes } from "../../../test/twins/support.ts";
import { feedForward } from "./feed-forward.ts";

for (const dtype of dtypes) {
  // of width 32 the activation is made inside the product, of others after it
  for (const width of [5, 32]) {
    test(`gradients of feedForward of width ${width} on a residual in ${dtype}`, () => {
      const [rows, columns] = [7, 6];
      checkGradient({
        dtype,
        inputs: { x: { shape: [rows, columns] }, residual: { shape: [rows, columns] } },
        parameters: {
          gateUp: { kind: "matrix", shape: [2 * width, columns], scale: 0.5 },
          down: { kind: "matrix", shape: [columns, width], scale: 0.3 },
        },
        run: (execution, { x, residual }, { gateUp, down }) =>
          feedForward(execution, x!, { gateUp: gateUp!, down: down! }, { residual: residual! }),
        twin: ({ x, residual, gateUp, down }) => {
          const both = linear(x!, gateUp!, { out: 2 * width, in: columns });
          return { output: linear(swigluForward(both, width), down!, { out: columns, in: width }, residual) };
        },
      });
    });

    test(`gradients of feedForward of width ${width} by groups, over the leading rows, in ${dtype}`, () => {
      const [rows, columns, out, offsets] = [9, 5, 4, [0, 4, 4, 6]];
      const used = offsets.at(-1)!;
      checkGradient({
        dtype,
        inputs: { x: { shape: [rows, columns] } },
        parameters: {
          gateUp: { kind: "matrix", shape: [3, 2 * width, columns], scale: 0.5 },
          down: { kind: "matrix", shape: [3, out, width], scale: 0.3 },
        },
        run: (execution, { x }, { gateUp, down }) =>
          feedForward(
            execution,
            x!,
            { gateUp: gateUp!, down: down! },
            { offsets: execution.arena.integers(Int32Array.from(offsets)) },
          ),
        twin: ({ x, gateUp, down }) => {
          const both = linear(x!, gateUp!, { out: 2 * width, in: columns, offsets });
          return { output: linear(swigluForward(both, width), down!, { out, in: width, offsets }) };
        },
        written: { output: used * out, x: used * columns },
      });
    });
  }
}
