/**
 * What a contestant is asked, and what it answers: one JSON object a line, `{id, method, …}` and `{id, result}` or
 * `{id, error}`. Ours and every peer of bench/peers speak it, so that each keeps what is slow to start (a runtime, compiled
 * code, weights) through all rounds.
 */
import { z } from "zod";
import type { Recomputation } from "../model/recomputation.ts";

export const benchComputeTypes = ["bf16", "f32"] as const;
export type BenchComputeType = (typeof benchComputeTypes)[number];

/**
 * product: y [m, n] = x [m, k] Wᵀ, W [n, k]; with several offsets the rows [offsets[g], offsets[g + 1]) take matrix g of
 * W [groups, n, k]. gradient: dW [groups, n, k] = dyᵀ x over each group's rows. 2 m k n FLOPs in each case.
 */
export type GemmWork = {
  kind: "gemm";
  operation: "product" | "gradient";
  computeType: BenchComputeType;
  m: number;
  k: number;
  n: number;
  offsets: number[];
};

/** Causal attention of `sequences` sequences, each of `length` tokens. */
export type AttentionWork = {
  kind: "attention";
  computeType: BenchComputeType;
  sequences: number;
  length: number;
  heads: number;
  keyValueHeads: number;
  headDim: number;
};

/** A training step: forward, backward, clipping and AdamW on `batch` rows of `sequenceLength` tokens, none dropped. */
export type TrainWork = {
  kind: "train";
  computeType: BenchComputeType;
  layers: number;
  hidden: number;
  heads: number;
  keyValueHeads: number;
  ffn: number;
  experts: number;
  vocabulary: number;
  batch: number;
  sequenceLength: number;
  seed: number;
  /** What ours makes again on the way back instead of keeping it. */
  recomputation: Recomputation;
  /** How a peer runs its experts, and whether it compiles; ours has one way. */
  variant?: { experts: string; compile: boolean };
};

/**
 * Text from a model. One stream: a prompt of `promptTokens` is read, then `answerTokens` more tokens are written: parts "prefill" and
 * "decode". Many: `streams` texts, each behind a short prompt, write `answerTokens` more tokens each: part "streams".
 */
export type GenerateWork = {
  kind: "generate";
  loads: readonly GenerateLoad[];
  computeType: BenchComputeType;
  /** The model as each side reads it. */
  directory: string;
  gguf: string;
  vocabulary: number;
  promptTokens: number;
  answerTokens: number;
  streams: number;
};

export const generateLoads = ["one", "many"] as const;
export type GenerateLoad = (typeof generateLoads)[number];

export type Work = GemmWork | AttentionWork | TrainWork | GenerateWork;

const seconds = z.number().nonnegative();

/** The answer to each method. */
export const replySchemas = {
  /** Given threads. */
  hello: z.object({ name: z.string(), version: z.string(), level: z.string().optional() }),
  /** Given a work: makes its inputs and runs it once. */
  prepare: z.object({ parameters: z.number().optional() }),
  /** Given seconds: repeats the work for about that long; the median time of each of its parts. */
  round: z.object({ seconds: z.record(z.string(), seconds) }),
  /** The most memory that the process has held, in bytes; null where the system does not tell. */
  memory: z.object({ peakBytes: z.number().nullable() }),
  /** Ours only: the memory that training would take, without taking it. */
  predict: z.object({ totalBytes: z.number() }),
  /** Ours only, after prepare: the largest error against f64, relative to the scale of the result. */
  check: z.object({ largestError: z.number(), allowedError: z.number() }),
  /** Ours only: digests of the result on 1 thread, on all, and on all again. */
  bits: z.object({ digests: z.array(z.string()) }),
  /** Ours only, after prepare: seconds by kernel over some repetitions. */
  profile: z.object({
    repetitions: z.number(),
    seconds,
    kernels: z.array(z.object({ kernel: z.string(), calls: z.number(), seconds })),
  }),
  /** Ours only: FLOPs a second from registers, and bytes a second of a read. */
  peaks: z.object({ flopsPerSecond: z.number(), bytesPerSecond: z.number() }),
};

export type Method = keyof typeof replySchemas;
export type Reply<Name extends Method> = z.output<(typeof replySchemas)[Name]>;

/** What goes with each question. */
export type Questions = {
  hello: { threads: number };
  prepare: { work: Work };
  round: { seconds: number };
  memory: Record<string, never>;
  predict: { work: TrainWork };
  check: Record<string, never>;
  bits: { work: Work; repetitions: number };
  profile: { repetitions: number };
  peaks: { computeType: BenchComputeType; withBandwidth: boolean };
};

export type Request = { [Name in Method]: { id: number; method: Name } & Questions[Name] }[Method];
export type Response = { id: number; result?: unknown; error?: string };
