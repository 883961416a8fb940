/** A scaling fit as a page that stands alone; all that its plots show is in the fit, which lies in the page as JSON, too. */
import { planCurves } from "../scaling/plan-curves.ts";
import type { CheckedFit } from "../scaling/predict.ts";
import { countText, flopsText, intervalText } from "./figures.ts";
import { computeLabel, fittedCurves, isoFlopPlot, powerLawPlot } from "./law-plots.ts";
import { htmlPage, notes, paragraph, plots, table } from "./page.ts";

export function fitPage(fit: CheckedFit, rookeryVersion: string): string {
  const { law, budgets, intervals, leftOut, warnings, secondOpinion, predictions } = fit;
  const isoFlop = fittedCurves(budgets);
  const measured = budgets.flatMap(({ points }) => points.map(({ parameters, loss }) => ({ x: parameters, y: loss })));
  const curves = planCurves(law, { compute: law.computeRange[1], leastCompute: law.computeRange[1] });
  const minima = (what: "parameters" | "tokens") => [
    { name: "minima", points: law.minima.map((one) => ({ x: one.compute, y: one[what] })) },
  ];
  const powerLaw = (title: string, yLabel: string, what: "parameters" | "tokens") =>
    powerLawPlot(title, yLabel, curves[what], minima(what), computeLabel(law));
  const exponent = (value: number) => value.toFixed(4);
  const power = ({ coefficient, exponent: of }: { coefficient: number; exponent: number }) =>
    `${coefficient.toPrecision(3)} · C^${exponent(of)}`;
  return htmlPage(
    "Scaling fit",
    [
      paragraph(`Rookery ${rookeryVersion}, from ${law.source}.`),
      notes(warnings),
      table(
        ["law", "fit", "exponent, 95%", "second opinion"],
        [
          [
            "N(C)",
            power(law.parameters),
            intervalText(intervals.parametersExponent, exponent),
            secondOpinion ? exponent(secondOpinion.parametersExponent) : "",
          ],
          [
            "D(C)",
            power(law.tokens),
            intervalText(intervals.tokensExponent, exponent),
            secondOpinion ? exponent(secondOpinion.tokensExponent) : "",
          ],
          ...(law.frontier
            ? [
                [
                  "L(C)",
                  `${law.frontier.floor.toFixed(3)} + ${law.frontier.coefficient.toPrecision(3)} · C^-${exponent(law.frontier.exponent)}`,
                  intervalText(intervals.frontierExponent, exponent),
                  "",
                ],
              ]
            : []),
          [
            "C(N, D)",
            `${law.compute.perParameterToken.toFixed(3)} N D + ${law.compute.perToken.toPrecision(3)} D`,
            "",
            "",
          ],
        ],
      ),
      plots([
        isoFlopPlot("Loss by size, a curve a budget", isoFlop, [{ name: "runs", points: measured }]),
        powerLaw("Best size for the compute", "activated parameters", "parameters"),
        powerLaw("Best number of tokens for the compute", "tokens", "tokens"),
      ]),
      "<h2>Budgets</h2>",
      table(
        ["FLOPs", "C_min", "runs", "best N", "95%", "best D", "loss", "95%"],
        budgets.map(({ budget, minimum, points, intervals: of }) => [
          flopsText(budget),
          flopsText(minimum.compute),
          String(points.length),
          countText(minimum.parameters),
          intervalText(of.parameters),
          countText(minimum.tokens),
          minimum.loss.toFixed(4),
          intervalText(of.loss, (value) => value.toFixed(4)),
        ]),
      ),
      ...(predictions.length > 0
        ? [
            "<h2>Budgets that the fit has not seen</h2>",
            table(
              ["FLOPs", "beyond the data", "best N", "best D", "loss", "95%", "measured", "off by"],
              predictions.map(({ compute, extrapolation, parameters, tokens, loss, measured: found }) => [
                flopsText(compute),
                extrapolation.direction === "inside" ? "" : `${extrapolation.factor.toFixed(1)}×`,
                countText(parameters.value),
                countText(tokens.value),
                loss.value.toFixed(4),
                loss.interval ? intervalText(loss.interval, (value) => value.toFixed(4)) : "",
                found ? `${found.loss.toFixed(4)} (${found.runs} runs)` : "",
                found ? found.error.toFixed(4) : "",
              ]),
            ),
          ]
        : []),
      "<h2>Each budget as the others foretell it</h2>",
      table(
        ["FLOPs", "extrapolated", "N off by", "D off by", "loss off by"],
        leftOut.map((one) => [
          flopsText(one.budget),
          one.isExtrapolated ? "yes" : "no",
          ...[one.logParametersError, one.logTokensError].map((error) => `${(100 * Math.expm1(error)).toFixed(1)}%`),
          one.lossError.toFixed(4),
        ]),
      ),
    ],
    { format: "rookery-scale-fit/1", rookeryVersion, ...fit, curves: { ...curves, isoFlop } },
  );
}
