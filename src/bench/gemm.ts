/** `rookery bench gemm`: matrix products of many shapes, against a peer and the rate from registers. */
import { z } from "zod";
import { Duel, type DuelSummary, figuresOf, type RoundFigures, type Verdict } from "./duel.ts";
import { defaultGemmShapes, gemmWork, isCliff } from "./gemm-shapes.ts";
import { type BenchContext, commonBenchOptions, listPlan, peerOptions, turnOptions } from "./options.ts";
import { benchComputeTypes, type GemmWork } from "./protocol.ts";
import { type Spread, spreadOf } from "./statistics.ts";

export const benchGemmSchema = z.strictObject({
  shapes: z
    .array(z.string())
    .min(1)
    .default(defaultGemmShapes)
    .describe("MxKxN, MxKxN/EXPERTS (rows fall unevenly to them) or gradient:MxKxN; by default what training meets")
    .meta({ valueName: "SHAPE" }),
  computeTypes: z
    .array(z.enum(benchComputeTypes))
    .min(1)
    .default(["bf16", "f32"])
    .describe("types of the factors")
    .meta({ valueName: benchComputeTypes.join("|") }),
  ...commonBenchOptions,
  ...peerOptions,
  ...turnOptions,
});

export type BenchGemmOptions = z.output<typeof benchGemmSchema>;

export type GemmRow = Verdict & {
  shape: string;
  work: GemmWork;
  flops: number;
  flopsPerSecond: Spread;
  ratioToPeer: Spread | null;
  shareOfPeak: Spread;
  /** Bytes of factors and result, each once, by the time: as a share of the read bandwidth. Above 1 they lay in a cache. */
  shareOfBandwidth: number;
  /** Seconds to pack the weights, which the product's time leaves out: serving packs once, training on the way into products. */
  packingSeconds: number | null;
};

export type BenchGemmResult = DuelSummary & {
  bench: "gemm";
  rows: GemmRow[];
  /** Shapes under a third of the rate of a neighbour, which differs from them by at most a doubling. */
  cliffs: string[];
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
  const figures: RoundFigures[] = [];
  for (const { shape, work } of works) {
    const result = await duel.run(work);
    const flops = 2 * work.m * work.k * work.n;
    const one = figuresOf(result, flops, (round) => round.product!);
    const flopsPerSecond = spreadOf(one.flopsPerSecond);
    const row: GemmRow = {
      ...{ shape, work, flops, flopsPerSecond },
      ratioToPeer: one.ratioToPeer && spreadOf(one.ratioToPeer),
      shareOfPeak: spreadOf(one.shareOfPeak),
      shareOfBandwidth: ((flopsPerSecond.median / flops) * bytesOf(work)) / duel.meter.bytes.at(-1)!,
      packingSeconds: result.ours.at(-1)!.packing ?? null,
      ...result.verdict,
    };
    figures.push(one);
    rows.push(row);
    onEvent?.({ type: "measured", row });
    onEvent?.({ type: "progress", what: "products", done: rows.length, total: works.length, unit: "shapes" });
  }
  return { bench: "gemm", ...(await duel.summary(figures, rows)), rows, cliffs: cliffsOf(rows) };
}

function cliffsOf(rows: readonly GemmRow[]): string[] {
  const rated = rows.map(({ work, flopsPerSecond }) => ({ work, rate: flopsPerSecond.median }));
  return rows
    .filter((_, index) => isCliff(rated[index]!, rated))
    .map(({ shape, work }) => `${shape} ${work.computeType}`);
}
