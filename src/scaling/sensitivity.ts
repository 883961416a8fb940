/** How much a size off the optimum costs: the loss at one compute, and the compute for one loss. */
import { type ComputeLaw, computeOf, type LossLaw, lossAt, type ScalingLaw } from "./laws.ts";
import { logSpaced } from "./numeric.ts";
import { bestParameters } from "./synthetic.ts";

export type SensitivityPoint = {
  activatedParameters: number;
  /** What the compute leaves at that size. */
  tokens: number;
  loss: number;
  /** Over that of the best size. */
  lossAboveBest: number;
  /** Compute to reach the loss of the best size, over what it takes there; null where this size never does. */
  computeForBestLoss: number | null;
};

export type Sensitivity = {
  compute: number;
  best: SensitivityPoint;
  /** What the law's authors chose, at this compute. */
  chosen: SensitivityPoint | null;
  /** What is planned, at this compute. */
  planned: SensitivityPoint;
  curve: SensitivityPoint[];
};

function tokensFor({ loss }: { loss: LossLaw }, parameters: number, wanted: number): number | null {
  const rest = wanted - loss.floor - loss.parameterCoefficient / parameters ** loss.parameterExponent;
  return rest > 0 ? (loss.tokenCoefficient / rest) ** (1 / loss.tokenExponent) : null;
}

/** null where the law has no loss of N and D. */
export function sensitivityOf(law: ScalingLaw, compute: number, planned: number): Sensitivity | null {
  const { loss } = law;
  if (!loss) return null;
  const atParameters = bestParameters(loss, law.compute, compute);
  const bestLoss = lossAtCompute(loss, law.compute, compute, atParameters);
  const at = (activatedParameters: number): SensitivityPoint => {
    const tokens = compute / (law.compute.perParameterToken * activatedParameters + law.compute.perToken);
    const here = lossAt(loss, activatedParameters, tokens);
    const enough = tokensFor({ loss }, activatedParameters, bestLoss);
    const needed = enough && computeOf(law.compute, activatedParameters, enough) / compute;
    return { activatedParameters, tokens, loss: here, lossAboveBest: here - bestLoss, computeForBestLoss: needed };
  };
  return {
    compute,
    best: at(atParameters),
    chosen: law.chosen && at(law.chosen.activatedParameters),
    planned: at(planned),
    curve: logSpaced(atParameters / 4, atParameters * 4, 49).map(at),
  };
}

export function lossAtCompute(loss: LossLaw, law: ComputeLaw, compute: number, parameters: number): number {
  return lossAt(loss, parameters, compute / (law.perParameterToken * parameters + law.perToken));
}
