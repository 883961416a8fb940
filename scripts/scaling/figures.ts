/** Draws the figures of docs/scaling from its two tables: `node scripts/scaling/figures.ts`. */
import fs from "node:fs";
import path from "node:path";
import { fittedCurves, isoFlopPlot, powerLawPlot } from "../../src/report/law-plots.ts";
import { fitScalingLaw } from "../../src/scaling/fit.ts";
import { planCurves } from "../../src/scaling/plan-curves.ts";
import { readTable } from "../../src/scaling/table-file.ts";

const folder = path.join(import.meta.dirname, "../../docs/scaling");
const points = await readTable(path.join(folder, "sweep.parquet"));
const heldOut = await readTable(path.join(folder, "held-out.parquet"));
const { law, budgets } = fitScalingLaw(points, { name: "sweep", source: "sweep.parquet", resamples: 1000, seed: 1 });

const dots = (name: string, runs: typeof points) => ({
  name,
  points: runs.map(({ parameters, loss }) => ({ x: parameters, y: loss })),
});
const marks = [dots("runs of the fit", points), dots("runs foretold", heldOut)];
fs.writeFileSync(
  path.join(folder, "curves.svg"),
  isoFlopPlot("Loss by size, a curve a budget", fittedCurves(budgets), marks),
);
const minima = law.minima.map(({ compute, parameters }) => ({ x: compute, y: parameters }));
fs.writeFileSync(
  path.join(folder, "sizes.svg"),
  powerLawPlot(
    "Best size for the compute",
    "activated parameters",
    planCurves(law, { compute: law.computeRange[1], leastCompute: law.computeRange[1] }).parameters,
    [{ name: "minima", points: minima }],
  ),
);
