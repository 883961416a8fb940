/** Scores answers by exact match, and reports by family: the figure of an average hides what it is an average of. */
import type { Task } from "./task.ts";

/** What two answers are compared as: full-width forms narrowed, spaces single, no full stop at the end. */
export function normalizeAnswer(text: string): string {
  return text
    .normalize("NFKC")
    .trim()
    .replace(/\s+/g, " ")
    .replace(/(?<=.)[.。]$/u, "")
    .trimEnd();
}

/** Case counts: some tasks are about it. */
export function isRight(task: Pick<Task, "answer">, answer: string): boolean {
  return normalizeAnswer(answer) === normalizeAnswer(task.answer);
}

export type FamilyScore = { family: string; count: number; right: number; exactMatch: number };

export type TaskReport = {
  count: number;
  /** Share of all tasks. */
  exactMatch: number;
  /** Mean of the families' shares: each family counts the same. */
  macroExactMatch: number;
  families: FamilyScore[];
};

/** @param results which family a task was of, and whether its answer was right. */
export function reportTasks(results: readonly { family: string; isRight: boolean }[]): TaskReport {
  const families = [...Map.groupBy(results, ({ family }) => family)].map(([family, those]) => {
    const right = those.filter((one) => one.isRight).length;
    return { family, count: those.length, right, exactMatch: right / those.length };
  });
  families.sort((a, b) => (a.family < b.family ? -1 : 1));
  const right = families.reduce((sum, family) => sum + family.right, 0);
  const mean = families.reduce((sum, { exactMatch }) => sum + exactMatch, 0) / Math.max(families.length, 1);
  return { count: results.length, exactMatch: right / Math.max(results.length, 1), macroExactMatch: mean, families };
}
