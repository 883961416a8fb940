/** Which seeds are taken, how often and for which language, so that the instructions have the domains and languages that are wanted. */
import { RookeryError } from "../base/errors.ts";
import { type StreamKeys, shuffled, streamKeys } from "../base/random.ts";

export type Weights = Readonly<Record<string, number>> | undefined;

/** Seeds of one domain and language, by their numbers. Those that are questions give one instruction, once. */
export type Cell = { domain: string; language: string; seeds: readonly number[]; questions: ReadonlySet<number> };

/** `count` instructions from one seed. `round` counts how often the seed was taken before. */
export type Draw = { seed: number; domain: string; language: string; round: number; count: number };

export type MixturePlan = {
  draws: Draw[];
  /** What each domain and language should have of the whole. */
  domains: Record<string, number>;
  languages: Record<string, number>;
  /** Domains whose seeds are so few that some are taken again. */
  scarce: string[];
};

/**
 * Draws, in random order, for `count` instructions (fewer where only questions are left, which are asked once). A domain is split over the languages that are wanted; where it has no seed of a language, those of
 * its other languages stand in: the instruction is then asked for in the language that is wanted.
 * @throws RookeryError BAD_DATA for a domain that is wanted and has no seeds.
 */
export function planMixture(
  cells: readonly Cell[],
  wanted: { domains?: Weights; languages?: Weights },
  amounts: { count: number; perDraw: number },
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
  const draws = targets.flatMap(({ domain, language, from }, index) => {
    const taken = takeSeeds(from, counts[index]!, amounts.perDraw, streamKeys(seed, "seeds", domain, language));
    return taken.map((one): Draw => ({ domain, language, ...one }));
  });
  const drawsOf = Map.groupBy(draws, ({ domain }) => domain);
  const scarce = Object.keys(domains).filter((name) => drawsOf.get(name)?.some(({ round }) => round > 0));
  const order = shuffled(draws.length, streamKeys(seed, "draws"));
  return { draws: Array.from(order, (index) => draws[index]!), domains, languages, scarce };
}

/** Goes around the seeds, in a random order that stays, until they give `count` instructions. */
function takeSeeds(
  cells: readonly Cell[],
  count: number,
  perDraw: number,
  keys: StreamKeys,
): Pick<Draw, "seed" | "round" | "count">[] {
  const seeds = cells.flatMap((cell) => cell.seeds);
  const isQuestion = (seed: number) => cells.some(({ questions }) => questions.has(seed));
  const order = Array.from(shuffled(seeds.length, keys), (index) => seeds[index]!);
  const passages = order.filter((seed) => !isQuestion(seed));
  const taken: Pick<Draw, "seed" | "round" | "count">[] = [];
  let left = count;
  for (let round = 0; left > 0 && (round === 0 || passages.length > 0); round++) {
    for (const seed of round === 0 ? order : passages) {
      if (left === 0) break;
      const some = isQuestion(seed) ? 1 : Math.min(perDraw, left);
      taken.push({ seed, round, count: some });
      left -= some;
    }
  }
  return taken;
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
