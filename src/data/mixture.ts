/** The shares that users give to sources, per phase of training, as `BatchStream` takes them. */
import { RookeryError } from "../base/errors.ts";
import type { SourceOptions } from "./options.ts";

/** Weights by source name. */
export type Mixture = Record<string, number>;
export type MixturePhase = "main" | "annealing";

/**
 * The mixture of a phase, or undefined where no weights are given: then the share of a source is its size. An entry that
 * became several sources ("starter") divides its weight among them by size.
 * @param sources name, entry of the options, and training tokens of each source.
 */
export function phaseMixture(
  entries: readonly SourceOptions[],
  sources: readonly { name: string; entry: number; tokens: number }[],
  phase: MixturePhase,
): Mixture | undefined {
  const weights = entries.map((entry) =>
    phase === "annealing" ? (entry.annealingWeight ?? entry.weight) : entry.weight,
  );
  const without = weights.indexOf(undefined);
  if (weights.every((weight) => weight === undefined)) return undefined;
  if (without !== -1) {
    const what = phase === "annealing" ? "an annealing weight" : "a weight";
    const message = `${JSON.stringify(entries[without]!.path)} has no weight, while another source has ${what}`;
    throw new RookeryError("INVALID_OPTION", message, "give every source a weight, or none");
  }
  const sizes = entries.map((_, i) =>
    sources.filter(({ entry }) => entry === i).reduce((sum, { tokens }) => sum + tokens, 0),
  );
  const mixture = sources.map(({ name, entry, tokens }): [string, number] => {
    return [name, sizes[entry] === 0 ? 0 : (weights[entry]! * tokens) / sizes[entry]!];
  });
  if (mixture.every(([, weight]) => weight === 0)) {
    const message = `the weights leave nothing to train on${phase === "annealing" ? " in the annealing" : ""}`;
    throw new RookeryError("INVALID_OPTION", message, "give a weight above 0 to a source that has text");
  }
  return Object.fromEntries(mixture);
}
