/** The numbers behind a plan's plots. */
import { estimateOptimum } from "./bands.ts";
import type { Minimum, ScalingLaw } from "./laws.ts";
import { logSpaced } from "./numeric.ts";
import { lossAtCompute } from "./sensitivity.ts";
import { bestParameters } from "./synthetic.ts";

export type BandPoint = { compute: number; value: number; low: number | null; high: number | null };

export type IsoFlopCurve = {
  compute: number;
  points: { activatedParameters: number; loss: number }[];
  best: { activatedParameters: number; loss: number };
};

export type PlanCurves = {
  parameters: BandPoint[];
  tokens: BandPoint[];
  /** The loss by size at several computes, the planned one last; empty where the law has no loss of N and D. */
  isoFlop: IsoFlopCurve[];
  minima: readonly Minimum[];
};

const bandPoints = 25;
const curvesBelow = 5;

/** @param compute FLOPs that are paid for, which a curve by size is of; power laws reach to `leastCompute`, where the law is asked. */
export function planCurves(
  law: ScalingLaw,
  { compute, leastCompute }: { compute: number; leastCompute: number },
): PlanCurves {
  const [least, most] = [Math.min(law.computeRange[0], leastCompute), Math.max(law.computeRange[1], leastCompute)];
  const band = (what: "parameters" | "tokens") =>
    logSpaced(least / 2, most * 2, bandPoints).map((at): BandPoint => {
      const { value, interval } = estimateOptimum(law, what, at);
      return { compute: at, value, low: interval?.[0] ?? null, high: interval?.[1] ?? null };
    });
  const budgets = leastCompute > least ? logSpaced(law.computeRange[0], law.computeRange[1], curvesBelow) : [];
  const { loss } = law;
  const isoFlop = loss
    ? [...budgets, compute].map((budget): IsoFlopCurve => {
        const lossOf = (parameters: number) => lossAtCompute(loss, law.compute, budget, parameters);
        const best = bestParameters(loss, law.compute, budget);
        const points = logSpaced(best / 6, best * 6, 31).map((activatedParameters) => {
          return { activatedParameters, loss: lossOf(activatedParameters) };
        });
        return { compute: budget, points, best: { activatedParameters: best, loss: lossOf(best) } };
      })
    : [];
  return { parameters: band("parameters"), tokens: band("tokens"), isoFlop, minima: law.minima };
}
