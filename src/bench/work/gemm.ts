import { dtypeCodes } from "../../kernels/bindings/declare.ts";
import { matmul, pack, packBytes, weightGradient, weightGradientScratchBytes } from "../../kernels/bindings/gemm.ts";
import { NativeMemory } from "../../kernels/bindings/memory.ts";
import { ThreadPool } from "../../kernels/bindings/threads.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { GemmWork } from "../protocol.ts";
import { Inputs, someIndices } from "./inputs.ts";
import { digestOf, type Seconds, secondsOf, type Workload } from "./workload.ts";

/** Relative to the largest product: f32 sums in another order, and a bf16 result rounded to 8 bits. */
const allowedErrors = { f32: 1e-5, bf16: 2 ** -8 };

/** A product with packed weights, or a weight gradient, by our kernels; packing is a part of its own. */
export class GemmWorkload implements Workload {
  readonly #work: GemmWork;
  readonly #pool: ThreadPool;
  readonly #inputs = new Inputs();
  readonly #left: Tensor;
  readonly #right: Tensor;
  readonly #out: Tensor;
  readonly #run: () => void;
  readonly #pack: (() => void) | undefined;
  readonly #memory: NativeMemory;

  constructor(work: GemmWork, threads: number) {
    const { operation, computeType, m, k, n } = work;
    const dtype = dtypeCodes[computeType];
    const groups = work.offsets.length - 1;
    this.#work = work;
    const pool = new ThreadPool(threads);
    this.#pool = pool;
    const inputs = this.#inputs;
    const x = inputs.uniform("x", computeType, m, k);
    const offsets = groups > 1 ? inputs.integers(Int32Array.from(work.offsets)) : null;
    if (operation === "product") {
      const weight = inputs.uniform("weight", "f32", groups, n, k);
      const c = inputs.empty(computeType, m, n);
      const shape = { dtype, groups, out: n, in: k, transpose: 0 };
      const packed = new NativeMemory(packBytes(shape));
      const sizes = { dtype, cDtype: dtype, rows: m, inner: k, columns: n, groups };
      this.#memory = packed;
      this.#pack = () => pack({ pool, weight, packed, ...shape });
      this.#pack();
      this.#run = () => matmul({ pool, a: x, packed, addend: null, gated: null, c, offsets, ...sizes });
      [this.#left, this.#right, this.#out] = [x, weight, c];
    } else {
      const dy = inputs.uniform("dy", computeType, m, n);
      const gradient = inputs.empty("f32", groups, n, k);
      const sizes = { dtype, rows: m, out: n, in: k, groups };
      const scratch = new NativeMemory(weightGradientScratchBytes(sizes));
      this.#memory = scratch;
      this.#pack = undefined;
      this.#run = () =>
        weightGradient({
          pool,
          dy,
          x,
          weightGradient: gradient,
          offsets,
          accumulate: 0,
          squares: null,
          scratch,
          ...sizes,
        });
      [this.#left, this.#right, this.#out] = [dy, x, gradient];
    }
  }

  time(repetitions: number): Seconds {
    const seconds: Seconds = {
      product: secondsOf(() => {
        for (let i = 0; i < repetitions; i++) this.#run();
      }),
    };
    // once is enough to know what it costs, and leaves the time to the product
    if (this.#pack) seconds.packing = secondsOf(this.#pack) * repetitions;
    return seconds;
  }

  digest(): string {
    this.#run();
    return digestOf([this.#out.toBytes()]);
  }

  /** Some rows and columns, the first and last of each group among them, as f64 products of the rounded inputs. */
  check(): { largestError: number; allowedError: number } {
    this.#run();
    const { operation, computeType, m, k, n, offsets } = this.#work;
    const [left, right, out] = [this.#left, this.#right, this.#out].map((tensor) => tensor.toFloat32Array());
    // packing rounds the weights to the compute type
    const rounded = (value: number) => (computeType === "bf16" ? toBf16(value) : value);
    let largest = 0;
    let scale = 1e-30;
    const compare = (found: number, wanted: number) => {
      scale = Math.max(scale, Math.abs(wanted));
      largest = Math.max(largest, Number.isNaN(found) ? Number.POSITIVE_INFINITY : Math.abs(found - wanted));
    };
    for (let group = 0; group + 1 < offsets.length; group++) {
      const [first, last] = [offsets[group]!, offsets[group + 1]!];
      for (const column of someIndices(n, 24)) {
        if (operation === "product") {
          for (const row of someIndices(last - first, 24)) {
            let sum = 0;
            for (let i = 0; i < k; i++)
              sum += left![(first + row) * k + i]! * rounded(right![(group * n + column) * k + i]!);
            compare(out![(first + row) * n + column]!, sum);
          }
        } else {
          for (const input of someIndices(k, 24)) {
            let sum = 0;
            for (let row = first; row < last; row++) sum += left![row * n + column]! * right![row * k + input]!;
            compare(out![(group * n + column) * k + input]!, sum);
          }
        }
      }
    }
    const type = operation === "gradient" ? "f32" : computeType;
    return { largestError: m === 0 ? 0 : largest / scale, allowedError: allowedErrors[type] };
  }

  [Symbol.dispose](): void {
    this.#memory[Symbol.dispose]();
    this.#inputs[Symbol.dispose]();
    this.#pool[Symbol.dispose]();
  }
}

const word = new Uint32Array(1);
const float = new Float32Array(word.buffer);

/** The nearest bf16, ties to even. */
function toBf16(value: number): number {
  float[0] = value;
  word[0] = ((word[0]! + 0x7fff + ((word[0]! >>> 16) & 1)) >>> 16) << 16;
  return float[0]!;
}
