/** What to train for a budget, and what it takes: from a law to a model, a recipe, devices, days, money and service. */
import { parseOptions } from "../base/config.ts";
import { account } from "../model/accounting.ts";
import { type ActivationBytes, countActivations } from "../model/activations.ts";
import { configWith, type ModelConfig } from "../model/config.ts";
import { countFlops, type FlopCount } from "../model/flops.ts";
import { type PresetName, presets } from "../model/presets.ts";
import { accelerators } from "./accelerators.ts";
import { type Estimate, type Extrapolation, estimateLoss, estimateOptimum, extrapolationOf } from "./bands.ts";
import { planMember } from "./family.ts";
import { type Hardware, planHardware, rateOf } from "./hardware.ts";
import { resolveLaw } from "./law-file.ts";
import { computeOf, laws, lossAt, type ScalingLaw } from "./laws.ts";
import { type PlanCurves, planCurves } from "./plan-curves.ts";
import { defaultLaw, type PlanOptions, type PlanOptionsInput, planOptionsSchema } from "./plan-options.ts";
import { batchTokensAt, type Recipe, recipeFor } from "./recipe.ts";
import { type Sensitivity, sensitivityOf } from "./sensitivity.ts";
import { planServing, type Serving } from "./serving.ts";
import { type Settled, settle } from "./settle.ts";

export type PlannedLaw = Omit<ScalingLaw, "uncertainty"> & { hasIntervals: boolean };

export type Plan = {
  law: PlannedLaw;
  /** N and D that the law calls best for this compute. */
  optimal: {
    activatedParameters: number;
    tokens: number;
    compute: number;
    /** C_min: where the law was asked, and where its curves are to be read. */
    leastCompute: number;
    activatedParametersInterval: Estimate["interval"];
    tokensInterval: Estimate["interval"];
    loss: Estimate | null;
    /** C(N, D) of the two as the law counts it: not C itself where N and D were fitted apart. */
    computeOfPair: number;
  };
  /** What is planned: the optimum, or what the options fix. */
  planned: Settled & { devices: number; tokensPerParameter: number; loss: number | null };
  /** What the law's authors trained in the end. */
  chosen: { activatedParameters: number; tokens: number; compute: number } | null;
  extrapolation: Extrapolation;
  sensitivity: Sensitivity | null;
  model: {
    family: PresetName;
    config: ModelConfig;
    totalParameters: number;
    activatedParameters: number;
    flopsPerToken: FlopCount;
    /** Training FLOPs of this model on those tokens by counting, and over what the law says. */
    countedCompute: number;
    countedOverLaw: number;
    activationBytesPerToken: ActivationBytes;
  };
  recipe: Recipe;
  hardware: Hardware;
  serving: Serving;
  /** The same compute by every published law. */
  comparison: { law: string; activatedParameters: number; tokens: number; extrapolation: Extrapolation }[];
  curves: PlanCurves;
  warnings: string[];
};

/**
 * A model, its recipe and its cost for a budget: of `compute`, `activatedParameters`, `tokens`, `days` with `devices`, and `money`, what
 * is given settles the rest by `law` (by default the one that `options.law` names). Compute is in FLOPs.
 * @throws RookeryError INVALID_OPTION for what cannot be planned, with what to change.
 */
export function plan(given: PlanOptionsInput, law = resolveLaw(given.law ?? defaultLaw)): Plan {
  const options = parseOptions(planOptionsSchema, given);
  const accelerator = accelerators[options.accelerator];
  const batchAt = (compute: number) => options.batchTokens ?? batchTokensAt(law, compute, options.sequenceLength);
  const settled = settle(law, options, rateOf(accelerator, options.utilization), batchAt);
  const { compute, leastCompute, activatedParameters, tokens } = settled;
  const loss = law.loss && lossAt(law.loss, activatedParameters, tokens);
  const model = planModel(law, settled, options);
  const hardware = planHardware(model.config, compute, options);
  const batch = { batchTokens: batchAt(compute), isBatchGiven: options.batchTokens !== undefined };
  const { uncertainty, ...shownLaw } = law;
  const result = {
    law: { ...shownLaw, hasIntervals: uncertainty !== null },
    optimal: optimumAt(law, compute, leastCompute),
    planned: {
      ...settled,
      devices: hardware.devices,
      tokensPerParameter: tokens / activatedParameters,
      loss,
    },
    chosen: law.chosen && {
      ...law.chosen,
      compute: computeOf(law.compute, law.chosen.activatedParameters, law.chosen.tokens),
    },
    extrapolation: extrapolationOf(law, leastCompute),
    sensitivity: sensitivityOf(law, compute, activatedParameters),
    model,
    recipe: recipeFor(model.config, law, { compute, leastCompute, tokens, loss }, batch),
    hardware,
    serving: planServing(model.config, accelerator, options.weightType),
    comparison: Object.values<ScalingLaw>(laws).map((one) => ({
      law: one.name,
      activatedParameters: estimateOptimum(one, "parameters", compute).value,
      tokens: estimateOptimum(one, "tokens", compute).value,
      extrapolation: extrapolationOf(one, compute),
    })),
    curves: planCurves(law, { compute, leastCompute }),
  };
  return { ...result, warnings: warningsOf(result, options) };
}

/** What the law calls best for that compute. */
function optimumAt(law: ScalingLaw, compute: number, leastCompute: number): Plan["optimal"] {
  const parameters = estimateOptimum(law, "parameters", leastCompute);
  const tokens = estimateOptimum(law, "tokens", leastCompute);
  return {
    activatedParameters: parameters.value,
    tokens: tokens.value,
    compute,
    leastCompute,
    activatedParametersInterval: parameters.interval,
    tokensInterval: tokens.interval,
    loss: estimateLoss(law, leastCompute),
    computeOfPair: computeOf(law.compute, parameters.value, tokens.value),
  };
}

/** The member of the family that has that size, and what training it takes by counting. */
function planModel(
  law: ScalingLaw,
  { activatedParameters, tokens }: Settled,
  { family, model: differences, sequenceLength }: PlanOptions,
): Plan["model"] {
  const config = planMember(configWith(presets[family], differences), activatedParameters);
  const { parameters } = account(config);
  const flopsPerToken = countFlops(config, { sequenceLength });
  const countedCompute = flopsPerToken.training * tokens;
  return {
    family,
    config,
    totalParameters: parameters.total,
    activatedParameters: parameters.activated,
    flopsPerToken,
    countedCompute,
    countedOverLaw: countedCompute / computeOf(law.compute, activatedParameters, tokens),
    activationBytesPerToken: countActivations(config, 2),
  };
}

/** What a reader must not overlook, a line each. */
function warningsOf(result: Omit<Plan, "warnings">, options: PlanOptions): string[] {
  return [...lawWarnings(result, options), ...trainingWarnings(result, options)];
}

function lawWarnings({ optimal, extrapolation, model }: Omit<Plan, "warnings">, options: PlanOptions): string[] {
  const { factor, direction, decades } = extrapolation;
  const off = optimal.computeOfPair / optimal.compute;
  return [
    ...(direction === "inside"
      ? []
      : [
          `extrapolated: ${Number(factor.toPrecision(2))} times (${decades.toFixed(1)} decades) ${direction} what the law was fitted to${optimal.activatedParametersInterval ? "; the band is widened for it" : ", and it has no intervals"}`,
        ]),
    ...(Math.abs(off - 1) > 0.02
      ? [`the law's N and D were fitted apart: together they take ${off.toFixed(2)} times this compute`]
      : []),
    ...(Math.abs(model.countedOverLaw - 1) > 0.1
      ? [
          `counted at ${options.sequenceLength} tokens a row, this model takes ${model.countedOverLaw.toFixed(2)} times the law's C(N, D): days and cost follow the law`,
        ]
      : []),
  ];
}

function trainingWarnings({ hardware, recipe }: Omit<Plan, "warnings">, options: PlanOptions): string[] {
  const { layout, devices, title } = hardware;
  const { batchTokens, criticalBatch } = recipe;
  const rows = Math.floor(batchTokens / options.sequenceLength);
  const { dataParallel, pipelineParallel } = layout;
  const constants = criticalBatch?.isMeasured ? "the law's own noise scales" : "Kaplan's constants";
  return [
    ...(layout.isFeasible
      ? []
      : [
          hardware.fewestDevices === null
            ? `no split fits ${title} with rows of ${options.sequenceLength} tokens: lower --sequence-length, or take another --accelerator`
            : `the model does not fit ${devices} ${title}: it takes at least ${hardware.fewestDevices}`,
        ]),
    ...(layout.devices < devices
      ? [`the layout uses ${layout.devices} of ${devices} devices: days and cost are those of all, each at work`]
      : []),
    ...(rows < dataParallel * pipelineParallel
      ? [
          `a batch of ${batchTokens} tokens is ${rows} rows of ${options.sequenceLength} for ${dataParallel} data-parallel ranks${pipelineParallel > 1 ? ` of ${pipelineParallel} stages` : ""}: raise --batch-tokens, lower --sequence-length, or take fewer --devices`,
        ]
      : []),
    ...(criticalBatch && batchTokens > 1.05 * criticalBatch.tokens
      ? [
          `the batch is ${(batchTokens / criticalBatch.tokens).toFixed(1)} times the critical one by ${constants}: it saves time, not compute`,
        ]
      : []),
  ];
}
