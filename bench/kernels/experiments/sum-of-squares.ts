/** A kernel of ours beside versions in C (sum-of-squares.c). */
import { join } from "node:path";
import { Inputs } from "../../../src/bench/work/inputs.ts";
import { NativeMemory } from "../../../src/kernels/bindings/memory.ts";
import { sumOfSquares, sumOfSquaresScratchBytes } from "../../../src/kernels/bindings/optim.ts";
import { compileVersions, type Experiment } from "../lab.ts";

const count = 100_003; // fits the second cache, and divides nothing

export function sumOfSquaresExperiment(): Experiment {
  const inputs = new Inputs();
  const values = inputs.uniform("values", "f32", count);
  const result = inputs.empty("f32", 1);
  const scratch = new NativeMemory(sumOfSquaresScratchBytes({ count }));
  const wanted = values.toFloat32Array().reduce((sum, value) => sum + value * value, 0);
  const signature = (name: string) => `float ${name}(uintptr_t values, size_t count)`;
  const compiled = compileVersions(join(import.meta.dirname, "sum-of-squares.c"), {
    one_scalar: signature("one_scalar"),
    one_vector: signature("one_vector"),
    four_vectors: signature("four_vectors"),
    eight_vectors: signature("eight_vectors"),
  });
  const version = (name: string, compute: () => number) => {
    let found = Number.NaN;
    const run = () => {
      found = compute();
    };
    return { name, run, error: () => Math.abs(found - wanted) / wanted };
  };
  const kernel = () => {
    sumOfSquares({ pool: null, values, count, result, accumulate: 0, scratch });
    return 0;
  };
  return {
    work: { amount: 4 * count, unit: "byte" },
    allowedError: 1e-4,
    versions: [
      {
        name: "the kernel",
        run: kernel,
        error: () => Math.abs(result.toFloat32Array()[0]! - wanted) / wanted,
      },
      ...Object.entries(compiled).map(([name, call]) =>
        version(name.replace("_", " "), () => call(values.address, count)),
      ),
    ],
    [Symbol.dispose]() {
      scratch[Symbol.dispose]();
      inputs[Symbol.dispose]();
    },
  };
}
