/** Learning rate, batch and schedule by stated rules, each with its source. */
import type { ModelConfig } from "../model/config.ts";
import { expertLearningRateRatio } from "../train/schedule.ts";
import { criticalBatchAt, kaplanCriticalBatch } from "./batch.ts";
import { type PowerLaw, powerAt } from "./laws.ts";

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
  /** B_crit at the predicted loss, and what C would be at this batch for the loss of C_min; null without a predicted loss. */
  criticalBatch: { tokens: number; computeAtBatch: number; source: string } | null;
  sources: string[];
};

export function recipeFor(
  config: ModelConfig,
  run: { compute: number; tokens: number; loss: number | null; batchTokens?: number | undefined },
): Recipe {
  const batchTokens = run.batchTokens ?? powerAt(batchLaw, run.compute);
  const critical = run.loss === null ? null : criticalBatchAt(kaplanCriticalBatch, run.loss);
  return {
    learningRate: powerAt(learningRateLaw, run.compute),
    batchTokens,
    steps: Math.max(1, Math.round(run.tokens / batchTokens)),
    expertLearningRateRatio: expertLearningRateRatio(config.numExperts, config.topK, reportedBatchToNoise),
    batchToNoiseRatio: reportedBatchToNoise,
    schedule: {
      warmupTokens: warmupShare * run.tokens,
      decayTokens: (1 - warmupShare - annealingShare) * run.tokens,
      annealingTokens: annealingShare * run.tokens,
      finalShare,
    },
    criticalBatch:
      critical === null
        ? null
        : {
            tokens: critical,
            computeAtBatch: run.compute * (1 + batchTokens / critical),
            source: kaplanCriticalBatch.source,
          },
    sources: [
      "learning rate and batch: DeepSeek LLM, arXiv 2401.02954, eq. 1 (dense models up to 2e19 FLOPs: search around it)",
      "expert rate: arXiv 2411.02265, eq. 1, at B / B_noise = 0.26",
      "annealing: arXiv 2411.02265, section 2.3.2; warm-up and decay are Rookery's",
    ],
  };
}
