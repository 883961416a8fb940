/** Which seeds are taken, how often and for which language, so that the instructions have the domains and languages that are wanted. */
import { RookeryError } from "../base/errors.ts";
import { type StreamKeys, shuffled, streamKeys } from "../base/random.ts";

export type Weights = Readonly<Record<string, number>> | undefined;

/** Seeds of one domain and language, by their numbers. */
export type Cell = { domain: string; language: string; seeds: readonly number[] };

/** Whether a seed, by its number, is a question, which gives one instruction, once. */
export type IsQuestion = (seed: number) => boolean;

/** `count` instructions from one seed. `round` counts how often the seed was taken before. */
export type Draw = { seed: number; domain: string; language: string; round: number; count: number };

export type MixturePlan = {
  /** Made one by one when they are asked for: there may be as many as records. */
  draws: Iterable<Draw>;
  /** What each domain and language should have of the whole. */
  domains: Record<string, number>;
  languages: Record<string, number>;
  /** Domains whose seeds are so few that some are taken again. */
  scarce: string[];
};

/**
 * Draws, in random order, for `count` instructions (fewer where only questions are left, which are asked once). A domain is split
 * over the languages that are wanted; where it has no seed of a language, those of its other languages stand in: the instruction is
 * then asked for in the language that is wanted.
 * @throws RookeryError BAD_DATA for a domain that is wanted and has no seeds.
 */
export function planMixture(
  cells: readonly Cell[],
  wanted: { domains?: Weights; languages?: Weights },
  amounts: { count: number; perDraw: number; isQuestion: IsQuestion },
  seed: number,
): MixturePlan {
  const domains = normalized(wanted.domains ?? sizes(cells, ({ domain }) => domain));
  const plain = normalized(sizes(cells, ({ language }) => language));
  const languages = wanted.languages ? normalized(wanted.languages) : plain;
  const targets = Object.entries(domains).flatMap(([domain, domainShare]) => {
    const own = cells.filter((cell) => cell.domain === domain);
    if (own.length === 0) {
      const known = [...new Set(cells.map((cell) => cell.domain))].join(", ");
      throw new RookeryError(
        "BAD_DATA",
        `no seed is of the domain "${domain}" that the mixture wants`,
        `give seeds of it, or weigh only ${known || "what there are seeds of"}`,
      );
    }
    // without wishes each domain keeps the languages that its own seeds have
    const split = wanted.languages ? languages : normalized(sizes(own, ({ language }) => language));
    return Object.entries(split).map(([language, languageShare]) => {
      const ownOfLanguage = own.filter((cell) => cell.language === language);
      const from = ownOfLanguage.length > 0 ? ownOfLanguage : own;
      return { domain, language, from, share: domainShare * languageShare };
    });
  });
  const counts = apportion(
    targets.map((target) => target.share),
    amounts.count,
  );
  const takings = targets.map(({ domain, language, from }, index) =>
    takeSeeds(from, { ...amounts, count: counts[index]! }, streamKeys(seed, "seeds", domain, language)),
  );
  const isScarce = (name: string) => targets.some(({ domain }, index) => domain === name && takings[index]!.isRepeated);
  const draws = {
    *[Symbol.iterator](): Generator<Draw> {
      const ends = runningSums(takings.map(({ length }) => length));
      for (const number of shuffled(ends.at(-1) ?? 0, streamKeys(seed, "draws"))) {
        const index = ends.findIndex((end) => number < end);
        const { domain, language } = targets[index]!;
        const taking = takings[index]!;
        yield { domain, language, ...taking.at(number - (ends[index]! - taking.length)) };
      }
    },
  };
  return { draws, domains, languages, scarce: Object.keys(domains).filter(isScarce) };
}

type Taken = Pick<Draw, "seed" | "round" | "count">;
type Taking = { length: number; at: (index: number) => Taken; isRepeated: boolean };

/** Goes around the seeds, in a random order that stays, until they give `count` instructions. */
function takeSeeds(
  cells: readonly Cell[],
  { count, perDraw, isQuestion }: { count: number; perDraw: number; isQuestion: IsQuestion },
  keys: StreamKeys,
): Taking {
  const seeds = cells.flatMap((cell) => cell.seeds);
  const order = shuffled(seeds.length, keys).map((index) => seeds[index]!);
  const passages = order.filter((seed) => !isQuestion(seed));
  const mostOf = (seed: number) => (isQuestion(seed) ? 1 : perDraw);
  let [inFirstRound, left] = [0, count];
  while (left > 0 && inFirstRound < order.length) left -= mostOf(order[inFirstRound++]!);
  const inLaterRounds = passages.length > 0 ? Math.ceil(Math.max(0, left) / perDraw) : 0;
  const length = inFirstRound + inLaterRounds;
  // the last draw is for what is left to it
  const tooMany = Math.max(0, inLaterRounds * perDraw - left);
  const at = (index: number): Taken => {
    const later = index - inFirstRound;
    const [seed, round] =
      later < 0 ? [order[index]!, 0] : [passages[later % passages.length]!, 1 + Math.floor(later / passages.length)];
    return { seed, round, count: mostOf(seed) - (index === length - 1 ? tooMany : 0) };
  };
  return { length, at, isRepeated: inLaterRounds > 0 };
}

function runningSums(values: readonly number[]): number[] {
  let sum = 0;
  return values.map((value) => {
    sum += value;
    return sum;
  });
}

function sizes(cells: readonly Cell[], nameOf: (cell: Cell) => string): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const cell of cells) sums[nameOf(cell)] = (sums[nameOf(cell)] ?? 0) + cell.seeds.length;
  return sums;
}

function normalized(weights: Readonly<Record<string, number>>): Record<string, number> {
  const entries = Object.entries(weights).filter(([, weight]) => weight > 0);
  const total = entries.reduce((sum, [, weight]) => sum + weight, 0);
  return Object.fromEntries(entries.map(([name, weight]) => [name, weight / total]));
}

/** Whole numbers that add up to `count`, as near to the shares as whole numbers can be (largest remainders). */
function apportion(shares: readonly number[], count: number): number[] {
  const exact = shares.map((share) => share * count);
  const counts = exact.map(Math.floor);
  const byRemainder = exact
    .map((value, index) => ({ index, rest: value - Math.floor(value) }))
    .sort((a, b) => b.rest - a.rest || a.index - b.index);
  const missing = count - counts.reduce((sum, one) => sum + one, 0);
  for (const { index } of byRemainder.slice(0, Math.max(0, missing))) counts[index]! += 1;
  return counts;
}
