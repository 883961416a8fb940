/** What to train for a budget, and what it takes: from a law to a model, a recipe, devices, days, money and service. */
import { z } from "zod";
import { parseOptions } from "../base/config.ts";
import { account } from "../model/accounting.ts";
import { type ActivationBytes, countActivations } from "../model/activations.ts";
import { configWith, type ModelConfig, modelConfigSchema } from "../model/config.ts";
import { countFlops, type FlopCount } from "../model/flops.ts";
import { type PresetName, presets } from "../model/presets.ts";
import { type AcceleratorName, acceleratorNames, accelerators } from "./accelerators.ts";
import { type Estimate, type Extrapolation, estimateLoss, estimateOptimum, extrapolationOf } from "./bands.ts";
import { planMember } from "./family.ts";
import { resolveLaw } from "./law-file.ts";
import { computeOf, lawNames, laws, lossAt, type ScalingLaw } from "./laws.ts";
import { chooseLayout, fewestDevices, type Layout } from "./layout.ts";
import { type PlanCurves, planCurves } from "./plan-curves.ts";
import { type Recipe, recipeFor } from "./recipe.ts";
import { type Sensitivity, sensitivityOf } from "./sensitivity.ts";
import { planServing, type Serving, servingTypes } from "./serving.ts";
import { rateOf, type Settled, settle } from "./settle.ts";

const quantity = (description: string, valueName: string) =>
  z.number().positive().optional().describe(description).meta({ valueName });

const defaultLaw = "hunyuan-large";

export const planOptionsSchema = z.strictObject({
  compute: quantity("training FLOPs, as 3.1e24", "FLOPS"),
  activatedParameters: quantity("parameters that a token meets", "COUNT"),
  tokens: quantity("tokens to train on", "COUNT"),
  days: quantity("days that training may take", "DAYS"),
  money: quantity("what training may cost, in the currency of --price-per-hour", "AMOUNT"),
  law: z
    .string()
    .min(1)
    .default(defaultLaw)
    .describe(`a published law (${lawNames.join(", ")}), or what \`rookery scale fit --json\` wrote`)
    .meta({ valueName: "LAW", examples: [...lawNames] }),
  family: z
    .enum(Object.keys(presets) as [PresetName, ...PresetName[]])
    .default("hunyuan-large")
    .describe("the preset whose proportions, sparsity and vocabulary the model takes"),
  model: modelConfigSchema
    .partial()
    .prefault({})
    .describe("what differs from the preset, as in the sweep: --set model.KEY=VALUE"),
  accelerator: z.enum(acceleratorNames).default("h100-sxm").describe("the device to train and to serve on"),
  devices: z
    .int()
    .min(1)
    .max(2 ** 20)
    .optional()
    .describe("how many; by default what --days asks for, or whole copies of the model for at most 90 days")
    .meta({ valueName: "COUNT" }),
  utilization: z
    .number()
    .positive()
    .max(1)
    .default(0.4)
    .describe("share of a device's bf16 peak that training reaches"),
  pricePerHour: z.number().positive().optional().describe("price of a device for an hour").meta({ valueName: "PRICE" }),
  sequenceLength: z
    .int()
    .min(8)
    .max(2 ** 24)
    .default(8192)
    .describe("tokens a row in training")
    .meta({ valueName: "TOKENS" }),
  batchTokens: z
    .int()
    .min(8)
    .optional()
    .describe("tokens an update; by default from a published rule")
    .meta({ valueName: "TOKENS" }),
  weightType: z.enum(servingTypes).default("bf16").describe("type of the weights when serving"),
});

export type PlanOptionsInput = z.input<typeof planOptionsSchema>;
export type PlanOptions = z.output<typeof planOptionsSchema>;

export type PlannedLaw = Omit<ScalingLaw, "uncertainty"> & { hasIntervals: boolean };

export type Plan = {
  law: PlannedLaw;
  /** N and D that the law calls best for this compute. */
  optimal: {
    activatedParameters: number;
    tokens: number;
    compute: number;
    activatedParametersInterval: Estimate["interval"];
    tokensInterval: Estimate["interval"];
    loss: Estimate | null;
    /** C(N, D) of the two as the law counts it: not C itself where N and D were fitted apart. */
    computeOfPair: number;
  };
  /** What is planned: the optimum, or what the options fix. */
  planned: Settled & { tokensPerParameter: number; loss: number | null };
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
  hardware: {
    accelerator: AcceleratorName;
    title: string;
    source: string;
    devices: number;
    utilization: number;
    days: number;
    deviceHours: number;
    cost: number | null;
    layout: Layout;
    fewestDevices: number | null;
  };
  serving: Serving;
  /** The same compute by every published law. */
  comparison: { law: string; activatedParameters: number; tokens: number; extrapolation: Extrapolation }[];
  curves: PlanCurves;
  warnings: string[];
};

const defaultDays = 90;

/**
 * A model, its recipe and its cost for a budget: of `compute`, `activatedParameters`, `tokens`, `days` with `devices`, and `money`, what
 * is given settles the rest by `law` (by default the one that `options.law` names). Compute is in FLOPs.
 * @throws RookeryError INVALID_OPTION for what cannot be planned, with what to change.
 */
export function plan(given: PlanOptionsInput, law = resolveLaw(given.law ?? defaultLaw)): Plan {
  const options = parseOptions(planOptionsSchema, given);
  const accelerator = accelerators[options.accelerator];
  const planned = settle(law, options, accelerator, options.utilization);
  const { compute, activatedParameters, tokens } = planned;
  const best = {
    parameters: estimateOptimum(law, "parameters", compute),
    tokens: estimateOptimum(law, "tokens", compute),
  };
  const extrapolation = extrapolationOf(law, compute);
  const loss = law.loss && lossAt(law.loss, activatedParameters, tokens);

  const config = planMember(configWith(presets[options.family], options.model), activatedParameters);
  const { parameters } = account(config);
  const flopsPerToken = countFlops(config, options);
  const countedCompute = flopsPerToken.training * tokens;
  const recipe = recipeFor(config, { ...options, compute, tokens, loss });

  const secondsOnOne = compute / rateOf(accelerator, options.utilization);
  const fewest = fewestDevices(config, accelerator, options.sequenceLength);
  const copies = Math.ceil(secondsOnOne / (defaultDays * 86_400) / (fewest?.devices ?? 1));
  const devices = planned.devices ?? Math.max(1, copies) * (fewest?.devices ?? 1);
  const layout = chooseLayout(config, accelerator, devices, options.sequenceLength);
  const deviceHours = secondsOnOne / 3600;
  const hardware = {
    accelerator: options.accelerator,
    title: accelerator.title,
    source: accelerator.source,
    devices,
    utilization: options.utilization,
    days: deviceHours / 24 / devices,
    deviceHours,
    cost: options.pricePerHour === undefined ? null : deviceHours * options.pricePerHour,
    layout,
    fewestDevices: fewest?.devices ?? null,
  };
  const { uncertainty, ...shownLaw } = law;
  const sensitivity = sensitivityOf(law, compute, activatedParameters);
  const result = {
    law: { ...shownLaw, hasIntervals: uncertainty !== null },
    optimal: {
      activatedParameters: best.parameters.value,
      tokens: best.tokens.value,
      compute,
      activatedParametersInterval: best.parameters.interval,
      tokensInterval: best.tokens.interval,
      loss: estimateLoss(law, compute),
      computeOfPair: computeOf(law.compute, best.parameters.value, best.tokens.value),
    },
    planned: { ...planned, devices, tokensPerParameter: tokens / activatedParameters, loss },
    chosen: law.chosen && {
      ...law.chosen,
      compute: computeOf(law.compute, law.chosen.activatedParameters, law.chosen.tokens),
    },
    extrapolation,
    sensitivity,
    model: {
      family: options.family,
      config,
      totalParameters: parameters.total,
      activatedParameters: parameters.activated,
      flopsPerToken,
      countedCompute,
      countedOverLaw: countedCompute / computeOf(law.compute, activatedParameters, tokens),
      activationBytesPerToken: countActivations(config, 2),
    },
    recipe,
    hardware,
    serving: planServing(config, accelerator, options.weightType),
    comparison: Object.values<ScalingLaw>(laws).map((one) => ({
      law: one.name,
      activatedParameters: estimateOptimum(one, "parameters", compute).value,
      tokens: estimateOptimum(one, "tokens", compute).value,
      extrapolation: extrapolationOf(one, compute),
    })),
    curves: planCurves(law, compute),
  };
  return { ...result, warnings: warningsOf(result, options) };
}

function warningsOf(
  { optimal, extrapolation, hardware, model, recipe }: Omit<Plan, "warnings">,
  options: PlanOptions,
): string[] {
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
    ...(hardware.layout.isFeasible
      ? []
      : [
          `the model does not fit ${hardware.devices} ${hardware.title}: it takes at least ${hardware.fewestDevices ?? "more than a million"}`,
        ]),
    ...(recipe.criticalBatch && recipe.batchTokens > recipe.criticalBatch.tokens
      ? [
          `the batch is ${(recipe.batchTokens / recipe.criticalBatch.tokens).toFixed(1)} times the critical one: it saves time, not compute`,
        ]
      : []),
  ];
}
