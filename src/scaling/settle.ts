/** From what is known of a run to the rest: compute, parameters, tokens, and the devices, days and money that they take. */
import { RookeryError } from "../base/errors.ts";
import { quoteForMessage } from "../base/files.ts";
import { type BatchAt, computeForLeast, leastComputeFor } from "./law-compute.ts";
import { type ComputeLaw, checkPositive, computeOf, powerAt, powerInverse, type ScalingLaw } from "./laws.ts";

const knownNames = ["compute", "activatedParameters", "tokens", "days", "money", "devices", "pricePerHour"] as const;

/** What is given; anything may be left open. */
export type Known = { [Name in (typeof knownNames)[number]]?: number | undefined };

export type Settled = {
  /** FLOPs that the training takes, at the batch that is planned. */
  compute: number;
  /** C_min, at which the law is asked: `compute` itself where the law is not one of C_min. */
  leastCompute: number;
  activatedParameters: number;
  tokens: number;
  /** Whether N and D are the law's own for that compute. */
  isOptimal: boolean;
};

const secondsPerDay = 86_400;

/** N that a budget leaves at D tokens, or undefined where the term without N takes all of it. */
function parametersAt(
  { perParameterToken, perToken }: ComputeLaw,
  compute: number,
  tokens: number,
): number | undefined {
  const parameters = (compute / tokens - perToken) / perParameterToken;
  return parameters > 0 ? parameters : undefined;
}

/** The one compute that the budget options name, if any. */
function budgetOf(known: Known, rate: number): { name: string; compute: number } | undefined {
  const { compute, days, devices, money, pricePerHour } = known;
  if (money !== undefined && pricePerHour === undefined) {
    throw new RookeryError(
      "INVALID_OPTION",
      `--money ${money} buys no known time`,
      "add --price-per-hour of one device",
    );
  }
  const named = [
    ...(compute !== undefined ? [{ name: "--compute", compute }] : []),
    ...(days !== undefined && devices !== undefined
      ? [{ name: "--days with --devices", compute: rate * devices * days * secondsPerDay }]
      : []),
    ...(money !== undefined && pricePerHour !== undefined
      ? [{ name: "--money", compute: (rate * 3600 * money) / pricePerHour }]
      : []),
  ];
  if (named.length > 1) throw overdetermined(named.map(({ name }) => name));
  return named[0];
}

function overdetermined(names: readonly string[]): RookeryError {
  return new RookeryError(
    "INVALID_OPTION",
    `${names.join(" and ")} each fix the compute`,
    "leave all but one of them out, and it follows",
  );
}

/**
 * Any two of N, D and a budget give the third; one alone is taken at its optimum. A budget is compute, or days on so many devices,
 * or money; days without devices are no budget: they say how many it takes.
 * @param rate FLOPs a second of one device as it is used.
 * @throws RookeryError INVALID_OPTION for nothing, for too much, and for what cannot be.
 */
export function settle(law: ScalingLaw, known: Known, rate: number, batchAt: BatchAt): Settled {
  for (const name of knownNames) if (known[name] !== undefined) checkPositive(name, known[name]);
  const budget = budgetOf(known, rate);
  const { activatedParameters: parameters, tokens } = known;
  if (budget && parameters !== undefined && tokens !== undefined) {
    throw overdetermined([budget.name, "--activated-parameters with --tokens"]);
  }
  const found = refuseTheAbsurd(
    complete(law, budget?.compute, parameters, tokens) ?? optimumFor(law, budget?.compute, parameters, tokens, batchAt),
    law,
  );
  const { compute } = found;
  return { ...found, leastCompute: leastComputeFor(law, compute, batchAt(compute)) };
}

type Found = Pick<Settled, "compute" | "activatedParameters" | "tokens" | "isOptimal">;

/** Numbers may run over, and laws of one's own may fall where they should rise. */
function refuseTheAbsurd(found: Found, law: ScalingLaw): Found {
  const { compute, activatedParameters, tokens } = found;
  if ([compute, activatedParameters, tokens].every((value) => Number.isFinite(value) && value > 0)) return found;
  throw new RookeryError(
    "INVALID_OPTION",
    `the law ${quoteForMessage(law.name)} leads to ${activatedParameters} parameters on ${tokens} tokens at ${compute} FLOPs`,
    "give numbers that are nearer to what the law was measured at, or another --law",
  );
}

/** What two of compute, parameters and tokens come to; undefined where there is one of them, or none. */
function complete(law: ScalingLaw, compute?: number, parameters?: number, tokens?: number): Found | undefined {
  const { perParameterToken, perToken } = law.compute;
  if (parameters !== undefined && tokens !== undefined) {
    return {
      compute: computeOf(law.compute, parameters, tokens),
      activatedParameters: parameters,
      tokens,
      isOptimal: false,
    };
  }
  if (compute !== undefined && parameters !== undefined) {
    const left = compute / (perParameterToken * parameters + perToken);
    return { compute, activatedParameters: parameters, tokens: left, isOptimal: false };
  }
  if (compute !== undefined && tokens !== undefined) {
    const left = parametersAt(law.compute, compute, tokens);
    if (left === undefined) {
      throw new RookeryError(
        "INVALID_OPTION",
        `${tokens.toExponential(2)} tokens leave nothing of ${compute.toExponential(2)} FLOPs for parameters`,
        "train on fewer tokens, or with more compute",
      );
    }
    return { compute, activatedParameters: left, tokens, isOptimal: false };
  }
  return undefined;
}

/** The optimum that one of compute, parameters and tokens names. */
function optimumFor(
  law: ScalingLaw,
  compute: number | undefined,
  parameters: number | undefined,
  tokens: number | undefined,
  batchAt: BatchAt,
): Found {
  const least =
    (compute !== undefined ? leastComputeFor(law, compute, batchAt(compute)) : undefined) ??
    (parameters !== undefined ? powerInverse(law.parameters, parameters) : undefined) ??
    (tokens !== undefined ? powerInverse(law.tokens, tokens) : undefined);
  if (least === undefined) {
    throw new RookeryError(
      "INVALID_OPTION",
      "nothing to plan from",
      "give --compute, --activated-parameters, --tokens, --money, or --days with --devices; two of them fix the third",
    );
  }
  return {
    compute: compute ?? computeForLeast(law, least, batchAt),
    activatedParameters: parameters ?? powerAt(law.parameters, least),
    tokens: tokens ?? powerAt(law.tokens, least),
    isOptimal: true,
  };
}
