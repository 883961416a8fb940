/**
 * What to train, before anyone pays for it: scaling laws, their fit, and plans.
 *
 * @example The best model for a budget by the report's law
 * import { plan } from "rookery/scaling";
 * const { optimal, hardware } = plan({ compute: 3.1e24 });
 */
export { simpleNoiseScale } from "./batch.ts";
export { countComputeLaw, familyMember } from "./family.ts";
export { type FitSettings, fitScalingLaw, type ScalingFit } from "./fit.ts";
export { resolveLaw } from "./law-file.ts";
export { laws, type ScalingLaw } from "./laws.ts";
export { measureNoise, type NoiseMeasurement, type NoiseOptions } from "./noise.ts";
export { type Plan, plan } from "./plan.ts";
export { type PlanOptions, type PlanOptionsInput, planOptionsSchema } from "./plan-options.ts";
export { type Prediction, predict } from "./predict.ts";
export { runSweep, type SweepResult } from "./sweep.ts";
export { type SweepOptions, type SweepOptionsInput, sweepOptionsSchema } from "./sweep-options.ts";
export { type SyntheticSweep, syntheticPoints } from "./synthetic.ts";
export { type Point, readPoints, type TableRow, tableColumns } from "./table.ts";
export { readTable, writeTable } from "./table-file.ts";
