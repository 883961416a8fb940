/** `rookery bench train`: a training step against every way of writing the same in PyTorch. */
import { z } from "zod";
import { RookeryError } from "../base/errors.ts";
import { account } from "../model/accounting.ts";
import { Contest, choosePeer, PeakMeter, takeTurns } from "./contest.ts";
import type { Contestant } from "./contestant.ts";
import { type BenchContext, commonBenchOptions, computeTypeOption, peerOptions } from "./options.ts";
import type { FoundPeer, PeerProgram } from "./peers.ts";
import { type Profile, profileOf } from "./profile.ts";
import { type BenchComputeType, benchComputeTypes, type TrainWork } from "./protocol.ts";
import { ratiosToPeer, type Spread, spreadOf } from "./statistics.ts";
import { recomputationOption, trainShapeOptions, trainWork } from "./train-shape.ts";
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

/** One way of writing the peer's step, tried in a process of its own. */
export type PeerVariant = {
  experts: string;
  computeType: BenchComputeType;
  compile: boolean;
  tokensPerSecond: number | null;
  peakBytes: number | null;
  /** Its first step took so long that it was not repeated: the figures are that step's. */
  isHopeless?: boolean;
  error?: string;
};

type VariantName = Pick<PeerVariant, "experts" | "computeType" | "compile">;

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
/** A first step also makes the model and prepares its products; what is beyond this cannot win, and may take minutes. */
const hopelessTimes = 3;
const hopelessSeconds = 5;
const fewestSettlingRounds = 3;
const mostSettlingRounds = 8;

/** Measures a training step. @throws RookeryError INVALID_OPTION, BENCH_FAILED. */
export async function benchTrain(
  options: BenchTrainOptions,
  context: BenchContext<PeerVariant>,
): Promise<BenchTrainResult> {
  const { onEvent } = context;
  const work = trainWork(options);
  const note = (message: string) => onEvent?.({ type: "note", message });
  const found = choosePeer(options);
  const variants = "program" in found ? variantsOf(options) : [];
  note(planOf(options, found, variants.length));
  const contest = new Contest(options, context);
  const sameBits = options.checkBits ? await hasSameBits(contest, work) : null;
  const tried: PeerVariant[] = [];
  for (const variant of variants) {
    const { program } = found as { program: PeerProgram };
    const row = await tryVariant(contest, program, work, variant, tried, options.roundSeconds);
    tried.push(row);
    onEvent?.({ type: "measured", row });
  }
  const usable = tried.filter((one) => one.tokensPerSecond !== null);
  const fastest = usable.toSorted((a, b) => b.tokensPerSecond! - a.tokensPerSecond!)[0];
  const leanest = usable.filter((one) => one.peakBytes !== null).toSorted((a, b) => a.peakBytes! - b.peakBytes!)[0];

  await using cleanup = new AsyncDisposableStack();
  const { contestant: meterProcess } = await contest.ours();
  cleanup.use(meterProcess);
  const meter = new PeakMeter(meterProcess);
  const { contestant: ours, level } = await contest.ours();
  cleanup.use(ours);
  const { parameters = 0 } = await ours.call("prepare", { work });
  let version = "";
  const contestants = [ours];
  if (fastest && "program" in found) {
    const peer = await contest.peer(found.program);
    cleanup.use(peer.contestant);
    version = peer.version;
    const { experts, compile, computeType } = fastest;
    note(`rounds against ${nameOfVariant(fastest)}, the fastest variant`);
    await peer.contestant.call("prepare", { work: { ...work, computeType, variant: { experts, compile } } }, 1800);
    await settledSeconds(peer.contestant, options.roundSeconds);
    contestants.push(peer.contestant);
  }
  const accounting = account(benchModel(work), work.sequenceLength);
  const tokens = work.batch * work.sequenceLength;
  const flopsPerStep = accounting.flopsPerToken.training * tokens;
  const timings = await takeTurns(
    contestants,
    { rounds: options.rounds, seconds: options.roundSeconds },
    async (round) => {
      await meter.measure(work.computeType, true);
      onEvent?.({ type: "progress", what: "rounds", done: round + 1, total: options.rounds, unit: "rounds" });
    },
  );
  const [ourSeconds, peerSeconds] = timings.map((rounds) => rounds.map((round) => round.step!));
  const { peakBytes } = await ours.call("memory", {});
  const profile = profileOf(await ours.call("profile", { repetitions: profiledSteps }));
  const rates = (seconds: readonly number[]) => spreadOf(seconds.map((one) => tokens / one));
  return {
    bench: "train",
    work,
    threads: options.threads,
    level,
    parameters: { total: parameters, activated: accounting.parameters.activated },
    flopsPerStep,
    tokensPerSecond: { ours: rates(ourSeconds!), peer: peerSeconds ? rates(peerSeconds) : null },
    ratioToPeer: peerSeconds ? spreadOf(ratiosToPeer(ourSeconds!, peerSeconds)) : null,
    shareOfPeak: spreadOf(ourSeconds!.map((seconds, round) => flopsPerStep / seconds / meter.flops[round]!)),
    peak: meter.summary(),
    peakMemoryBytes: { ours: peakBytes, peer: leanest?.peakBytes ?? null },
    memoryRatio: peakBytes !== null && leanest?.peakBytes ? peakBytes / leanest.peakBytes : null,
    peer:
      fastest && leanest && "program" in found
        ? { name: found.program.name, version, fastest, leanest, variants: tried }
        : null,
    peerMissing: "missing" in found ? found.missing : fastest ? null : "no variant of the peer ran",
    sameBits,
    profile,
  };
}

/** "padded bf16 compiled". */
export function nameOfVariant({ experts, computeType, compile }: VariantName) {
  return `${experts} ${computeType}${compile ? " compiled" : ""}`;
}

/** Every way of the script; f32 too where the level has no bf16 instructions, and for the variant as one would write it. */
function variantsOf({ isa, compile, computeType }: BenchTrainOptions): VariantName[] {
  const hasBf16 = isa === undefined || isa === "amx";
  // f32 first where it is likely to win, so that what cannot is seen at its first step
  const types = hasBf16 ? benchComputeTypes : benchComputeTypes.toReversed();
  return ["loop", "padded", "bmm"].flatMap((experts) =>
    types
      .filter((type) => type === "bf16" || type === computeType || !hasBf16 || experts === "loop")
      .flatMap((type) =>
        (compile ? [false, true] : [false]).map((isCompiled) => ({ experts, computeType: type, compile: isCompiled })),
      ),
  );
}

/** Tries a variant. One whose first step is hopelessly slow is not repeated, nor compiled. */
async function tryVariant(
  contest: Contest,
  program: PeerProgram,
  work: TrainWork,
  { experts, computeType, compile }: VariantName,
  tried: readonly PeerVariant[],
  roundSeconds: number,
): Promise<PeerVariant> {
  const variant = { experts, computeType, compile };
  const tokens = work.batch * work.sequenceLength;
  const eager = tried.find((one) => one.experts === experts && one.computeType === computeType);
  if (eager?.isHopeless)
    return { ...variant, tokensPerSecond: null, peakBytes: null, error: "not tried: far too slow" };
  const { contestant } = await contest.peer(program);
  await using peer = contestant;
  try {
    const start = performance.now();
    await peer.call("prepare", { work: { ...work, computeType, variant: { experts, compile } } }, 1800);
    const firstSeconds = (performance.now() - start) / 1000;
    const bestSeconds = tokens / Math.max(0, ...tried.map((one) => one.tokensPerSecond ?? 0));
    const isHopeless = !compile && firstSeconds > hopelessTimes * bestSeconds + hopelessSeconds;
    const seconds = isHopeless ? firstSeconds : await settledSeconds(peer, roundSeconds);
    const { peakBytes } = await peer.call("memory", {});
    return { ...variant, tokensPerSecond: tokens / seconds, peakBytes, ...(isHopeless && { isHopeless }) };
  } catch (error) {
    if (!(error instanceof RookeryError)) throw error;
    return { ...variant, tokensPerSecond: null, peakBytes: null, error: error.message };
  }
}

/** Rounds until one is no longer much quicker than those before: compiled variants compile again as they meet new shapes. */
async function settledSeconds(peer: Contestant, seconds: number): Promise<number> {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 1; round <= mostSettlingRounds; round++) {
    const step = (await peer.call("round", { seconds })).seconds.step!;
    const isSettled = round >= fewestSettlingRounds && step > 0.9 * best;
    best = Math.min(best, step);
    if (isSettled) break;
  }
  return best;
}

/** Whether weights after a few steps are the same on 1 thread, on all, and on all again. */
async function hasSameBits(contest: Contest, work: TrainWork): Promise<boolean> {
  const { contestant } = await contest.ours();
  await using ours = contestant;
  const { digests } = await ours.call("bits", { work, repetitions: bitsSteps }, 3600);
  return new Set(digests).size === 1;
}

function planOf({ rounds, roundSeconds, checkBits }: BenchTrainOptions, found: FoundPeer, variants: number): string {
  const peerSeconds = variants * (20 + 3 * roundSeconds) + 20;
  const seconds = (checkBits ? 20 : 0) + peerSeconds + rounds * 2 * roundSeconds + 10;
  const minutes = Math.max(1, Math.ceil(seconds / 60));
  const peer =
    "missing" in found ? `ours alone (${found.missing})` : `${variants} variants of ${found.program.name} one by one`;
  return `plan: ${checkBits ? "same bits, then " : ""}${peer}, then ${rounds} rounds; about ${minutes} min at the default shape, and more where variants compile`;
}
