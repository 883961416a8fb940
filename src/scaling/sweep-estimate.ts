/** What a sweep will take, before it begins. */
import { availableParallelism } from "node:os";
import type { SweepOptions } from "./sweep-options.ts";
import type { SweepPoint } from "./sweep-plan.ts";
import { measureSpeeds, type Speed, secondsFor } from "./sweep-speed.ts";

export type SweepEstimate = {
  budgets: {
    budget: number;
    batchTokens: number;
    /** By rule; a search may still change it. */
    learningRate: number;
    models: Pick<SweepPoint, "activatedParameters" | "totalParameters" | "tokens" | "steps">[];
  }[];
  runs: number;
  searchRuns: number;
  compute: number;
  /** Runs at once. */
  parallel: number;
  speeds: Speed[];
  /** Of the whole sweep, measuring included. */
  seconds: number;
};

/** Held-out text (a third of a training step a token) and the noise scale, as tokens of training. */
const measuringTokens = 2 ** 18 / 3 + 2 * 64 * 512;
/** What a run takes before its first step and after its last. */
const overheadSeconds = 2;

export async function estimateSweep(
  options: SweepOptions,
  points: readonly SweepPoint[],
  searched: readonly SweepPoint[],
  signal: AbortSignal | undefined,
): Promise<SweepEstimate> {
  const { threads, sequenceLength, recipe, seeds } = options;
  const all = [...searched, ...points];
  const parallel = options.parallel ?? Math.max(1, Math.floor(availableParallelism() / threads));
  const speeds = await measureSpeeds(
    all,
    { sequenceLength, threads, computeType: recipe.computeType ?? "bf16" },
    signal,
  );
  const seconds = all.reduce((sum, { compute, flopsPerToken, activatedParameters }) => {
    return sum + overheadSeconds + secondsFor(compute + measuringTokens * flopsPerToken, activatedParameters, speeds);
  }, 0);
  const first = points.filter(({ seed }) => seed === 1);
  return {
    budgets: [...new Set(points.map(({ budget }) => budget))].map((budget) => {
      const models = first.filter((point) => point.budget === budget);
      return {
        budget,
        batchTokens: models[0]!.batchTokens,
        learningRate: models[0]!.learningRate,
        models: models.map(({ activatedParameters, totalParameters, tokens, steps }) => {
          return { activatedParameters, totalParameters, tokens, steps };
        }),
      };
    }),
    runs: first.length * seeds,
    searchRuns: searched.length,
    compute: all.reduce((sum, { compute }) => sum + compute, 0),
    parallel,
    speeds,
    seconds: seconds / Math.min(parallel, all.length),
  };
}
