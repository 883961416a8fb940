import assert from "node:assert/strict";
import { test } from "node:test";
import { weightGradientTwin } from "../../../test/twins/gemm.ts";
import { crossEntropy } from "../../../test/twins/loss.ts";
import { checkGradient, headLoss, linear } from "../../../test/twins/ops.ts";
import { dtypes, normals, relativeError } from "../../../test/twins/support.ts";
import { liveMemory } from "../../kernels/bindings/memory.ts";
import { Execution } from "../execution.ts";
import { Parameter } from "../parameter.ts";
import { bytesPerElement } from "../tensor.ts";
import { linearCrossEntropy } from "./cross-entropy.ts";

for (const dtype of dtypes) {
  test(`gradients of linearCrossEntropy, some targets not counting, in ${dtype}`, () => {
    const [columns, vocabulary, scale] = [9, 21, 0.25];
    const targets = [4, -1, 20, 0, 4, -1, 13];
    checkGradient({
      dtype,
      inputs: { x: { shape: [targets.length, columns] } },
      parameters: { weight: { kind: "matrix", shape: [vocabulary, columns], scale: 0.5 } },
      seeded: false,
      run: (execution, { x }, { weight }) => {
        const targetTensor = execution.arena.integers(Int32Array.from(targets));
        return linearCrossEntropy(execution, x!, weight!, targetTensor, scale);
      },
      twin: ({ x, weight }) => headLoss(x!, weight!, targets, columns, scale),
    });
  });

  test(`linearCrossEntropy in several chunks of rows in ${dtype}`, () => {
    // At this size a chunk has 32 rows. The twin's own gradient is that of central differences (loss.test.ts).
    const [rows, columns, vocabulary, scale] = [102, 3, 65_600, 1];
    const x = normals(rows * columns, 1, dtype);
    const w = normals(vocabulary * columns, 2, dtype);
    const targets = Int32Array.from({ length: rows }, (_, row) => (row % 5 === 2 ? -1 : (row * 7919) % vocabulary));
    const expected = crossEntropy(linear(x, w, { out: vocabulary, in: columns }), targets, vocabulary, scale);
    const size = { out: vocabulary, in: columns, offsets: [0, rows] };
    const expectedWeight = weightGradientTwin(expected.dlogits, x, size);

    const before = liveMemory();
    {
      using execution = new Execution({ threads: 2, computeType: dtype });
      using weight = new Parameter("head", [vocabulary, columns], "matrix");
      weight.weight.setFloats(Float32Array.from(w));
      weight.startGradient();
      const input = execution.arena.tensor(dtype, rows, columns);
      input.setFloats(Float32Array.from(x));
      let dx: Float32Array | undefined;
      const { result: losses, tape } = execution.record(() => {
        execution.tape?.record([], () => {
          using gradient = tape.take(input);
          dx = gradient?.tensor.toFloat32Array();
        });
        return linearCrossEntropy(execution, input, weight, execution.arena.integers(targets), scale);
      });
      tape.runBackward();
      const limit = dtype === "bf16" ? 1e-2 : 1e-4;
      const near = (actual: Float32Array, wanted: Float64Array, what: string) => {
        const error = relativeError(actual, wanted);
        assert.ok(error < limit, `${what}: ${error}`);
      };
      near(losses.toFloat32Array(), expected.losses, "losses");
      near(weight.gradient.toFloat32Array(), expectedWeight, "weight gradient");
      const dxExpected = new Float64Array(rows * columns);
      for (let row = 0; row < rows; row++) {
        for (let v = 0; v < vocabulary; v++) {
          const slope = expected.dlogits[row * vocabulary + v]!;
          for (let i = 0; i < columns; i++) dxExpected[row * columns + i]! += slope * w[v * columns + i]!;
        }
      }
      near(dx!, dxExpected, "input gradient");
      const wholeLogits = rows * vocabulary * (4 + bytesPerElement[dtype]);
      assert.ok(execution.arena.peakBytes < wholeLogits, "the logits are never there as a whole");
    }
    assert.deepEqual(liveMemory(), before);
  });
}

test("without a tape linearCrossEntropy gives the same losses, and touches no gradient", () => {
  using execution = new Execution({ threads: 1, computeType: "f32" });
  using weight = new Parameter("head", [7, 4], "matrix");
  weight.weight.setFloats(Float32Array.from(normals(28, 1)));
  const x = execution.arena.tensor("f32", 3, 4);
  x.setFloats(Float32Array.from(normals(12, 2)));
  const targets = execution.arena.integers(Int32Array.from([1, -1, 6]));
  const losses = linearCrossEntropy(execution, x, weight, targets, 1).toFloat32Array();
  assert.ok(weight.gradient.toFloat32Array().every((value) => value === 0));
  assert.equal(losses[1], 0);
  const { result } = execution.record(() => linearCrossEntropy(execution, x, weight, targets, 1));
  assert.deepEqual(result.toFloat32Array(), losses);
});
