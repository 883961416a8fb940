/** `rookery bench attention`: causal attention, forward and backward, against a peer and the rate from registers. */
import { z } from "zod";
import { RookeryError } from "../base/errors.ts";
import { attentionFlops } from "./attention-flops.ts";
import { Duel } from "./duel.ts";
import {
  type BenchContext,
  commonBenchOptions,
  computeTypeOption,
  listPlan,
  peerOptions,
  turnOptions,
} from "./options.ts";
import type { AttentionWork, BenchComputeType } from "./protocol.ts";
import { ratiosToPeer, type Spread, spreadOf, spreadOfMeans } from "./statistics.ts";

const shapePattern = /^(\d+)x(\d+)\/(\d+)\/(\d+)\/(\d+)$/;

/** Short and long, few and many KV heads, narrow and wide heads, and a length that divides no block. */
export const defaultAttentionShapes = [
  ...["8x256/8/2/32", "8x256/4/2/64", "4x1024/8/2/128", "3x1000/8/2/64"],
  ...["1x2048/16/16/64", "1x4096/8/2/64", "1x16384/8/2/64"],
];

export const benchAttentionSchema = z.strictObject({
  shapes: z
    .array(z.string())
    .min(1)
    .default(defaultAttentionShapes)
    .describe("SEQUENCESxLENGTH/HEADS/KV_HEADS/HEAD_DIM")
    .meta({ valueName: "SHAPE" }),
  computeType: computeTypeOption,
  ...commonBenchOptions,
  ...peerOptions,
  ...turnOptions,
});

export type BenchAttentionOptions = z.output<typeof benchAttentionSchema>;

type Pass = { seconds: Spread; flopsPerSecond: Spread; ratioToPeer: Spread | null; shareOfPeak: Spread };

export type AttentionRow = {
  shape: string;
  work: AttentionWork;
  forward: Pass;
  backward: Pass;
  both: Pass;
  largestError: number;
  sameBits: boolean | null;
  peerError?: string;
};

export type BenchAttentionResult = {
  bench: "attention";
  threads: number;
  level: string;
  peer: { name: string; version: string } | { missing: string };
  rows: AttentionRow[];
  /** Forward and backward together, over all rows: the geometric mean in each round. */
  ratioToPeer: Spread | null;
  shareOfPeak: Spread;
  peak: { flopsPerSecond: Spread; bytesPerSecond: Spread | null };
  peakMemoryBytes: { ours: number | null; peer: number | null };
  sameBits: boolean | null;
};

function attentionWork(shape: string, computeType: BenchComputeType): AttentionWork {
  const match = shapePattern.exec(shape);
  const [sequences = 0, length = 0, heads = 0, keyValueHeads = 0, headDim = 0] = (match ?? []).slice(1).map(Number);
  if (!match || Math.min(sequences, length, keyValueHeads, headDim) < 1 || heads % keyValueHeads !== 0) {
    throw new RookeryError(
      "INVALID_OPTION",
      `--shapes has ${JSON.stringify(shape)}`,
      "write SEQUENCESxLENGTH/HEADS/KV_HEADS/HEAD_DIM, HEADS a multiple of KV_HEADS, as in 8x256/8/2/32",
    );
  }
  return { kind: "attention", computeType, sequences, length, heads, keyValueHeads, headDim };
}

/** Measures attention. @throws RookeryError INVALID_OPTION, BENCH_FAILED, KERNEL_FAILED (a wrong result). */
export async function benchAttention(
  options: BenchAttentionOptions,
  context: BenchContext<AttentionRow>,
): Promise<BenchAttentionResult> {
  const { onEvent } = context;
  const works = options.shapes.map((shape) => ({ shape, work: attentionWork(shape, options.computeType) }));
  onEvent?.({ type: "note", message: listPlan(works.length, "attentions", options) });
  await using duel = await Duel.open(options, context);
  const rows: AttentionRow[] = [];
  const ratios: number[][] = [];
  const shares: number[][] = [];
  for (const { shape, work } of works) {
    const result = await duel.run(work);
    const flops = attentionFlops(work);
    const passOf = (count: number, part: (round: Record<string, number>) => number) => {
      const seconds = result.ours.map(part);
      const ratio = result.peer ? ratiosToPeer(seconds, result.peer.map(part)) : null;
      const share = seconds.map((one, round) => count / one / result.peaks[round]!);
      const pass: Pass = {
        seconds: spreadOf(seconds),
        flopsPerSecond: spreadOf(seconds.map((one) => count / one)),
        ratioToPeer: ratio && spreadOf(ratio),
        shareOfPeak: spreadOf(share),
      };
      return { pass, ratio, share };
    };
    const both = passOf(flops.forward + flops.backward, (round) => round.forward! + round.backward!);
    if (both.ratio) ratios.push(both.ratio);
    shares.push(both.share);
    const { largestError, sameBits, peerError } = result;
    const row: AttentionRow = {
      ...{ shape, work },
      forward: passOf(flops.forward, (round) => round.forward!).pass,
      backward: passOf(flops.backward, (round) => round.backward!).pass,
      both: both.pass,
      ...{ largestError, sameBits },
      ...(peerError !== undefined && { peerError }),
    };
    rows.push(row);
    onEvent?.({ type: "measured", row });
    onEvent?.({ type: "progress", what: "attention", done: rows.length, total: works.length, unit: "shapes" });
  }
  return {
    bench: "attention",
    threads: options.threads,
    level: duel.level,
    peer: duel.peer,
    rows,
    ratioToPeer: ratios.length > 0 ? spreadOfMeans(ratios) : null,
    shareOfPeak: spreadOfMeans(shares),
    peak: duel.meter.summary(),
    peakMemoryBytes: await duel.peakMemoryBytes(),
    sameBits: options.checkBits ? rows.every((row) => row.sameBits) : null,
  };
}
