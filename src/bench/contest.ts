/** Ours and a peer beside each other: who takes part, and rounds in which they take turns. */
import { setTimeout as pause } from "node:timers/promises";
import type { Level } from "../kernels/levels.ts";
import { Contestant, type Environment } from "./contestant.ts";
import { findPeer, type PeerProgram, peerEnvironment } from "./peers.ts";
import type { BenchComputeType } from "./protocol.ts";
import { type Spread, spreadOf } from "./statistics.ts";

export type ContestOptions = { threads: number; isa?: Level | undefined };

/** For idle threads of the one before to fall asleep. */
const restMs = 50;

/** Starts processes of ours and of the peer, all with the same threads and level. */
export class Contest {
  readonly #options: ContestOptions;
  readonly #environment: Environment;
  readonly #signal: AbortSignal | undefined;

  constructor(options: ContestOptions, context: { environment: Environment; signal?: AbortSignal | undefined }) {
    this.#options = options;
    this.#environment = context.environment;
    this.#signal = context.signal;
  }

  async ours(threads = this.#options.threads): Promise<{ contestant: Contestant; level: string }> {
    const contestant = Contestant.ours(this.#environment, this.#options.isa, this.#signal);
    const { level = "unknown" } = await helloOrEnd(contestant, threads);
    return { contestant, level };
  }

  async peer(program: PeerProgram): Promise<{ contestant: Contestant; version: string }> {
    const { threads, isa } = this.#options;
    const environment = peerEnvironment(this.#environment, threads, isa);
    const contestant = Contestant.peer(program, environment, this.#signal);
    return { contestant, version: (await helloOrEnd(contestant, threads)).version };
  }
}

async function helloOrEnd(contestant: Contestant, threads: number) {
  try {
    return await contestant.call("hello", { threads }, 120);
  } catch (error) {
    await contestant[Symbol.asyncDispose]();
    throw error;
  }
}

/** The peer that the options name, or why it cannot take part; PyTorch alone can be held to a level. */
export function choosePeer(options: { peer: string; peerPython?: string | undefined; isa?: Level | undefined }) {
  if (options.peer === "pytorch" && options.isa === "portable") {
    return { missing: "PyTorch cannot be held to the portable level" };
  }
  return findPeer(options.peer, options.peerPython);
}

/** The ceilings of the machine, measured in the same run by a process that does nothing else. */
export class PeakMeter {
  readonly #contestant: Contestant;
  readonly flops: number[] = [];
  readonly bytes: number[] = [];

  constructor(contestant: Contestant) {
    this.#contestant = contestant;
  }

  /** FLOPs a second now. */
  async measure(computeType: BenchComputeType, withBandwidth = false): Promise<number> {
    const { flopsPerSecond, bytesPerSecond } = await this.#contestant.call("peaks", { computeType, withBandwidth });
    this.flops.push(flopsPerSecond);
    if (withBandwidth) this.bytes.push(bytesPerSecond);
    return flopsPerSecond;
  }

  summary(): { flopsPerSecond: Spread; bytesPerSecond: Spread | null } {
    return {
      flopsPerSecond: spreadOf(this.flops),
      bytesPerSecond: this.bytes.length === 0 ? null : spreadOf(this.bytes),
    };
  }
}

/**
 * `rounds` rounds in which each contestant has a turn, the first one changing every round, so that neither always meets the
 * machine as the other has left it. @returns their seconds by part, a list for each contestant.
 */
export async function takeTurns(
  contestants: readonly Contestant[],
  { rounds, seconds }: { rounds: number; seconds: number },
  afterRound: (round: number) => Promise<void>,
): Promise<Record<string, number>[][]> {
  const results: Record<string, number>[][] = contestants.map(() => []);
  for (let round = 0; round < rounds; round++) {
    const order = contestants.map((_, index) => (index + round) % contestants.length);
    for (const index of order) {
      const { seconds: parts } = await contestants[index]!.call("round", { seconds });
      results[index]![round] = parts;
      await pause(restMs);
    }
    await afterRound(round);
  }
  return results;
}
