/** The ways of writing the same training step in a peer, each tried in a process of its own. */
import { RookeryError } from "../base/errors.ts";
import type { Level } from "../kernels/levels.ts";
import type { Contest } from "./contest.ts";
import type { Contestant } from "./contestant.ts";
import type { PeerProgram } from "./peers.ts";
import { type BenchComputeType, benchComputeTypes, type TrainWork } from "./protocol.ts";

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

/** A first step also makes the model and prepares its products; what is beyond this cannot win, and may take minutes. */
const hopelessTimes = 3;
const hopelessSeconds = 5;
const fewestSettlingRounds = 3;
const mostSettlingRounds = 8;

/** "padded bf16 compiled". */
export function nameOfVariant({ experts, computeType, compile }: VariantName) {
  return `${experts} ${computeType}${compile ? " compiled" : ""}`;
}

/** Every way of the script; f32 too where the level has no bf16 instructions, and for the variant as one would write it. */
export function variantsOf({
  isa,
  compile,
  computeType,
}: {
  isa?: Level | undefined;
  compile: boolean;
  computeType: BenchComputeType;
}): VariantName[] {
  const hasBf16 = isa === undefined || isa === "avx512bf16" || isa === "amx";
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

/** The fastest and the leanest of those that ran. */
export function bestOf(variants: readonly PeerVariant[]): { fastest?: PeerVariant; leanest?: PeerVariant } {
  const ran = variants.filter((one) => one.tokensPerSecond !== null);
  const [fastest] = ran.toSorted((a, b) => b.tokensPerSecond! - a.tokensPerSecond!);
  const [leanest] = ran.filter((one) => one.peakBytes !== null).toSorted((a, b) => a.peakBytes! - b.peakBytes!);
  return { ...(fastest && { fastest }), ...(leanest && { leanest }) };
}

/** Has a peer make the model in one way and run its first step, which may compile for minutes. */
export async function prepareVariant(
  peer: Contestant,
  work: TrainWork,
  { experts, computeType, compile }: VariantName,
): Promise<void> {
  await peer.call("prepare", { work: { ...work, computeType, variant: { experts, compile } } }, 1800);
}

/** Tries a variant. One that does not start or run is told with its error. One whose first step is hopelessly slow is not repeated, nor compiled. */
export async function tryVariant(
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
  try {
    const { contestant } = await contest.peer(program);
    await using peer = contestant;
    const start = performance.now();
    await prepareVariant(peer, work, variant);
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
export async function settledSeconds(peer: Contestant, seconds: number): Promise<number> {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 1; round <= mostSettlingRounds; round++) {
    const step = (await peer.call("round", { seconds })).seconds.step!;
    const isSettled = round >= fewestSettlingRounds && step > 0.9 * best;
    best = Math.min(best, step);
    if (isSettled) break;
  }
  return best;
}
