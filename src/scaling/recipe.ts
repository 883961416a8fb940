/** Learning rate, batch and schedule by stated rules, each with its source. */
import type { ModelConfig } from "../model/config.ts";
import { expertLearningRateRatio } from "../train/schedule.ts";
import { criticalBatchAt, kaplanCriticalBatch } from "./batch.ts";
import { ownBatchAt } from "./law-compute.ts";
import { frontierAt, type PowerLaw, powerAt, type ScalingLaw } from "./laws.ts";

/** DeepSeek LLM (arXiv 2401.02954), eq. 1, of training FLOPs: fitted to dense models from 1e17 to 2e19. */
export const learningRateLaw: PowerLaw = { coefficient: 0.3118, exponent: -0.125 };
export const batchLaw: PowerLaw = { coefficient: 0.292, exponent: 0.3271 };
/** Where the report's ratio of 0.31 for 16 experts comes from, read so that experts learn more slowly. */
export const reportedBatchToNoise = 0.26;
const warmupShare = 0.03;
const annealingShare = 0.05;
const finalShare = 0.1;

export type Recipe = {
  learningRate: number;
  batchTokens: number;
  steps: number;
  expertLearningRateRatio: number;
  batchToNoiseRatio: number;
  schedule: { warmupTokens: number; decayTokens: number; annealingTokens: number; finalShare: number };
  /** null without a predicted loss. */
  criticalBatch: {
    /** B_crit at the predicted loss. */
    tokens: number;
    /** Whether the law's own runs have measured it. If not, the law's C counts as C_min. */
    isMeasured: boolean;
    source: string;
    /** 1 + B / B_crit: what this batch takes for a loss, over what a very small one takes. */
    computeOverLeast: number;
  } | null;
  sources: string[];
};

/** What training is planned, before its recipe: FLOPs, C_min, tokens, and nats where the law tells them. */
export type PlannedTraining = { compute: number; leastCompute: number; tokens: number; loss: number | null };

/** Whole rows: the law's own runs' batch at that compute, or else DeepSeek LLM's. */
export function batchTokensAt(law: ScalingLaw, compute: number, sequenceLength: number): number {
  const wanted = ownBatchAt(law, compute) ?? powerAt(batchLaw, compute);
  return Math.max(1, Math.round(wanted / sequenceLength)) * sequenceLength;
}

function criticalBatchOf(
  law: ScalingLaw,
  { leastCompute, loss }: PlannedTraining,
  batchTokens: number,
): Recipe["criticalBatch"] {
  const predicted = loss ?? (law.frontier && frontierAt(law.frontier, leastCompute));
  if (predicted === null) return null;
  const { critical } = law.batch;
  const tokens = criticalBatchAt(critical ?? kaplanCriticalBatch, predicted);
  return {
    tokens,
    isMeasured: critical !== null,
    source: critical ? critical.source : `${kaplanCriticalBatch.source}; this law has none of its own`,
    computeOverLeast: 1 + batchTokens / tokens,
  };
}

/** @param batchTokens of an update. */
export function recipeFor(
  config: ModelConfig,
  law: ScalingLaw,
  run: PlannedTraining,
  { batchTokens, isBatchGiven }: { batchTokens: number; isBatchGiven: boolean },
): Recipe {
  const { compute, tokens } = run;
  const criticalBatch = criticalBatchOf(law, run, batchTokens);
  // a critical batch of its own comes from noise scales: it is B_noise
  const isMeasured = criticalBatch?.isMeasured === true;
  const batchToNoiseRatio = isMeasured ? batchTokens / criticalBatch.tokens : reportedBatchToNoise;
  const batchSource = isBatchGiven
    ? "batch: as given"
    : law.batch.tokens
      ? "batch: as the law's own runs had it, by the power of the compute through theirs"
      : "batch: DeepSeek LLM, arXiv 2401.02954, eq. 1 (dense models up to 2e19 FLOPs: search around it)";
  return {
    learningRate: powerAt(learningRateLaw, compute),
    batchTokens,
    steps: Math.max(1, Math.round(tokens / batchTokens)),
    expertLearningRateRatio: expertLearningRateRatio(config.numExperts, config.topK, batchToNoiseRatio),
    batchToNoiseRatio,
    schedule: {
      warmupTokens: warmupShare * tokens,
      decayTokens: (1 - warmupShare - annealingShare) * tokens,
      annealingTokens: annealingShare * tokens,
      finalShare,
    },
    criticalBatch,
    sources: [
      "learning rate: DeepSeek LLM, arXiv 2401.02954, eq. 1 (dense models up to 2e19 FLOPs: search around it)",
      batchSource,
      `expert rate: arXiv 2411.02265, eq. 1, at B / B_noise = ${batchToNoiseRatio.toPrecision(2)}, ${isMeasured ? "by the noise scales of the law's own runs" : "as the report's own ratio implies"}`,
      "annealing: arXiv 2411.02265, section 2.3.2; warm-up and decay are Rookery's",
    ],
  };
}
