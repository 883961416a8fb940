/** Learning rates over a run: three phases, and the specialised experts' share from the batch-size law. */

export type ScheduleSettings = {
  peakLearningRate: number;
  totalSteps: number;
  /** Steps of linear warm-up. */
  warmupSteps: number;
  /** Share of the run at its end that anneals: at a tenth of the peak, on the best data (report §2.3.2: 5%). */
  annealingShare: number;
  /** The rate in the annealing phase, and the floor of the decay before it, as a share of the peak. */
  finalShare: number;
};

export type Phase = "warmup" | "decay" | "annealing";

/** First step of the annealing phase. */
export function annealingStart({ totalSteps, annealingShare }: ScheduleSettings): number {
  return totalSteps - Math.round(totalSteps * annealingShare);
}

export function phaseOf(step: number, settings: ScheduleSettings): Phase {
  if (step <= settings.warmupSteps) return "warmup";
  return step > annealingStart(settings) ? "annealing" : "decay";
}

/**
 * The learning rate of update `step`, counted from 1: up linearly over the warm-up, then a cosine down to the final share
 * at the start of the annealing phase, which stays there (report §2.3.2 names the phases, not the shape of the decay).
 */
export function learningRate(step: number, settings: ScheduleSettings): number {
  const { peakLearningRate: peak, warmupSteps, finalShare } = settings;
  switch (phaseOf(step, settings)) {
    case "warmup":
      return (peak * step) / warmupSteps;
    case "annealing":
      return peak * finalShare;
    case "decay": {
      const span = annealingStart(settings) - warmupSteps;
      const progress = span > 0 ? (step - warmupSteps) / span : 1;
      return peak * (finalShare + (1 - finalShare) * 0.5 * (1 + Math.cos(Math.PI * progress)));
    }
  }
}

/**
 * The rate of the specialised experts as a share of the dense one: an expert sees a batch n times smaller, n = experts / topK.
 * From ε(B) = 2 ε_max / (√(B_noise/B) + √(B/B_noise)) (report eq. 1, Li et al. 2405.14578) the ratio ε(B/n) / ε(B) is
 * √n (1 + x) / (n + x) with x = B / B_noise. The report prints the ratio the other way up (0.31 as ε(B) / ε(B/n)) but
 * scales the experts down by it; this is the reading that agrees with what it did: n = 16, x = 0.26 gives 0.31.
 */
export function expertLearningRateRatio(numExperts: number, topK: number, batchToNoiseRatio: number): number {
  if (numExperts === 0) return 1;
  const n = numExperts / topK;
  return (Math.sqrt(n) * (1 + batchToNoiseRatio)) / (n + batchToNoiseRatio);
}
