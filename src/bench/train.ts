/** `rookery bench train`: a training step against every way of writing the same in PyTorch. */
import { z } from "zod";
import { account } from "../model/accounting.ts";
import { Contest, choosePeer, PeakMeter, takeTurns } from "./contest.ts";
import { type BenchContext, commonBenchOptions, computeTypeOption, peerOptions } from "./options.ts";
import type { FoundPeer, PeerProgram } from "./peers.ts";
import { type Profile, profileOf } from "./profile.ts";
import type { TrainWork } from "./protocol.ts";
import { ratiosToPeer, type Spread, spreadOf } from "./statistics.ts";
import { recomputationOption, trainShapeOptions, trainWork } from "./train-shape.ts";
import {
  bestOf,
  nameOfVariant,
  type PeerVariant,
  prepareVariant,
  settledSeconds,
  tryVariant,
  variantsOf,
} from "./train-variants.ts";
import { benchModel } from "./work/train.ts";

export const benchTrainSchema = z.strictObject({
  ...trainShapeOptions,
  computeType: computeTypeOption,
  recomputation: recomputationOption,
  ...commonBenchOptions,
  ...peerOptions,
  roundSeconds: z.number().positive().max(3600).default(3).describe("how long a turn takes, at least one step"),
  compile: z.boolean().default(true).describe("also try the peer's variants compiled (a minute or more each)"),
  checkBits: z
    .boolean()
    .default(true)
    .describe("train on 1 thread, on all, and on all again: the weights must be equal"),
});

export type BenchTrainOptions = z.output<typeof benchTrainSchema>;

export type BenchTrainResult = {
  bench: "train";
  work: TrainWork;
  threads: number;
  level: string;
  parameters: { total: number; activated: number };
  flopsPerStep: number;
  tokensPerSecond: { ours: Spread; peer: Spread | null };
  /** Ours by the fastest variant of the peer, round by round. */
  ratioToPeer: Spread | null;
  /** FLOPs of the step by its time, as a share of the rate from registers measured in the same round. */
  shareOfPeak: Spread;
  peak: { flopsPerSecond: Spread; bytesPerSecond: Spread | null };
  /** The most each process has held; the peer's is that of its leanest variant. */
  peakMemoryBytes: { ours: number | null; peer: number | null };
  memoryRatio: number | null;
  peer: { name: string; version: string; fastest: PeerVariant; leanest: PeerVariant; variants: PeerVariant[] } | null;
  peerMissing: string | null;
  sameBits: boolean | null;
  profile: Profile;
};

const bitsSteps = 3;
const profiledSteps = 3;

/** Measures a training step. @throws RookeryError INVALID_OPTION, BENCH_FAILED. */
export async function benchTrain(
  options: BenchTrainOptions,
  context: BenchContext<PeerVariant>,
): Promise<BenchTrainResult> {
  const { onEvent } = context;
  const work = trainWork(options);
  const found = choosePeer(options);
  const names = "program" in found ? variantsOf(options) : [];
  onEvent?.({ type: "note", message: planOf(options, found, names.length) });
  const contest = new Contest(options, context);
  const sameBits = options.checkBits ? await hasSameBits(contest, work) : null;
  const variants: PeerVariant[] = [];
  if ("program" in found) {
    for (const name of names) {
      const row = await tryVariant(contest, found.program, work, name, variants, options.roundSeconds);
      variants.push(row);
      onEvent?.({ type: "measured", row });
    }
  }
  const { fastest, leanest } = bestOf(variants);
  const rival = "program" in found && fastest ? { program: found.program, variant: fastest } : undefined;
  const race = await runRounds(contest, work, rival, options, context);

  const tokens = work.batch * work.sequenceLength;
  const { parameters, flopsPerToken } = account(benchModel(work), work.sequenceLength);
  const flopsPerStep = flopsPerToken.training * tokens;
  const rates = (seconds: readonly number[]) => spreadOf(seconds.map((one) => tokens / one));
  const { ours, peer, meter, peakBytes } = race;
  return {
    bench: "train",
    work,
    threads: options.threads,
    level: race.level,
    parameters: { total: race.parameters, activated: parameters.activated },
    flopsPerStep,
    tokensPerSecond: { ours: rates(ours), peer: peer ? rates(peer) : null },
    ratioToPeer: peer ? spreadOf(ratiosToPeer(ours, peer)) : null,
    shareOfPeak: spreadOf(ours.map((seconds, round) => flopsPerStep / seconds / meter.flops[round]!)),
    peak: meter.summary(),
    peakMemoryBytes: { ours: peakBytes, peer: leanest?.peakBytes ?? null },
    memoryRatio: peakBytes !== null && leanest?.peakBytes ? peakBytes / leanest.peakBytes : null,
    peer:
      rival && leanest
        ? { name: rival.program.name, version: race.peerVersion, fastest: rival.variant, leanest, variants }
        : null,
    peerMissing: "missing" in found ? found.missing : rival ? null : "no variant of the peer ran",
    sameBits,
    profile: race.profile,
  };
}

/** Rounds of ours and, if there is one, the rival in turns; seconds a step. */
async function runRounds(
  contest: Contest,
  work: TrainWork,
  rival: { program: PeerProgram; variant: PeerVariant } | undefined,
  { rounds, roundSeconds }: BenchTrainOptions,
  { onEvent }: BenchContext<PeerVariant>,
) {
  await using stack = new AsyncDisposableStack();
  const meter = new PeakMeter(stack.use((await contest.ours()).contestant));
  const { contestant, level } = await contest.ours();
  const ours = stack.use(contestant);
  const { parameters = 0 } = await ours.call("prepare", { work });
  const contestants = [ours];
  let peerVersion = "";
  if (rival) {
    onEvent?.({ type: "note", message: `rounds against ${nameOfVariant(rival.variant)}, the fastest variant` });
    const peer = await contest.peer(rival.program);
    peerVersion = peer.version;
    contestants.push(stack.use(peer.contestant));
    await prepareVariant(peer.contestant, work, rival.variant);
    await settledSeconds(peer.contestant, roundSeconds);
  }
  const timings = await takeTurns(contestants, { rounds, seconds: roundSeconds }, async (round) => {
    await meter.measure(work.computeType, true);
    onEvent?.({ type: "progress", what: "rounds", done: round + 1, total: rounds, unit: "rounds" });
  });
  const [ourSeconds, peerSeconds] = timings.map((turns) => turns.map((turn) => turn.step!));
  const { peakBytes } = await ours.call("memory", {});
  const profile = profileOf(await ours.call("profile", { repetitions: profiledSteps }));
  return { ours: ourSeconds!, peer: peerSeconds, peerVersion, level, parameters, meter, peakBytes, profile };
}

/** Whether weights after a few steps are the same on 1 thread, on all, and on all again. */
async function hasSameBits(contest: Contest, work: TrainWork): Promise<boolean> {
  const { contestant } = await contest.ours();
  await using ours = contestant;
  const { digests } = await ours.call("bits", { work, repetitions: bitsSteps }, 3600);
  return new Set(digests).size === 1;
}

function planOf({ rounds, roundSeconds, checkBits }: BenchTrainOptions, found: FoundPeer, variants: number): string {
  const peerSeconds = variants > 0 ? variants * (20 + 3 * roundSeconds) + 20 + rounds * roundSeconds : 0;
  const seconds = (checkBits ? 20 : 0) + peerSeconds + rounds * roundSeconds + 10;
  const minutes = Math.max(1, Math.ceil(seconds / 60));
  const peer =
    "missing" in found ? `ours alone (${found.missing})` : `${variants} variants of ${found.program.name} one by one`;
  return `plan: ${checkBits ? "same bits, then " : ""}${peer}, then ${rounds} rounds; about ${minutes} min at the default shape, and more where variants compile`;
}
