/** What every benchmark can be told. */
import { availableParallelism } from "node:os";
import { z } from "zod";
import type { CommandContext, RookeryEvent } from "../base/events.ts";
import { levels } from "../kernels/levels.ts";
import type { Environment } from "./contestant.ts";
import { benchComputeTypes } from "./protocol.ts";

export const commonBenchOptions = {
  threads: z
    .int()
    .min(1)
    .max(256)
    .optional()
    .transform((threads) => threads ?? Math.min(256, availableParallelism()))
    .describe("threads, for us and for the peer; by default one a core"),
  isa: z
    .enum(levels)
    .optional()
    .describe("level of instructions for us, and the peer's limit to the same; by default the best there is"),
};

export const peerOptions = {
  peer: z
    .string()
    .min(1)
    .default("pytorch")
    .describe("pytorch, jax-js, none, or the path of a program that speaks the protocol of bench/peers")
    .meta({ valueName: "PEER" }),
  peerPython: z
    .string()
    .min(1)
    .optional()
    .describe("the Python that has PyTorch; by default bench/peers/pytorch/.venv")
    .meta({ valueName: "PATH" }),
  rounds: z.int().min(1).max(1000).default(5).describe("rounds, each ours and the peer's turn"),
};

export const computeTypeOption = z
  .enum(benchComputeTypes)
  .default("bf16")
  .describe("type of activations and products; sums are f32");

/** A row of a benchmark's table, as soon as there is one. */
export type Measured<Row> = { type: "measured"; row: Row };

/** What a benchmark is given besides its options. Children get `environment`, with what a level or a peer needs changed. */
export type BenchContext<Row> = CommandContext<RookeryEvent | Measured<Row>> & {
  environment: Environment;
};

/** For benchmarks that go through a list of small works. */
export const turnOptions = {
  roundSeconds: z.number().positive().max(3600).default(0.15).describe("how long a turn takes"),
  checkBits: z.boolean().default(true).describe("the results on 1 thread, on all, and on all again must be equal"),
};

/** What a list of works will take, in words. */
export function listPlan(works: number, what: string, options: { rounds: number; roundSeconds: number }): string {
  const seconds = works * (1.5 + options.rounds * 2 * (options.roundSeconds + 0.1));
  return `plan: ${works} ${what}, each checked against f64, then ${options.rounds} rounds; about ${Math.ceil(seconds / 60)} min`;
}
