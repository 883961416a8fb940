import assert from "node:assert/strict";
import { test } from "node:test";
import * as twin from "../../../test/twins/optim.ts";
import {
  assertClose,
  bytesOf,
  dtypes,
  emptyMemory,
  fromMemory,
  normals,
  roundTo,
  scratchMemory,
  toMemory,
} from "../../../test/twins/support.ts";
import { type Addressed, dtypeCodes } from "./declare.ts";
import { adamw, axpy, sumOfSquares, sumOfSquaresScratchBytes } from "./optim.ts";
import { ThreadPool } from "./threads.ts";

const counts = [1, 15, 16, 17, 63, 16_383, 16_384, 16_385, 50_001];

function eachPool(run: (pool: Addressed | null) => void): void {
  run(null);
  for (const threads of [1, 2, 3]) {
    using pool = new ThreadPool(threads);
    run(pool);
  }
}

for (const count of counts) {
  test(`sum of squares of ${count}`, () => {
    const values = normals(count, count);
    using memory = toMemory(values);
    const expected = twin.sumOfSquares(values);
    const seen = new Set<string>();
    eachPool((pool) => {
      using scratch = scratchMemory(sumOfSquaresScratchBytes({ count }));
      using result = emptyMemory(1);
      sumOfSquares({ pool, values: memory, count, result, accumulate: 0, scratch });
      assertClose(fromMemory(result, 1), [expected], "f32", "overwritten");
      sumOfSquares({ pool, values: memory, count, result, accumulate: 1, scratch });
      assertClose(fromMemory(result, 1), [2 * expected], "f32", "accumulated");
      seen.add(bytesOf(result));
    });
    assert.equal(seen.size, 1);
  });

  for (const mDtype of dtypes)
    test(`AdamW over ${count}, its first moment in ${mDtype}`, () => {
      const settings = { learningRate: 0.01, beta1: 0.9, beta2: 0.95, eps: 1e-8, decay: 0.1, gradientScale: 0.5 };
      const f32 = Object.fromEntries(
        Object.entries(settings).map(([name, x]) => [name, Math.fround(x)]),
      ) as typeof settings;
      const steps = 3;
      const weight = normals(count, 1);
      let expected: ReturnType<typeof twin.adamw> = { weight, m: new Float64Array(count), v: new Float64Array(count) };
      for (let step = 1; step <= steps; step++) {
        expected = twin.adamw(expected, normals(count, 10 + step), step, f32);
        expected.m = expected.m.map((value) => roundTo(mDtype, value));
      }
      const seen = new Set<string>();
      eachPool((pool) => {
        using weightMemory = toMemory(weight);
        using m = toMemory(new Float64Array(count), mDtype);
        using v = toMemory(new Float64Array(count));
        for (let step = 1; step <= steps; step++) {
          using gradient = toMemory(normals(count, 10 + step));
          adamw({
            pool,
            weight: weightMemory,
            gradient,
            mDtype: dtypeCodes[mDtype],
            m,
            v,
            count,
            ...settings,
            biasCorrection1: 1 - f32.beta1 ** step,
            biasCorrection2: 1 - f32.beta2 ** step,
          });
        }
        // where a value lies between two bf16, the kernel's f32 and the twin's f64 may round it apart
        assertClose(fromMemory(weightMemory, count), expected.weight, mDtype, "weight");
        assertClose(fromMemory(m, count, mDtype), expected.m, mDtype, "m");
        assertClose(fromMemory(v, count), expected.v, "f32", "v");
        seen.add(bytesOf(weightMemory) + bytesOf(m) + bytesOf(v));
      });
      assert.equal(seen.size, 1);
    });
}

test("AdamW leaves a weight alone where the gradient is zero and nothing decays", () => {
  using weight = toMemory([1, -2, 3]);
  using gradient = toMemory([0, 0, Number.NaN]);
  using m = toMemory([0, 0, 0]);
  using v = toMemory([0, 0, 0]);
  const betas = { beta1: 0.9, beta2: 0.95, biasCorrection1: 0.1, biasCorrection2: 0.05 };
  const settings = { ...betas, learningRate: 0.1, eps: 1e-8, decay: 0, gradientScale: 1 };
  adamw({ pool: null, weight, gradient, mDtype: 0, m, v, count: 3, ...settings });
  assert.deepEqual([...fromMemory(weight, 3)], [1, -2, Number.NaN]);
});

for (const sourceDtype of dtypes) {
  for (const destinationDtype of dtypes) {
    test(`axpy from ${sourceDtype} to ${destinationDtype}`, () => {
      for (const count of counts) {
        for (const accumulate of [0, 1]) {
          const source = normals(count, count, sourceDtype);
          const destination = normals(count, count + 1, destinationDtype);
          using sourceMemory = toMemory(source, sourceDtype);
          const expected = twin.axpy(source, destination, 0.375, accumulate === 1);
          const seen = new Set<string>();
          eachPool((pool) => {
            using result = accumulate ? toMemory(destination, destinationDtype) : emptyMemory(count, destinationDtype);
            axpy({
              pool,
              sourceDtype: dtypeCodes[sourceDtype],
              source: sourceMemory,
              destinationDtype: dtypeCodes[destinationDtype],
              destination: result,
              count,
              scale: 0.375,
              accumulate,
            });
            const actual = fromMemory(result, count, destinationDtype);
            assertClose(actual, expected, destinationDtype, `${count}, accumulate ${accumulate}`);
            seen.add(bytesOf(result));
          });
          assert.equal(seen.size, 1);
        }
      }
    });

    test(`axpy with scale 1 is the conversion from ${sourceDtype} to ${destinationDtype}`, () => {
      const infinity = Number.POSITIVE_INFINITY;
      const special = [0, -0, infinity, -infinity, Number.NaN, 1, 1.00390625, 1.01171875, -3.4e38, 3.4028234e38];
      const source = [...special, ...normals(90, 5)].map((x) => roundTo(sourceDtype, x));
      using sourceMemory = toMemory(source, sourceDtype);
      using destination = emptyMemory(source.length, destinationDtype);
      axpy({
        pool: null,
        sourceDtype: dtypeCodes[sourceDtype],
        source: sourceMemory,
        destinationDtype: dtypeCodes[destinationDtype],
        destination,
        count: source.length,
        scale: 1,
        accumulate: 0,
      });
      const expected = source.map((x) => roundTo(destinationDtype, x));
      assert.deepEqual([...fromMemory(destination, source.length, destinationDtype)], expected);
    });
  }
}

test("bad arguments are refused, and nothing to do is no error", () => {
  const refused = { code: "KERNEL_FAILED", message: /bad argument/ };
  using memory = toMemory([1]);
  const norm = { pool: null, values: memory, count: 1, result: memory, accumulate: 0, scratch: memory };
  assert.throws(() => sumOfSquares({ ...norm, result: null }), refused);
  assert.throws(() => sumOfSquares({ ...norm, scratch: null }), refused);
  assert.throws(() => sumOfSquares({ ...norm, scratch: { address: memory.address + 4 } }), refused);
  assert.throws(() => sumOfSquares({ ...norm, count: 2 ** 52 }), refused);
  using result = emptyMemory(1);
  sumOfSquares({ pool: null, values: null, count: 0, result, accumulate: 0, scratch: null });
  assert.deepEqual([...fromMemory(result, 1)], [0]);

  const copy = { pool: null, sourceDtype: 0, source: memory, destinationDtype: 0, destination: memory, count: 1 };
  assert.throws(() => axpy({ ...copy, scale: 1, accumulate: 0, sourceDtype: 2 }), refused);
  assert.throws(() => axpy({ ...copy, scale: 1, accumulate: 0, destinationDtype: -1 }), refused);
  assert.throws(() => axpy({ ...copy, scale: 1, accumulate: 0, source: null }), refused);
  axpy({ ...copy, scale: 1, accumulate: 0, source: null, destination: null, count: 0 });

  const arrays = { pool: null, weight: memory, gradient: memory, mDtype: 0, m: memory, v: memory, count: 1 };
  const numbers = { learningRate: 1, beta1: 0, beta2: 0, eps: 1, decay: 0, biasCorrection2: 1, gradientScale: 1 };
  assert.throws(() => adamw({ ...arrays, ...numbers, biasCorrection1: 0 }), refused);
  assert.throws(() => adamw({ ...arrays, ...numbers, biasCorrection1: 1, v: null }), refused);
  assert.throws(() => adamw({ ...arrays, ...numbers, biasCorrection1: 1, mDtype: 2 }), refused);
});
