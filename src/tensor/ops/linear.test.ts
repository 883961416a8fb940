import assert from "node:assert/strict";
import { test } from "node:test";
import { checkGradient, linear as twin } from "../../../test/twins/ops.ts";
import { dtypes, normals, relativeError } from "../../../test/twins/support.ts";
import { Execution } from "../execution.ts";
import { Parameter } from "../parameter.ts";
import { linear, logits } from "./linear.ts";

for (const dtype of dtypes) {
  const weight = { kind: "matrix" as const, scale: 0.3 };

  test(`gradients of linear in ${dtype}`, () => {
    checkGradient({
      dtype,
      inputs: { x: { shape: [19, 13] } },
      parameters: { weight: { ...weight, shape: [17, 13] } },
      run: (execution, { x }, { weight }) => linear(execution, x!, weight!),
      twin: ({ x, weight }) => ({ output: twin(x!, weight!, { out: 17, in: 13 }) }),
    });
  });

  test(`gradients of linear with a residual in ${dtype}`, () => {
    checkGradient({
      dtype,
      inputs: { x: { shape: [5, 33] }, residual: { shape: [5, 9] } },
      parameters: { weight: { ...weight, shape: [9, 33] } },
      run: (execution, { x, residual }, { weight }) => linear(execution, x!, weight!, { residual: residual! }),
      twin: ({ x, weight, residual }) => ({ output: twin(x!, weight!, { out: 9, in: 33 }, residual) }),
    });
  });

  test(`gradients of linear with itself as the residual in ${dtype}`, () => {
    checkGradient({
      dtype,
      inputs: { x: { shape: [6, 8] } },
      parameters: { weight: { ...weight, shape: [8, 8] } },
      run: (execution, { x }, { weight }) => linear(execution, x!, weight!, { residual: x! }),
      twin: ({ x, weight }) => ({ output: twin(x!, weight!, { out: 8, in: 8 }, x) }),
    });
  });

  const groupings: Record<string, number[]> = {
    "several groups": [0, 3, 9, 12],
    "empty groups at the start, in the middle and at the end": [0, 0, 5, 5, 12, 12],
    "rows of no group behind the last": [0, 4, 4, 9],
    "no rows at all": [0, 0, 0],
  };
  for (const [name, offsets] of Object.entries(groupings)) {
    for (const withResidual of [false, true]) {
      test(`gradients of linear with ${name}${withResidual ? " and a residual" : ""} in ${dtype}`, () => {
        const [rows, input, out] = [12, 7, 10];
        const used = offsets.at(-1)!;
        checkGradient({
          dtype,
          inputs: { x: { shape: [rows, input] }, ...(withResidual && { residual: { shape: [rows, out] } }) },
          parameters: { weight: { ...weight, shape: [offsets.length - 1, out, input] } },
          run: (execution, { x, residual = null }, { weight }) => {
            const groups = execution.arena.integers(Int32Array.from(offsets));
            return linear(execution, x!, weight!, { residual, offsets: groups });
          },
          twin: ({ x, weight, residual }) => ({ output: twin(x!, weight!, { out, in: input, offsets }, residual) }),
          written: { output: used * out, x: used * input, residual: used * out },
        });
      });
    }
  }

  test(`logits are f32 and leave nothing on the tape in ${dtype}`, () => {
    using execution = new Execution({ threads: 1, computeType: dtype });
    using weight = new Parameter("head", [37, 16], "matrix");
    const [x, w] = [normals(3 * 16, 1, dtype), normals(37 * 16, 2, dtype)];
    weight.weight.setFloats(Float32Array.from(w));
    const input = execution.arena.tensor(dtype, 3, 16);
    input.setFloats(Float32Array.from(x));
    const { result, tape } = execution.record(() => logits(execution, input, weight));
    assert.equal(result.dtype, "f32");
    assert.ok(relativeError(result.toFloat32Array(), twin(x, w, { out: 37, in: 16 })) < 1e-5);
    tape.gradientOf(result).tensor.zero();
    tape.runBackward();
    assert.equal(tape.take(input), undefined);
  });
}

test("a kept packed copy is what forward products read, until it is forgotten", () => {
  using execution = new Execution({ threads: 1, computeType: "f32" });
  using weight = new Parameter("some.weight", [1, 1], "matrix");
  const x = execution.arena.tensor("f32", 1, 1);
  x.setFloats(Float32Array.of(3));
  const product = () => linear(execution, x, weight).toFloat32Array()[0];
  weight.weight.setFloats(Float32Array.of(2));
  weight.keepPacked(execution.pool, "f32");
  weight.weight.setFloats(Float32Array.of(5));
  assert.equal(product(), 6);
  weight.forgetPacked();
  assert.equal(product(), 15);
});
