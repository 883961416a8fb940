/** `rookery bench gemm`: matrix products of many shapes, against a peer and the rate from registers. */
import { z } from "zod";
import { Duel } from "./duel.ts";
import { defaultGemmShapes, gemmWork, isCliff } from "./gemm-shapes.ts";
import { type BenchContext, commonBenchOptions, listPlan, peerOptions, turnOptions } from "./options.ts";
import { benchComputeTypes, type GemmWork } from "./protocol.ts";
import { ratiosToPeer, type Spread, spreadOf, spreadOfMeans } from "./statistics.ts";

export const benchGemmSchema = z.strictObject({
  shapes: z
    .array(z.string())
    .min(1)
    .default(defaultGemmShapes)
    .describe("MxKxN, MxKxN/EXPERTS (rows fall unevenly to them) or gradient:MxKxN; by default what training meets")
    .meta({ valueName: "SHAPE" }),
  computeTypes: z.array(z.enum(benchComputeTypes)).min(1).default(["bf16", "f32"]).describe("types of the factors"),
  ...commonBenchOptions,
  ...peerOptions,
  ...turnOptions,
});

export type BenchGemmOptions = z.output<typeof benchGemmSchema>;

export type GemmRow = {
  shape: string;
  work: GemmWork;
  flops: number;
  flopsPerSecond: Spread;
  ratioToPeer: Spread | null;
  shareOfPeak: Spread;
  /** Bytes of factors and result, each once, by the time: as a share of the read bandwidth. Above 1 they lay in a cache. */
  shareOfBandwidth: number;
  /** Seconds to pack the weights, which the product's time leaves out: training packs once a step, serving once. */
  packingSeconds: number | null;
  largestError: number;
  sameBits: boolean | null;
  peerError?: string;
};

export type BenchGemmResult = {
  bench: "gemm";
  threads: number;
  level: string;
  peer: { name: string; version: string } | { missing: string };
  rows: GemmRow[];
  /** Over all rows that have one: the geometric mean in each round. */
  ratioToPeer: Spread | null;
  shareOfPeak: Spread;
  peak: { flopsPerSecond: Spread; bytesPerSecond: Spread | null };
  peakMemoryBytes: { ours: number | null; peer: number | null };
  /** Shapes under a third of the rate of a neighbour, which differs from them by at most a doubling. */
  cliffs: string[];
  sameBits: boolean | null;
};

function bytesOf({ operation, computeType, m, k, n, offsets }: GemmWork): number {
  const size = computeType === "bf16" ? 2 : 4;
  const weights = (offsets.length - 1) * k * n;
  return operation === "product" ? size * (m * k + weights + m * n) : size * (m * k + m * n) + 4 * weights;
}

/** Measures the products. @throws RookeryError INVALID_OPTION, BENCH_FAILED, KERNEL_FAILED (a wrong result). */
export async function benchGemm(options: BenchGemmOptions, context: BenchContext<GemmRow>): Promise<BenchGemmResult> {
  const { onEvent } = context;
  const works = options.computeTypes.flatMap((type) =>
    options.shapes.map((shape) => ({ shape, work: gemmWork(shape, type) })),
  );
  onEvent?.({ type: "note", message: listPlan(works.length, "products", options) });
  await using duel = await Duel.open(options, context);
  const rows: GemmRow[] = [];
  const ratios: number[][] = [];
  const shares: number[][] = [];
  for (const { shape, work } of works) {
    const result = await duel.run(work);
    const { sameBits, largestError, peerError } = result;
    const flops = 2 * work.m * work.k * work.n;
    const seconds = result.ours.map((round) => round.product!);
    const ratio = result.peer
      ? ratiosToPeer(
          seconds,
          result.peer.map((round) => round.product!),
        )
      : null;
    const share = seconds.map((one, round) => flops / one / result.peaks[round]!);
    const rates = spreadOf(seconds.map((one) => flops / one));
    if (ratio) ratios.push(ratio);
    shares.push(share);
    const row: GemmRow = {
      shape,
      work,
      flops,
      flopsPerSecond: rates,
      ratioToPeer: ratio && spreadOf(ratio),
      shareOfPeak: spreadOf(share),
      shareOfBandwidth: ((rates.median / flops) * bytesOf(work)) / duel.meter.bytes.at(-1)!,
      packingSeconds: result.ours.at(-1)!.packing ?? null,
      ...{ largestError, sameBits },
      ...(peerError !== undefined && { peerError }),
    };
    rows.push(row);
    onEvent?.({ type: "measured", row });
    onEvent?.({ type: "progress", what: "products", done: rows.length, total: works.length, unit: "shapes" });
  }
  const rated = rows.map((row) => ({ work: row.work, rate: row.flopsPerSecond.median }));
  return {
    bench: "gemm",
    threads: options.threads,
    level: duel.level,
    peer: duel.peer,
    rows,
    ratioToPeer: ratios.length > 0 ? spreadOfMeans(ratios) : null,
    shareOfPeak: spreadOfMeans(shares),
    peak: duel.meter.summary(),
    peakMemoryBytes: await duel.peakMemoryBytes(),
    cliffs: rows
      .filter((_, index) => isCliff(rated[index]!, rated))
      .map((row) => `${row.shape} ${row.work.computeType}`),
    sameBits: options.checkBits ? rows.every((row) => row.sameBits) : null,
  };
}
