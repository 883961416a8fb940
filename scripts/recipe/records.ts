/** What runs leave when their answers are scored, and how those are compared. */
import { bootstrapInterval } from "../../src/eval/paired.ts";
import { meanOf } from "../../src/scaling/numeric.ts";
import { readJsonLines } from "../json-lines.ts";

/** By the id of the question: whether the answer was right. */
export type Answers = Record<string, 0 | 1>;

/** What a recorded run leaves. */
export type RecipeRecord = {
  format: "rookery-recipe/1";
  name: string;
  /** What was measured while it ran, step by step. */
  measurements: ({ step: number } & Record<string, number | null>)[];
  test?: Answers;
  unseen?: Answers;
};

/** Of a file that `rookery tasks score --out` wrote. */
export function readAnswers(file: string): Answers {
  const lines = readJsonLines<{ id: string; isRight: boolean }>(file);
  return Object.fromEntries(lines.map(({ id, isRight }) => [id, isRight ? 1 : 0]));
}

/** Ids begin with the family: FAMILY-LANGUAGE-SPLIT-NUMBER. */
export const familyOf = (id: string): string => id.split("-").slice(0, -3).join("-");

/** Mean over families of the share of right answers. */
export function macroShare(answers: Answers): number {
  const families = [...Map.groupBy(Object.keys(answers), familyOf).values()];
  const shares = families.map((ids) => ids.reduce((sum, id) => sum + answers[id]!, 0) / ids.length);
  return meanOf(shares);
}

/** By family, for each question the mean over runs of what is right after, less what was right before. */
export function pairedDifferences(before: readonly Answers[], after: readonly Answers[]): Float64Array[] {
  const mean = (runs: readonly Answers[], id: string) =>
    runs.reduce((sum, run) => sum + (run[id] ?? 0), 0) / runs.length;
  return [...Map.groupBy(Object.keys(after[0] ?? {}), familyOf).values()].map((ids) =>
    Float64Array.from(ids, (id) => mean(after, id) - mean(before, id)),
  );
}

/** The share of right answers of one family, all runs together; NaN where there are none. */
export function familyShare(runs: readonly Answers[], family: string): number {
  return meanOf(
    runs.flatMap((one) => Object.entries(one).flatMap(([id, isRight]) => (familyOf(id) === family ? [isRight] : []))),
  );
}

export const percent = (share: number): string => (100 * share).toFixed(1);

/** By how many points answers are right more often than before, with the 95% interval over questions. */
export function gainText(before: readonly Answers[], after: readonly Answers[]): string {
  const [low, high] = bootstrapInterval(pairedDifferences(before, after), { confidence: 0.95, seed: 1 });
  const gain = meanOf(after.map(macroShare)) - meanOf(before.map(macroShare));
  return `${percent(gain)} (${percent(low)} to ${percent(high)})`;
}
