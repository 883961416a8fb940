/** What a recorded run leaves. */
export type RecipeRecord = {
  format: "rookery-recipe/1";
  name: string;
  /** What was measured while it ran, step by step. */
  measurements: ({ step: number } & Record<string, number | null>)[];
  /** By the id of the question: whether the answer was right. */
  test?: Record<string, 0 | 1>;
  unseen?: Record<string, 0 | 1>;
};

/** Ids begin with the family: FAMILY-LANGUAGE-SPLIT-NUMBER. */
export const familyOf = (id: string): string => id.split("-").slice(0, -3).join("-");

/** Mean over families of the share of right answers. */
export function macroShare(answers: Record<string, 0 | 1>): number {
  const families = [...Map.groupBy(Object.keys(answers), familyOf).values()];
  const shares = families.map((ids) => ids.reduce((sum, id) => sum + answers[id]!, 0) / ids.length);
  return shares.reduce((sum, share) => sum + share, 0) / shares.length;
}

/** By family, for each question the mean over runs of what is right after, less what was right before. */
export function pairedDifferences(
  before: readonly Record<string, 0 | 1>[],
  after: readonly Record<string, 0 | 1>[],
): Float64Array[] {
  const mean = (runs: readonly Record<string, 0 | 1>[], id: string) =>
    runs.reduce((sum, run) => sum + (run[id] ?? 0), 0) / runs.length;
  return [...Map.groupBy(Object.keys(after[0] ?? {}), familyOf).values()].map((ids) =>
    Float64Array.from(ids, (id) => mean(after, id) - mean(before, id)),
  );
}
