import { test } from "node:test";
import { swigluForward } from "../../../test/twins/moe.ts";
import { checkGradient, linear as linearTwin } from "../../../test/twins/ops.ts";
import { dtypes } from "../../../test/twins/support.ts";
import { gatedLinear } from "./gated-linear.ts";

for (const dtype of dtypes) {
  test(`gradients of gatedLinear on a residual in ${dtype}`, () => {
    const [rows, width, out] = [7, 19, 6];
    checkGradient({
      dtype,
      inputs: { gateUp: { shape: [rows, 2 * width], scale: 2 }, residual: { shape: [rows, out] } },
      parameters: { weight: { kind: "matrix", shape: [out, width], scale: 0.5 } },
      run: (execution, { gateUp, residual }, { weight }) =>
        gatedLinear(execution, gateUp!, weight!, { residual: residual! }),
      twin: ({ gateUp, residual, weight }) => ({
        output: linearTwin(swigluForward(gateUp!, width), weight!, { out, in: width }, residual),
      }),
    });
  });

  test(`gradients of gatedLinear by groups, over the leading rows, in ${dtype}`, () => {
    const [rows, width, out, offsets] = [9, 5, 4, [0, 4, 4, 6]];
    const used = offsets.at(-1)!;
    checkGradient({
      dtype,
      inputs: { gateUp: { shape: [rows, 2 * width] } },
      parameters: { weight: { kind: "matrix", shape: [3, out, width], scale: 0.5 } },
      run: (execution, { gateUp }, { weight }) =>
        gatedLinear(execution, gateUp!, weight!, { offsets: execution.arena.integers(Int32Array.from(offsets)) }),
      twin: ({ gateUp, weight }) => ({
        output: linearTwin(swigluForward(gateUp!, width), weight!, { out, in: width, offsets }),
      }),
      written: { output: used * out, gateUp: used * 2 * width },
    });
  });

  test(`gradients of gatedLinear when its input has another consumer, in ${dtype}`, () => {
    const [rows, width] = [5, 6];
    checkGradient({
      dtype,
      inputs: { gateUp: { shape: [rows, 2 * width] } },
      parameters: { weight: { kind: "matrix", shape: [width, width], scale: 0.5 } },
      run: (execution, { gateUp }, { weight }) =>
        gatedLinear(execution, gateUp!, weight!, { residual: gatedLinear(execution, gateUp!, weight!) }),
      twin: ({ gateUp, weight }) => {
        const once = linearTwin(swigluForward(gateUp!, width), weight!, { out: width, in: width });
        return { output: once.map((value) => 2 * value) };
      },
    });
  });
}
