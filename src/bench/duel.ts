/** One work measured by ours and, where there is one, by the peer: checked first, then in rounds that alternate. */
import { RookeryError } from "../base/errors.ts";
import { Contest, type ContestOptions, choosePeer, PeakMeter, takeTurns } from "./contest.ts";
import type { Contestant } from "./contestant.ts";
import type { BenchContext } from "./options.ts";
import type { Work } from "./protocol.ts";

export type DuelOptions = ContestOptions & {
  peer: string;
  peerPython?: string | undefined;
  rounds: number;
  roundSeconds: number;
  checkBits: boolean;
};

export type DuelResult = {
  /** A list over rounds for each, of seconds by part; the peer's is undefined where it did not take part. */
  ours: Record<string, number>[];
  peer: Record<string, number>[] | undefined;
  /** Why the peer did not take part. */
  peerError?: string;
  /** FLOPs a second from registers, in each round. */
  peaks: number[];
  largestError: number;
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
  readonly peer: { name: string; version: string } | { missing: string };

  private constructor(
    options: DuelOptions,
    parts: { ours: Contestant; level: string; meter: Contestant; peer: Contestant | undefined },
    peer: Duel["peer"],
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
    let about: Duel["peer"] = { missing: "missing" in found ? found.missing : "" };
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
    return { ours: ours!, peer, ...(peerError !== undefined && { peerError }), peaks, largestError, sameBits };
  }

  /** The most memory that each has held. */
  async peakMemoryBytes(): Promise<{ ours: number | null; peer: number | null }> {
    const { peakBytes: ours } = await this.#ours.call("memory", {});
    return { ours, peer: this.#peer ? (await this.#peer.call("memory", {})).peakBytes : null };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack[Symbol.asyncDispose]();
  }
}
