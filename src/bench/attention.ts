/** `rookery bench attention`: causal attention, forward and backward, against a peer and the rate from registers. */
import { z } from "zod";
import { RookeryError } from "../base/errors.ts";
import { attentionFlops } from "./attention-flops.ts";
import { Duel, type DuelSummary, figuresOf, type RoundFigures, type Verdict } from "./duel.ts";
import {
  type BenchContext,
  commonBenchOptions,
  computeTypeOption,
  listPlan,
  peerOptions,
  turnOptions,
} from "./options.ts";
import type { AttentionWork, BenchComputeType } from "./protocol.ts";
import { type Spread, spreadOf } from "./statistics.ts";

const shapePattern = /^(\d+)x(\d+)\/(\d+)\/(\d+)\/(\d+)$/;

/** Short and long, few and many KV heads, narrow and wide heads, and a length that divides no block. */
const defaultAttentionShapes = [
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

export type AttentionRow = Verdict & {
  shape: string;
  work: AttentionWork;
  forward: Pass;
  backward: Pass;
  both: Pass;
};

/** Ratio and share of its summary are those of forward and backward together. */
export type BenchAttentionResult = DuelSummary & { bench: "attention"; rows: AttentionRow[] };

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
  const figures: RoundFigures[] = [];
  for (const { shape, work } of works) {
    const result = await duel.run(work);
    const flops = attentionFlops(work);
    const forward = figuresOf(result, flops.forward, (round) => round.forward!);
    const backward = figuresOf(result, flops.backward, (round) => round.backward!);
    const both = figuresOf(result, flops.forward + flops.backward, (round) => round.forward! + round.backward!);
    const passes = { forward: passOf(forward), backward: passOf(backward), both: passOf(both) };
    const row: AttentionRow = { shape, work, ...passes, ...result.verdict };
    figures.push(both);
    rows.push(row);
    onEvent?.({ type: "measured", row });
    onEvent?.({ type: "progress", what: "attention", done: rows.length, total: works.length, unit: "shapes" });
  }
  return { bench: "attention", ...(await duel.summary(figures, rows)), rows };
}

function passOf({ seconds, flopsPerSecond, ratioToPeer, shareOfPeak }: RoundFigures): Pass {
  return {
    seconds: spreadOf(seconds),
    flopsPerSecond: spreadOf(flopsPerSecond),
    ratioToPeer: ratioToPeer && spreadOf(ratioToPeer),
    shareOfPeak: spreadOf(shareOfPeak),
  };
}
