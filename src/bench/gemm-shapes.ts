/** Shapes of products as they are written, and which of them are neighbours. */
import { RookeryError } from "../base/errors.ts";
import type { BenchComputeType, GemmWork } from "./protocol.ts";

const shapePattern = /^(gradient:)?(\d+)x(\d+)x(\d+)(?:\/(\d+))?$/;

/** What training and serving meet: squares, odd sizes, few rows, many rows, experts with uneven loads, weight gradients. */
export const defaultGemmShapes = [
  ...["1024x1024x1024", "4096x1024x4096", "2048x2048x2048", "512x512x512"],
  ...["1000x1000x1000", "1023x1025x1027", "333x777x555", "2047x257x1409"],
  ...[1, 2, 4, 8, 16, 32, 64].map((rows) => `${rows}x1024x4096`),
  ...["32768x256x256", "2048x256x1408", "2048x704x256", "512x256x4096"],
  ...["2048x256x1408/8", "2048x704x256/8", "16384x256x1408/64", "4096x1024x5632/8", "4096x2816x1024/8"],
  ...["gradient:1024x1024x1024", "gradient:4096x1024x4096", "gradient:2048x256x1408", "gradient:1001x333x777"],
  ...["gradient:2048x256x1408/8", "gradient:2048x704x256/8", "gradient:16384x256x1408/64"],
];

/**
 * "MxKxN": y [M, N] = x [M, K] Wᵀ. "MxKxN/E": the rows fall unevenly to E matrices. "gradient:MxKxN": W's gradient from M rows.
 * @throws RookeryError INVALID_OPTION.
 */
export function gemmWork(shape: string, computeType: BenchComputeType): GemmWork {
  const match = shapePattern.exec(shape);
  const [m = 0, k = 0, n = 0, groups = 1] = (match ?? []).slice(2).map((size) => Number(size ?? 1));
  if (!match || Math.min(m, k, n, groups) < 1 || Math.max(m, k, n) > 2 ** 24 || groups > 4096) {
    throw new RookeryError(
      "INVALID_OPTION",
      `--shapes has ${JSON.stringify(shape)}`,
      "write MxKxN, MxKxN/EXPERTS or gradient:MxKxN, as in 1024x1024x1024",
    );
  }
  const operation = match[1] ? "gradient" : "product";
  return { kind: "gemm", operation, computeType, m, k, n, offsets: unevenOffsets(m, groups) };
}

/** Where each group's rows begin: the i-th busiest takes a share of 1 / i, in an order that is not sorted. */
export function unevenOffsets(rows: number, groups: number): number[] {
  const shares = Array.from({ length: groups }, (_, group) => 1 / (1 + ((group * 5 + 3) % groups)));
  const total = shares.reduce((sum, share) => sum + share, 0);
  const offsets = [0];
  let sum = 0;
  for (const share of shares) {
    sum += share;
    offsets.push(Math.round((rows * sum) / total));
  }
  return offsets;
}

/** How many doublings lie between two works of the same kind; infinite between different kinds. */
function distance(a: GemmWork, b: GemmWork): number {
  if (a.operation !== b.operation || a.computeType !== b.computeType) return Number.POSITIVE_INFINITY;
  const doublings = (x: number, y: number) => Math.abs(Math.log2(x / y));
  const experts = doublings(a.offsets.length - 1, b.offsets.length - 1);
  return doublings(a.m, b.m) + doublings(a.k, b.k) + doublings(a.n, b.n) + experts;
}

/** Shapes at most this many doublings apart, over all sizes together, should run at about the same rate. */
const nearDoublings = 1.01;

/** Whether a rate is under a third of that of a neighbour: a shape that falls off a cliff. */
export function isCliff(
  of: { work: GemmWork; rate: number },
  all: readonly { work: GemmWork; rate: number }[],
): boolean {
  return all.some((other) => distance(of.work, other.work) <= nearDoublings && of.rate < other.rate / 3);
}
