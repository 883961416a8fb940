/** The three products of a weight that ops are made of: forward, input gradient, weight gradient. */
import type { Addressed } from "../../kernels/bindings/declare.ts";
import {
  matmul,
  matmulPacking,
  matmulPackingScratchBytes,
  pack,
  packBytes,
  weightGradient,
  weightGradientScratchBytes,
} from "../../kernels/bindings/gemm.ts";
import type { Execution } from "../execution.ts";
import type { Parameter } from "../parameter.ts";
import type { Tensor } from "../tensor.ts";

/** A weight as one direction's products read it, on loan: the kept copy if there is one, else packed now into the arena. */
export type PackedWeight = Disposable & { weight: Parameter; direction: "forward" | "backward"; memory: Addressed };

/** "forward" is for y = x Wᵀ, "backward" for dx = dy W. @param dtype the products' compute type. */
export function packWeight(
  execution: Execution,
  weight: Parameter,
  direction: "forward" | "backward",
  dtype: number,
): PackedWeight {
  if (weight.quantized) throw new Error(`${weight.name} is quantized: only its forward product exists`);
  const kept = direction === "forward" ? weight.packed(dtype) : undefined;
  if (kept) return { weight, direction, memory: kept, [Symbol.dispose]: () => {} };
  const transpose = direction === "forward" ? 0 : 1;
  const shape = { dtype, groups: weight.groups, out: weight.out, in: weight.in, transpose };
  const loan = execution.arena.scratch(packBytes(shape));
  pack({ pool: execution.pool, weight: weight.weight, packed: loan.tensor, ...shape });
  return { weight, direction, memory: loan.tensor, [Symbol.dispose]: () => loan[Symbol.dispose]() };
}

/** offsets int32 [groups + 1]; gated [rows, columns / 2] takes silu(left half of c) · its right half, and then there is no addend. */
export type ProductOptions = { addend?: Tensor | null; offsets?: Tensor | null; gated?: Tensor | null };

/** c = addend + a Wᵀ (packed "forward": a [rows, in]) or addend + a W ("backward": a [rows, out]). */
export function product(
  execution: Execution,
  a: Tensor,
  { weight, direction, memory }: PackedWeight,
  c: Tensor,
  options: ProductOptions = {},
): void {
  productWith(execution, a, weight, direction, memory, c, options);
}

function productWith(
  { pool }: Execution,
  a: Tensor,
  weight: Parameter,
  direction: "forward" | "backward",
  packed: Addressed,
  c: Tensor,
  { addend = null, offsets = null, gated = null }: ProductOptions,
): void {
  matmul({
    pool,
    dtype: a.dtypeCode,
    a,
    packed,
    addend,
    c,
    cDtype: c.dtypeCode,
    gated,
    rows: a.size(0),
    inner: direction === "forward" ? weight.in : weight.out,
    columns: direction === "forward" ? weight.out : weight.in,
    groups: weight.groups,
    offsets,
  });
}

/** `product` for a weight that is used once before it changes. Matrices of a group of experts are packed piece by piece. */
export function multiply(
  execution: Execution,
  direction: "forward" | "backward",
  a: Tensor,
  weight: Parameter,
  c: Tensor,
  options: ProductOptions = {},
): void {
  if (direction === "forward") execution.observer?.(weight, a, options.offsets ?? null);
  if (weight.quantized && direction === "forward") {
    weight.quantized.multiply(execution, a, c, options);
    return;
  }
  const { addend = null, offsets = null, gated = null } = options;
  const { pool, arena } = execution;
  const { groups } = weight;
  const dtype = a.dtypeCode;
  const kept = direction === "forward" ? weight.packed(dtype) : undefined;
  if (kept) {
    productWith(execution, a, weight, direction, kept, c, options);
    return;
  }
  if (groups === 1) {
    using packed = packWeight(execution, weight, direction, dtype);
    product(execution, a, packed, c, options);
    return;
  }
  const [inner, columns] = direction === "forward" ? [weight.in, weight.out] : [weight.out, weight.in];
  const isGated = gated ? 1 : 0;
  const scratchSize = { dtype, inner, columns, groups, isGated, threads: pool.threads };
  using scratch = arena.scratch(matmulPackingScratchBytes(scratchSize));
  matmulPacking({
    pool,
    dtype,
    a,
    weight: weight.weight,
    transpose: direction === "forward" ? 0 : 1,
    addend,
    c,
    cDtype: c.dtypeCode,
    gated,
    rows: a.size(0),
    inner,
    columns,
    groups,
    offsets,
    scratch: scratch.tensor,
  });
}

/** The weight's gradient += dyᵀ x, group by group; nothing if it is frozen. */
export function addWeightGradient(
  execution: Execution,
  dy: Tensor,
  x: Tensor,
  weight: Parameter,
  offsets: Tensor | null,
): void {
  if (weight.isFrozen) return;
  const size = { dtype: x.dtypeCode, rows: x.size(0), out: weight.out, in: weight.in, groups: weight.groups };
  using scratch = execution.arena.scratch(weightGradientScratchBytes(size));
  weightGradient({
    pool: execution.pool,
    dy,
    x,
    weightGradient: weight.gradient,
    squares: weight.gradientSquares,
    offsets,
    accumulate: weight.accumulateGradient(),
    scratch: scratch.tensor,
    ...size,
  });
  weight.hasGradientSquares = true;
}
