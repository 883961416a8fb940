/** The plots that a plan and a fit share: power laws with their bands, and the loss by size at several budgets. */
import type { ScalingFit } from "../scaling/fit.ts";
import { quadraticAt } from "../scaling/isoflop.ts";
import { logSpaced } from "../scaling/numeric.ts";
import type { BandPoint, IsoFlopCurve } from "../scaling/plan-curves.ts";
import { flopsText } from "./figures.ts";
import { type PlotPoint, plotSvg, type Series } from "./plot.ts";

export type Mark = { name: string; points: PlotPoint[] };

export function powerLawPlot(
  title: string,
  yLabel: string,
  curve: readonly BandPoint[],
  marks: readonly Mark[],
  xLabel = "training FLOPs",
): string {
  const band = curve.flatMap(({ compute, low, high }) =>
    low === null || high === null ? [] : [{ x: compute, y: low, high }],
  );
  const series: Series[] = [
    ...(band.length > 0 ? [{ name: "95% band", kind: "band" as const, points: band }] : []),
    { name: "power law", kind: "curve", points: curve.map(({ compute, value }) => ({ x: compute, y: value })) },
    ...marks.filter(({ points }) => points.length > 0).map((mark) => ({ ...mark, kind: "dots" as const })),
  ];
  return plotSvg({ title, xLabel, yLabel, series });
}

/** Curves, and the dots that were measured, a color a budget. */
export function isoFlopPlot(
  title: string,
  curves: readonly IsoFlopCurve[],
  dots: readonly Mark[] = [],
  marks: readonly Mark[] = [],
): string {
  if (curves.length === 0) return "";
  const lines = curves.map(({ compute, points }): Series => {
    return {
      name: `${flopsText(compute)} FLOPs`,
      kind: "curve",
      points: points.map(({ activatedParameters, loss }) => ({ x: activatedParameters, y: loss })),
    };
  });
  const best: Mark = {
    name: "best size",
    points: curves.map((curve) => ({ x: curve.best.activatedParameters, y: curve.best.loss })),
  };
  const series = [...lines, ...[...dots, best, ...marks].map((mark): Series => ({ ...mark, kind: "dots" }))];
  return plotSvg({ title, xLabel: "activated parameters", yLabel: "loss, nats a token", yScale: "linear", series });
}

/** What the power laws of a law are of. */
export function computeLabel({ batch }: Pick<ScalingFit["law"], "batch">): string {
  return batch.tokens && batch.critical ? "training FLOPs, as C_min" : "training FLOPs";
}

/** The fitted curve of each budget, from its smallest model to its largest. */
export function fittedCurves(budgets: ScalingFit["budgets"]): IsoFlopCurve[] {
  return budgets.map(({ budget, minimum, points, quadratic }) => ({
    compute: budget,
    points: logSpaced(points[0]!.parameters, points.at(-1)!.parameters, 31).map((activatedParameters) => {
      return { activatedParameters, loss: quadraticAt(quadratic, activatedParameters) };
    }),
    best: { activatedParameters: minimum.parameters, loss: minimum.loss },
  }));
}
