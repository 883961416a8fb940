/** What an evaluation found: by item, by part, by task. */

import type { ItemResult } from "./ask.ts";
import type { TextFigures } from "./perplexity.ts";
import { type Estimate, pooledMean } from "./statistics.ts";
import type { TaskDefinition } from "./tasks/definition.ts";

/** The columns of items.parquet. */
export type ItemRow = {
  task: string;
  part: string;
  item: string;
  /** The task's main figure; null for an item that could not be asked. */
  score: number | null;
  /** JSON: every figure by its name. */
  scores: string;
  question: string;
  answer: string;
  reference: string;
  /** JSON: log-probabilities of choices in nats; empty for written answers. */
  logprobs: string;
  cut_tokens: number;
  /** Why it could not be asked; empty otherwise. */
  failure: string;
};

export type PartFigures = { name: string; count: number; metrics: Record<string, Estimate> };

export type TaskFigures = {
  task: string;
  title: string;
  kind: TaskDefinition["kind"];
  shots: number;
  primary: string;
  /** Items that have scores; those that failed are left out of every mean. */
  count: number;
  failed: number;
  /** Items whose beginning was cut off because they are longer than the model reads, and answers that ran out of tokens. */
  cut: number;
  unfinished: number;
  metrics: Record<string, Estimate>;
  parts: PartFigures[];
  groups: PartFigures[];
};

export const evalFormat = "rookery-eval/1";

export type EvalSummary = {
  format: typeof evalFormat;
  rookeryVersion: string;
  name: string;
  folder: string;
  model: { name: string; maxLength: number; cache: { type: string; bytesPerToken: number } | null };
  options: { seed: number; chat: boolean; limit: number | null; windowTokens: number | null; judge: string | null };
  tasks: TaskFigures[];
  texts: TextFigures[];
  /** Share of the prompts' tokens that a cached prefix saved; null where nobody tells. */
  cachedShare: number | null;
  seconds: number;
};

export type ScoredItem = { part: string; result: ItemResult };

export function primaryOf(task: TaskDefinition): string {
  return task.kind === "choice" ? task.primary : task.scorers[0]!.name;
}

export function taskFigures(
  task: TaskDefinition,
  items: readonly ScoredItem[],
  { shots, failed }: { shots: number; failed: number },
): TaskFigures {
  const names = task.kind === "choice" ? ["acc", "acc_norm"] : task.scorers.map(({ name }) => name);
  const byPart = Map.groupBy(items, ({ part }) => part);
  const valuesOf = (those: readonly ScoredItem[], name: string) => those.map(({ result }) => result.scores[name] ?? 0);
  const figures = (name: string, parts: readonly (readonly ScoredItem[])[]): PartFigures => ({
    name,
    count: parts.reduce((sum, those) => sum + those.length, 0),
    metrics: Object.fromEntries(
      names.map((metric) => [metric, pooledMean(parts.map((those) => valuesOf(those, metric)))]),
    ),
  });
  const { groupOf } = task;
  const groups = groupOf
    ? Map.groupBy([...byPart], ([part]) => groupOf(part))
    : new Map<string, [string, ScoredItem[]][]>();
  return {
    task: task.name,
    title: task.title,
    kind: task.kind,
    shots,
    primary: primaryOf(task),
    count: items.length,
    failed,
    cut: items.filter(({ result }) => result.cutTokens > 0).length,
    unfinished: items.filter(({ result }) => result.finishReason === "length").length,
    metrics: figures("", [...byPart.values()]).metrics,
    parts: byPart.size < 2 ? [] : [...byPart].map(([part, those]) => figures(part, [those])),
    groups: [...groups].map(([group, parts]) =>
      figures(
        group,
        parts.map(([, those]) => those),
      ),
    ),
  };
}
