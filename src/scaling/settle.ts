/** From what is known of a run to the rest: compute, parameters, tokens, and the devices, days and money that they take. */
import { RookeryError } from "../base/errors.ts";
import type { Accelerator } from "./accelerators.ts";
import { type ComputeLaw, checkPositive, computeOf, powerAt, powerInverse, type ScalingLaw } from "./laws.ts";

const knownNames = ["compute", "activatedParameters", "tokens", "days", "money", "devices", "pricePerHour"] as const;

/** What is given; anything may be left open. */
export type Known = { [Name in (typeof knownNames)[number]]?: number | undefined };

export type Settled = {
  compute: number;
  activatedParameters: number;
  tokens: number;
  /** Whether N and D are the law's own for that compute. */
  isOptimal: boolean;
  /** undefined where neither devices nor days were given. */
  devices: number | undefined;
};

const secondsPerDay = 86_400;

/** FLOPs a second of a device as it is used. */
export function rateOf({ peakFlops }: Accelerator, utilization: number): number {
  return peakFlops * utilization;
}

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
 * or money; days without devices say how many it takes.
 * @throws RookeryError INVALID_OPTION for nothing, for too much, and for what cannot be.
 */
export function settle(law: ScalingLaw, known: Known, accelerator: Accelerator, utilization: number): Settled {
  for (const name of knownNames) if (known[name] !== undefined) checkPositive(name, known[name]);
  const rate = rateOf(accelerator, utilization);
  const budget = budgetOf(known, rate);
  const { activatedParameters: parameters, tokens } = known;
  if (budget && parameters !== undefined && tokens !== undefined) {
    throw overdetermined([budget.name, "--activated-parameters with --tokens"]);
  }
  const found = complete(law, budget?.compute, parameters, tokens);
  const { days, devices } = known;
  const needed = days === undefined ? undefined : Math.ceil(found.compute / (rate * days * secondsPerDay));
  return { ...found, devices: devices ?? needed };
}

function complete(law: ScalingLaw, compute?: number, parameters?: number, tokens?: number): Omit<Settled, "devices"> {
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
  const budget =
    compute ??
    (parameters !== undefined ? powerInverse(law.parameters, parameters) : undefined) ??
    (tokens !== undefined ? powerInverse(law.tokens, tokens) : undefined);
  if (budget === undefined) {
    throw new RookeryError(
      "INVALID_OPTION",
      "nothing to plan from",
      "give --compute, --activated-parameters, --tokens, --money, or --days with --devices; two of them fix the third",
    );
  }
  return {
    compute: budget,
    activatedParameters: parameters ?? powerAt(law.parameters, budget),
    tokens: tokens ?? powerAt(law.tokens, budget),
    isOptimal: true,
  };
}
