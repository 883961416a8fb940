/** The shape of a training step as options, named as the PyTorch script of the peers names them. */
import { z } from "zod";
import { RookeryError } from "../base/errors.ts";
import { checkModelConfig } from "../model/config.ts";
import { type Recomputation, recomputations } from "../model/recomputation.ts";
import type { BenchComputeType, TrainWork } from "./protocol.ts";
import { benchModel } from "./work/train.ts";

const count = (most: number) => z.int().min(1).max(most);

export const trainShapeOptions = {
  layers: count(1024).default(6).describe("layers; neighbours share K and V in pairs"),
  hidden: count(16_384).default(256).describe("width of the residual stream"),
  heads: count(1024).default(8).describe("query heads; the width of a head is hidden / heads"),
  kvHeads: count(1024).default(2).describe("KV heads"),
  ffn: count(2 ** 20)
    .default(704)
    .describe("width of each expert"),
  experts: count(1024)
    .default(8)
    .describe("specialised experts, of which a token takes one; a shared one comes on top"),
  vocabulary: count(2 ** 24)
    .default(4096)
    .describe("rows of the embedding table, which is also the head"),
  batch: count(2 ** 16)
    .default(8)
    .describe("rows a step"),
  seq: count(2 ** 20)
    .default(256)
    .describe("tokens a row"),
};

export const recomputationOption = z
  .enum(recomputations)
  .default("none")
  .describe("activations that ours recomputes in the backward pass instead of keeping them: memory for time");

/** The work that the options name. @throws RookeryError INVALID_OPTION, INVALID_CONFIG for sizes that do not go together. */
export function trainWork(
  options: z.output<z.ZodObject<typeof trainShapeOptions>> & {
    computeType: BenchComputeType;
    recomputation: Recomputation;
  },
) {
  const { layers, hidden, heads, kvHeads, ffn, experts, vocabulary, batch, seq, computeType, recomputation } = options;
  if (hidden % heads !== 0) {
    throw new RookeryError(
      "INVALID_OPTION",
      `--hidden ${hidden} is no multiple of --heads ${heads}`,
      "change one of them",
    );
  }
  const sizes = { layers, hidden, heads, keyValueHeads: kvHeads, ffn, experts, vocabulary, batch, sequenceLength: seq };
  const work: TrainWork = { kind: "train", computeType, ...sizes, seed: 1, recomputation };
  checkModelConfig(benchModel(work));
  return work;
}
