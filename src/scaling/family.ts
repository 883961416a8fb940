/** A family of models: the proportions of one, at any size. Heads' width, experts, sparsity, sharing and vocabulary stay. */
import { RookeryError } from "../base/errors.ts";
import { account } from "../model/accounting.ts";
import type { ModelConfig } from "../model/config.ts";
import { countFlops } from "../model/flops.ts";
import { activatedElements, describeParameters } from "../model/parameters.ts";
import type { ComputeLaw } from "./laws.ts";
import { leastSquares } from "./numeric.ts";

/**
 * How far N may be off, the steps that the width of an expert takes, the factor by which all proportions may be off, and how much
 * each halving that KV heads do not allow counts, in logarithms of proportions: by heads a model is split over a node's devices.
 */
export type FamilySteps = { tolerance: number; widthStep: number; mostDistortion: number; unsplitWeight: number };
/** Proportions that are off by more than that in all are another family's. */
const usualSteps: FamilySteps = { tolerance: 0.01, widthStep: 64, mostDistortion: 4, unsplitWeight: 0.1 };
/** A sweep needs N as counted, not as wished, and small models come in large steps. */
export const sweepSteps: FamilySteps = { tolerance: 0.1, widthStep: 16, mostDistortion: 12, unsplitWeight: 0 };
/** Within this the preset is the model as it stands: by so much N differs with how the head is counted (report: 52B, we: 51.3B). */
const presetTolerance = 0.015;
const mostLayers = 1024;
const mostWidth = 16_384;

/** The KV heads that divide `heads` in about the proportion of the family. */
function keyValueHeadsFor(heads: number, family: ModelConfig): number {
  const wanted = (heads * family.numKeyValueHeads) / family.numAttentionHeads;
  const divisors = Array.from({ length: heads }, (_, i) => i + 1).filter((count) => heads % count === 0);
  const distance = (count: number) => Math.abs(Math.log(count / wanted));
  return divisors.reduce((best, count) => (distance(count) < distance(best) ? count : best));
}

/** How many of the three halvings, over eight devices, heads do not allow. */
function missingHalvings(heads: number): number {
  return [2, 4, 8].filter((devices) => heads % devices !== 0).length;
}

/** Activated parameters without the specialised width's part, and that part for each unit of expert width. */
function activatedBy(config: ModelConfig): (intermediateSize: number) => number {
  const count = (width: number) =>
    describeParameters({ ...config, intermediateSize: width, numHiddenLayers: 2 * config.claShareFactor }).reduce(
      (sum, parameter) => {
        const isLayer = parameter.layer !== undefined;
        const layers = config.numHiddenLayers / (2 * config.claShareFactor);
        return sum + activatedElements(config, parameter) * (isLayer ? layers : 1);
      },
      0,
    );
  const [one, two] = [count(1), count(2)];
  return (width) => one + (width - 1) * (two - one);
}

/** The shapes of that many heads, the fewest layers first: all but the width of the experts. Empty past the widest. */
function shapesWith(heads: number, family: ModelConfig): ModelConfig[] {
  const { claShareFactor } = family;
  const hiddenSize = Math.round((heads * family.hiddenSize) / family.numAttentionHeads);
  if (hiddenSize > mostWidth) return [];
  const numKeyValueHeads = keyValueHeadsFor(heads, family);
  const layersWanted = (hiddenSize * family.numHiddenLayers) / family.hiddenSize;
  const least = Math.max(1, Math.floor(layersWanted / 1.3 / claShareFactor)) * claShareFactor;
  const most = Math.min(mostLayers, Math.max(least, layersWanted * 1.3));
  return Array.from({ length: Math.floor((most - least) / claShareFactor) + 1 }, (_, index) => {
    const numHiddenLayers = least + index * claShareFactor;
    return { ...family, hiddenSize, numAttentionHeads: heads, numKeyValueHeads, numHiddenLayers };
  });
}

/** How far a member's proportions are from the family's, in logarithms: width to depth, experts to width, sharing of KV heads. */
function distortionOf(member: ModelConfig, family: ModelConfig): number {
  const proportions = (config: ModelConfig) => [
    config.hiddenSize / config.numHiddenLayers,
    config.intermediateSize / config.hiddenSize,
    config.numKeyValueHeads / config.numAttentionHeads,
  ];
  const wanted = proportions(family);
  return proportions(member).reduce((sum, value, index) => sum + Math.abs(Math.log(value / wanted[index]!)), 0);
}

/**
 * The member of the family with about that many activated parameters: whole CLA groups of layers, whole heads, and the proportions
 * of width to depth and of experts to width as near to the family's as they come.
 * @throws RookeryError INVALID_OPTION where no such model is within the tolerance.
 */
export function familyMember(
  family: ModelConfig,
  activatedParameters: number,
  { tolerance, widthStep, mostDistortion, unsplitWeight } = usualSteps,
): ModelConfig {
  const own = account(family).parameters.activated;
  if (Math.abs(activatedParameters / own - 1) < presetTolerance) return family;
  let best: { config: ModelConfig; distance: number } | undefined;
  let isTooLarge = false;
  let smallest = Number.POSITIVE_INFINITY;
  for (let heads = 1; heads <= 1024 && !isTooLarge; heads++) {
    for (const [index, shape] of shapesWith(heads, family).entries()) {
      const activated = activatedBy(shape);
      smallest = Math.min(smallest, activated(widthStep));
      // more layers, and more heads, only make it larger
      if (activated(widthStep) > (1 + tolerance) * activatedParameters) {
        isTooLarge = index === 0;
        break;
      }
      const exact = 1 + (activatedParameters - activated(1)) / (activated(2) - activated(1));
      const intermediateSize = Math.max(widthStep, Math.round(exact / widthStep) * widthStep);
      const error = Math.abs(activated(intermediateSize) / activatedParameters - 1);
      const config = { ...shape, intermediateSize };
      const distortion = distortionOf(config, family);
      if (error > tolerance || distortion > Math.log(mostDistortion)) continue;
      const distance = distortion + 10 * error + unsplitWeight * missingHalvings(shape.numKeyValueHeads);
      if (!best || distance < best.distance) best = { config, distance };
    }
  }
  if (best) return best.config;
  throw new RookeryError(
    "INVALID_OPTION",
    `no model of this family has about ${activatedParameters.toExponential(2)} activated parameters`,
    activatedParameters < smallest
      ? `its smallest has ${Math.round(smallest)}: take more, or another --family (a smaller vocabulary makes smaller models)`
      : isTooLarge
        ? "take a size nearby, or another --family"
        : `that is more than its proportions make of a width of ${mostWidth}: take less`,
  );
}

/** The member that a plan names: in fine steps, or in a sweep's coarse ones where models are too small for those. @throws as familyMember */
export function planMember(family: ModelConfig, activatedParameters: number): ModelConfig {
  try {
    return familyMember(family, activatedParameters);
  } catch (error) {
    if (!(error instanceof RookeryError)) throw error;
    return familyMember(family, activatedParameters, sweepSteps);
  }
}

/**
 * C = a N D + b D as counting the family says: exact training FLOPs a token of its members, regressed on N in relative errors,
 * and the largest of those errors. What the report calls its own constants is a fit of this kind, or must be (report-facts).
 */
export function countComputeLaw(
  family: ModelConfig,
  sequenceLength: number,
  sizes: readonly number[],
): ComputeLaw & { worstError: number } {
  const members = sizes.map((size) => familyMember(family, size));
  const flops = members.map((config) => countFlops(config, { sequenceLength }).training);
  const rows = members.map((config) => [account(config).parameters.activated, 1]);
  const weights = flops.map((value) => 1 / value ** 2);
  const [a = 6, b = 0] = leastSquares(rows, flops, weights) ?? [];
  const worstError = Math.max(...flops.map((value, i) => Math.abs((a * rows[i]![0]! + b) / value - 1)));
  return { perParameterToken: a, perToken: b, worstError };
}
