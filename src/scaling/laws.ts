/**
 * What a scaling law says, whoever fitted it: the published ones by name, and the form that `fit` gives ours. N is activated
 * parameters, D training tokens, C training FLOPs, losses are nats a token.
 */
import { RookeryError } from "../base/errors.ts";

/** y = coefficient · x^exponent. */
export type PowerLaw = { coefficient: number; exponent: number };

/** C = perParameterToken · N · D + perToken · D. */
export type ComputeLaw = { perParameterToken: number; perToken: number };

/** L(N, D) = floor + parameterCoefficient / N^parameterExponent + tokenCoefficient / D^tokenExponent (Hoffmann et al., 2022). */
export type LossLaw = {
  floor: number;
  parameterCoefficient: number;
  parameterExponent: number;
  tokenCoefficient: number;
  tokenExponent: number;
};

/** L(C) = floor + coefficient / C^exponent along the optimum. */
export type FrontierLaw = { floor: number; coefficient: number; exponent: number };

/** B_crit(L) = tokensAtOneNat / L^exponent (Kaplan et al., 2020, eq. 5.3). */
export type CriticalBatch = { tokensAtOneNat: number; exponent: number; source: string };

/** What a law is worth beyond its data: the laws of resampled data, and how far leaving a budget out led astray, a decade. */
export type Uncertainty = {
  parameters: readonly PowerLaw[];
  tokens: readonly PowerLaw[];
  frontier: readonly FrontierLaw[];
  errorPerDecade: { logParameters: number; logTokens: number; loss: number };
};

export type Minimum = { compute: number; parameters: number; tokens: number; loss: number };

export type ScalingLaw = {
  name: string;
  source: string;
  compute: ComputeLaw;
  /** N and D that are best for C: for C_min where `batch` has both its parts. */
  parameters: PowerLaw;
  tokens: PowerLaw;
  loss: LossLaw | null;
  frontier: FrontierLaw | null;
  /** Least and most compute that was measured. */
  computeRange: readonly [least: number, most: number];
  minima: readonly Minimum[];
  /** Of its own runs: the batch in tokens as a power of the budget, and B_crit by the loss; null where it has none. */
  batch: { tokens: PowerLaw | null; critical: CriticalBatch | null };
  /** What its authors trained in the end. */
  chosen: { activatedParameters: number; tokens: number } | null;
  uncertainty: Uncertainty | null;
  notes: readonly string[];
};

export function powerAt({ coefficient, exponent }: PowerLaw, x: number): number {
  return coefficient * x ** exponent;
}

/** The x at which the law is y. */
export function powerInverse({ coefficient, exponent }: PowerLaw, y: number): number {
  return (y / coefficient) ** (1 / exponent);
}

export function computeOf({ perParameterToken, perToken }: ComputeLaw, parameters: number, tokens: number): number {
  return (perParameterToken * parameters + perToken) * tokens;
}

export function lossAt(law: LossLaw, parameters: number, tokens: number): number {
  return (
    law.floor +
    law.parameterCoefficient / parameters ** law.parameterExponent +
    law.tokenCoefficient / tokens ** law.tokenExponent
  );
}

export function frontierAt({ floor, coefficient, exponent }: FrontierLaw, compute: number): number {
  return floor + coefficient / compute ** exponent;
}

/** What a loss law of this form makes of C = a N D: its exponents, and N and D as power laws of C. */
export function optimumOf(
  loss: LossLaw,
  { perParameterToken }: ComputeLaw,
): { parameters: PowerLaw; tokens: PowerLaw } {
  const { parameterCoefficient: a, parameterExponent: alpha, tokenCoefficient: b, tokenExponent: beta } = loss;
  const balance = ((alpha * a) / (beta * b)) ** (1 / (alpha + beta));
  const [forParameters, forTokens] = [beta / (alpha + beta), alpha / (alpha + beta)];
  return {
    parameters: { coefficient: balance * perParameterToken ** -forParameters, exponent: forParameters },
    tokens: { coefficient: perParameterToken ** -forTokens / balance, exponent: forTokens },
  };
}

/**
 * A loss law of which only two minima are known: the exponents stand in the ratio that the exponent of N_opt says, and
 * `exponentSum` is borrowed. Its optimum at each C is that of `parameters`.
 */
function lossThrough(
  parameters: PowerLaw,
  compute: ComputeLaw,
  exponentSum: number,
  low: Minimum,
  high: Minimum,
): LossLaw {
  const tokenExponent = parameters.exponent * exponentSum;
  const parameterExponent = exponentSum - tokenExponent;
  const decay = (high.compute / low.compute) ** ((tokenExponent * parameterExponent) / exponentSum);
  const floor = (decay * high.loss - low.loss) / (decay - 1);
  const n = powerAt(parameters, high.compute);
  const d = high.compute / (compute.perParameterToken * n);
  const rest = high.loss - floor;
  return {
    floor,
    parameterExponent,
    parameterCoefficient: rest * parameters.exponent * n ** parameterExponent,
    tokenExponent,
    tokenCoefficient: rest * (1 - parameters.exponent) * d ** tokenExponent,
  };
}

const sixNd: ComputeLaw = { perParameterToken: 6, perToken: 0 };
const chinchillaLoss: LossLaw = {
  floor: 1.69,
  parameterCoefficient: 406.4,
  parameterExponent: 0.34,
  tokenCoefficient: 410.7,
  tokenExponent: 0.28,
};
const replicatedLoss: LossLaw = {
  floor: 1.8172,
  parameterCoefficient: 482.01,
  parameterExponent: 0.3478,
  tokenCoefficient: 2085.43,
  tokenExponent: 0.3658,
};
const hunyuanCompute: ComputeLaw = { perParameterToken: 9.59, perToken: 2.3e8 };
const hunyuanParameters: PowerLaw = { coefficient: 5.9e-3, exponent: 0.5305 };
const hunyuanMinima: readonly [Minimum, Minimum] = [
  { compute: 5.0e18, parameters: 5e7, tokens: 7e9, loss: 2.93 },
  { compute: 9.5e19, parameters: 2.5e8, tokens: 3e10, loss: 2.36 },
];

const petaflopDay = 8.64e19;
/** A law of C in petaflop-days as one of FLOPs. */
const fromPetaflopDays = (coefficient: number, exponent: number): PowerLaw => {
  return { coefficient: coefficient / petaflopDay ** exponent, exponent };
};

const ofNobody = { tokens: null, critical: null } as const;
const bare = { frontier: null, minima: [], batch: ofNobody, chosen: null, uncertainty: null } as const;

/** The published laws. `notes` says what to keep in mind; docs/planning.md says more. */
export const laws = {
  "hunyuan-large": {
    name: "hunyuan-large",
    source: "Hunyuan-Large, arXiv 2411.02265, section 2.3.1",
    compute: hunyuanCompute,
    parameters: hunyuanParameters,
    tokens: { coefficient: 3.2, exponent: 0.5 },
    loss: lossThrough(
      hunyuanParameters,
      hunyuanCompute,
      chinchillaLoss.parameterExponent + chinchillaLoss.tokenExponent,
      ...hunyuanMinima,
    ),
    frontier: null,
    computeRange: [5.0e18, 9.5e19],
    minima: hunyuanMinima,
    batch: ofNobody,
    chosen: { activatedParameters: 52e9, tokens: 7e12 },
    uncertainty: null,
    notes: [
      "the report prints no intervals and no loss law: the loss curve goes through the two minima that can be read off its figures (2.93 and 2.36 nats), with the exponents' sum of Chinchilla's law; take its shape, not its height",
      "N and D were fitted apart: their exponents sum to 1.03, so that C(N, D) equals C only near 3.1e24",
      "C = 9.59 N D + 2.3e8 D is the report's; how the constants come about is not in it, and counting its architecture gives others",
    ],
  },
  chinchilla: {
    ...bare,
    name: "chinchilla",
    source: "Hoffmann et al., arXiv 2203.15556, approach 3",
    compute: sixNd,
    ...optimumOf(chinchillaLoss, sixNd),
    loss: chinchillaLoss,
    computeRange: [6e18, 3e21],
    chosen: { activatedParameters: 70e9, tokens: 1.4e12 },
    notes: [
      "dense models; as printed, approach 3 disagrees with the paper's other two, which give 70B and 1.4T: chinchilla-replication mends it",
    ],
  },
  "chinchilla-replication": {
    ...bare,
    name: "chinchilla-replication",
    source: "Besiroglu et al., arXiv 2404.10102",
    compute: sixNd,
    ...optimumOf(replicatedLoss, sixNd),
    loss: replicatedLoss,
    computeRange: [6e18, 3e21],
    notes: ["dense models; fitted to points read off the figures of the Chinchilla paper"],
  },
  kaplan: {
    ...bare,
    name: "kaplan",
    source: "Kaplan et al., arXiv 2001.08361, tables 5 and 6",
    compute: sixNd,
    parameters: fromPetaflopDays(1.3e9, 0.73),
    tokens: fromPetaflopDays(2e10, 0.27),
    loss: null,
    computeRange: [1e-6 * petaflopDay, 1 * petaflopDay],
    notes: [
      "dense models, N without embeddings; its tokens are those processed at the critical batch, so that 6 N D is about twice C_min",
      "known to give too large models: the learning rate schedule was not fitted to each run's length (Hoffmann et al., 2022)",
    ],
  },
} as const satisfies Record<string, ScalingLaw>;

export type LawName = keyof typeof laws;
export const lawNames = Object.keys(laws) as LawName[];

export function isLawName(name: string): name is LawName {
  return Object.hasOwn(laws, name);
}

/** @throws RookeryError INVALID_OPTION for a number that is not positive and finite. */
export function checkPositive(name: string, value: number): number {
  if (Number.isFinite(value) && value > 0) return value;
  throw new RookeryError("INVALID_OPTION", `${name} is ${value}`, "give a number above 0, such as 3.1e24");
}
