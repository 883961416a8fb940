/** One work measured by ours and, where there is one, by the peer: checked first, then in rounds that alternate. */
import { RookeryError } from "../base/errors.ts";
import { Contest, type ContestOptions, choosePeer, PeakMeter, takeTurns } from "./contest.ts";
import type { Contestant } from "./contestant.ts";
import type { BenchContext } from "./options.ts";
import type { Work } from "./protocol.ts";
import { ratiosToPeer, type Spread, spreadOfMeans } from "./statistics.ts";

export type DuelOptions = ContestOptions & {
  peer: string;
  peerPython?: string | undefined;
  rounds: number;
  roundSeconds: number;
  checkBits: boolean;
};

export type Verdict = {
  /** Of our result against f64, relative to its largest value. */
  largestError: number;
  sameBits: boolean | null;
  /** Why the peer did not take part. */
  peerError?: string;
};

type PartSeconds = Record<string, number>;

export type DuelResult = {
  /** A list over rounds for each; the peer's is undefined where it did not take part. */
  ours: PartSeconds[];
  peer: PartSeconds[] | undefined;
  /** FLOPs a second from registers, in each round. */
  peaks: number[];
  verdict: Verdict;
};

/** Figures of a work, or of a part of it, in each round. */
export type RoundFigures = {
  seconds: number[];
  flopsPerSecond: number[];
  ratioToPeer: number[] | null;
  shareOfPeak: number[];
};

/** The figures of what takes `flops` and, in a round, `secondsOf` it. */
export function figuresOf(
  { ours, peer, peaks }: DuelResult,
  flops: number,
  secondsOf: (round: PartSeconds) => number,
): RoundFigures {
  const seconds = ours.map(secondsOf);
  const flopsPerSecond = seconds.map((one) => flops / one);
  return {
    seconds,
    flopsPerSecond,
    ratioToPeer: peer ? ratiosToPeer(seconds, peer.map(secondsOf)) : null,
    shareOfPeak: flopsPerSecond.map((rate, round) => rate / peaks[round]!),
  };
}

/** What every benchmark of a list of works ends with. */
export type DuelSummary = {
  threads: number;
  level: string;
  peer: { name: string; version: string } | { missing: string };
  /** Over all works that the peer did too: the geometric mean in each round. */
  ratioToPeer: Spread | null;
  shareOfPeak: Spread;
  peak: { flopsPerSecond: Spread; bytesPerSecond: Spread | null };
  peakMemoryBytes: { ours: number | null; peer: number | null };
  sameBits: boolean | null;
};

/** The processes of a benchmark that goes through a list of works. */
export class Duel implements AsyncDisposable {
  readonly #options: DuelOptions;
  readonly #stack = new AsyncDisposableStack();
  readonly #ours: Contestant;
  readonly #peer: Contestant | undefined;
  readonly meter: PeakMeter;
  readonly level: string;
  /** Name and version, or why there is none. */
  readonly peer: DuelSummary["peer"];

  private constructor(
    options: DuelOptions,
    parts: { ours: Contestant; level: string; meter: Contestant; peer: Contestant | undefined },
    peer: DuelSummary["peer"],
  ) {
    this.#options = options;
    this.#ours = this.#stack.use(parts.ours);
    this.#peer = parts.peer && this.#stack.use(parts.peer);
    this.meter = new PeakMeter(this.#stack.use(parts.meter));
    this.level = parts.level;
    this.peer = peer;
  }

  /** Starts ours, the meter, and the peer if it is here; a peer that does not start is missing, not an error. */
  static async open<Row>(options: DuelOptions, context: BenchContext<Row>): Promise<Duel> {
    const contest = new Contest(options, context);
    const found = choosePeer(options);
    await using stack = new AsyncDisposableStack();
    const { contestant: ours, level } = await contest.ours();
    stack.use(ours);
    const { contestant: meter } = await contest.ours();
    stack.use(meter);
    let peer: Contestant | undefined;
    let about: DuelSummary["peer"] = { missing: "missing" in found ? found.missing : "" };
    if ("program" in found) {
      try {
        const { contestant, version } = await contest.peer(found.program);
        peer = contestant;
        about = { name: found.program.name, version };
      } catch (error) {
        if (!(error instanceof RookeryError)) throw error;
        about = { missing: error.message };
      }
    }
    stack.move();
    return new Duel(options, { ours, level, meter, peer }, about);
  }

  /** @throws RookeryError KERNEL_FAILED when our result is wrong, before anything is timed. */
  async run(work: Work): Promise<DuelResult> {
    const { rounds, roundSeconds: seconds, checkBits } = this.#options;
    await this.#ours.call("prepare", { work });
    const { largestError, allowedError } = await this.#ours.call("check", {});
    if (!(largestError <= allowedError)) {
      throw new RookeryError(
        "KERNEL_FAILED",
        `${JSON.stringify(work)} is wrong by ${largestError.toExponential(1)} of its largest value (${allowedError.toExponential(1)} is allowed)`,
        "this is a fault of Rookery, please report it",
      );
    }
    const digests = checkBits ? (await this.#ours.call("bits", { work, repetitions: 1 })).digests : [];
    const contestants = [this.#ours];
    let peerError: string | undefined;
    if (this.#peer) {
      try {
        await this.#peer.call("prepare", { work });
        contestants.push(this.#peer);
      } catch (error) {
        if (!(error instanceof RookeryError)) throw error;
        peerError = error.message;
      }
    }
    const peaks: number[] = [];
    const [ours, peer] = await takeTurns(contestants, { rounds, seconds }, async () => {
      peaks.push(await this.meter.measure(work.computeType, this.meter.bytes.length === 0));
    });
    const sameBits = checkBits ? new Set(digests).size === 1 : null;
    const verdict = { largestError, sameBits, ...(peerError !== undefined && { peerError }) };
    return { ours: ours!, peer, peaks, verdict };
  }

  /** @param figures of each work. @param rows what the benchmark shows of them. */
  async summary(figures: readonly RoundFigures[], rows: readonly Verdict[]): Promise<DuelSummary> {
    const { threads, checkBits } = this.#options;
    const ratios = figures.flatMap(({ ratioToPeer }) => (ratioToPeer ? [ratioToPeer] : []));
    const { peakBytes: ours } = await this.#ours.call("memory", {});
    const peer = this.#peer ? (await this.#peer.call("memory", {})).peakBytes : null;
    return {
      threads,
      level: this.level,
      peer: this.peer,
      ratioToPeer: ratios.length > 0 ? spreadOfMeans(ratios) : null,
      shareOfPeak: spreadOfMeans(figures.map(({ shareOfPeak }) => shareOfPeak)),
      peak: this.meter.summary(),
      peakMemoryBytes: { ours, peer },
      sameBits: checkBits ? rows.every((row) => row.sameBits) : null,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack[Symbol.asyncDispose]();
  }
}
