import { availableParallelism } from "node:os";
import { RookeryError } from "../base/errors.ts";
import { dtypeCodes } from "../kernels/bindings/declare.ts";
import { matmul, pack, packBytes } from "../kernels/bindings/gemm.ts";
import { NativeMemory } from "../kernels/bindings/memory.ts";
import { measurePeakFlops } from "../kernels/bindings/peak.ts";
import { ThreadPool } from "../kernels/bindings/threads.ts";

/** What the kernels did when they were tried. */
export type KernelRun = { threads: number; peakFlops: number };

const size = { rows: 5, inner: 64, columns: 48 };

/**
 * Multiplies two small matrices whose product is known, and measures the bf16 peak on all cores.
 * @throws RookeryError KERNEL_FAILED when the product is wrong, or whatever loading the kernels throws.
 */
export function tryKernels(): KernelRun {
  using pool = new ThreadPool(Math.min(256, availableParallelism()));
  checkProduct(pool);
  return { threads: pool.threads, peakFlops: measurePeakFlops(pool, "bf16") };
}

/** x [rows, inner] times Wᵀ with W [columns, inner], x = r + 1 and W = c in each row: y = inner · (r + 1) · c, exact in f32. */
function checkProduct(pool: ThreadPool): void {
  const { rows, inner, columns } = size;
  const dtype = dtypeCodes.f32;
  const weightShape = { dtype, groups: 1, out: columns, in: inner, transpose: 0 };
  using x = floats(Float32Array.from({ length: rows * inner }, (_, index) => Math.floor(index / inner) + 1));
  using weight = floats(Float32Array.from({ length: columns * inner }, (_, index) => Math.floor(index / inner)));
  using packed = new NativeMemory(packBytes(weightShape));
  using y = new NativeMemory(4 * rows * columns);
  pack({ pool, weight, packed, ...weightShape });
  matmul({
    pool,
    dtype,
    a: x,
    packed,
    addend: null,
    gated: null,
    c: y,
    cDtype: dtype,
    ...size,
    groups: 1,
    offsets: null,
  });
  const found = new Float32Array(y.bytes().slice().buffer);
  const wrong = found.findIndex(
    (value, index) => value !== inner * (Math.floor(index / columns) + 1) * (index % columns),
  );
  if (wrong < 0) return;
  throw new RookeryError(
    "KERNEL_FAILED",
    `a product of small matrices is wrong: element ${wrong} is ${found[wrong]}`,
    "set ROOKERY_ISA=portable, and report it with the output of rookery doctor --json",
  );
}

function floats(values: Float32Array): NativeMemory {
  const memory = new NativeMemory(values.byteLength);
  memory.bytes().set(new Uint8Array(values.buffer));
  return memory;
}
