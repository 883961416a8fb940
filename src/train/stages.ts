/** Stages of a run: stretches of steps with a length of sequences, a RoPE base, a mixture and a schedule of their own. */
import { z } from "zod";
import { RookeryError } from "../base/errors.ts";
import type { ModelConfig } from "../model/config.ts";

const positive = z.number().positive();
const share = z.number().min(0).max(1);

export const stageSchema = z.strictObject({
  name: z.string().min(1).max(60).describe("what metrics and pages call it"),
  sequenceLength: z
    .int()
    .min(8)
    .max(2 ** 20)
    .describe("tokens a row"),
  ropeTheta: z.number().min(1).optional().describe("base of the rotary angles from here on; by default as before"),
  ropeAlpha: positive.optional().describe("NTK alpha instead: the base becomes theta · alpha^(d / (d − 2))"),
  tokens: z.int().positive().optional().describe("tokens to train on"),
  steps: z
    .int()
    .positive()
    .max(2 ** 31 - 1)
    .optional()
    .describe("updates, instead of tokens"),
  batchTokens: z
    .int()
    .min(8)
    .max(2 ** 26)
    .optional()
    .describe("tokens an update; by default the run's, or one row"),
  microBatchTokens: z
    .int()
    .min(8)
    .max(2 ** 22)
    .optional()
    .describe("tokens a forward pass"),
  longShare: share.default(0.25).describe("share of the tokens from long documents, which are kept whole"),
  longTokens: z.int().min(1).optional().describe("tokens from which a document counts as long; by default half a row"),
  mixture: z
    .record(z.string(), z.number().min(0))
    .optional()
    .describe("weight of each source by its name; by default the run's weights"),
  learningRate: positive
    .max(1)
    .optional()
    .describe("peak learning rate; by default that at which the pre-training's annealing ends"),
  warmupShare: share.default(0.05).describe("share of the stage's steps in which the learning rate rises"),
  finalLearningRateShare: share.default(0.1).describe("learning rate at its end, as a share of its peak"),
  recomputation: z.enum(["none", "block"]).optional().describe("by default the run's"),
});

export type StageOptions = z.output<typeof stageSchema>;

export const stagePresetNames = ["long-context", "long-context-256k"] as const;

/** What the report says of its two stages, and what it does not say (the base at 32K, the rates) left to our defaults. */
const reportStages: z.input<typeof stageSchema>[] = [
  { name: "32K", sequenceLength: 32_768, tokens: 10e9, recomputation: "block" },
  { name: "256K", sequenceLength: 262_144, ropeTheta: 1e9, tokens: 10e9, recomputation: "block" },
];

/** The stages of a preset; the small one takes rows of four times the length before, at four times the base. */
export function stagePreset(
  name: (typeof stagePresetNames)[number],
  { sequenceLength, ropeTheta }: { sequenceLength: number; ropeTheta: number },
): StageOptions[] {
  const stages =
    name === "long-context-256k"
      ? reportStages
      : [{ name: "long-context", sequenceLength: 4 * sequenceLength, ropeTheta: 4 * ropeTheta }];
  return stages.map((stage) => stageSchema.parse(stage));
}

/** The model as it is in a stage: another base, and positions for its rows. @throws RookeryError INVALID_OPTION. */
export function configInStage(before: ModelConfig, stage: StageOptions): ModelConfig {
  if (stage.ropeTheta !== undefined && stage.ropeAlpha !== undefined) {
    throw new RookeryError(
      "INVALID_OPTION",
      `the stage ${stage.name} has ropeTheta ${stage.ropeTheta} and ropeAlpha ${stage.ropeAlpha}`,
      "give one of them: both set the base",
    );
  }
  return {
    ...before,
    ropeTheta: stage.ropeTheta ?? before.ropeTheta,
    // a base that is given is meant as it is
    ...(stage.ropeTheta !== undefined && before.ropeScaling && { ropeScaling: { ...before.ropeScaling, alpha: 1 } }),
    ...(stage.ropeAlpha !== undefined && { ropeScaling: { type: "dynamic", alpha: stage.ropeAlpha, factor: 1 } }),
    maxPositionEmbeddings: Math.max(before.maxPositionEmbeddings, stage.sequenceLength),
  };
}
