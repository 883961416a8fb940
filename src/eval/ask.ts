/** One question put to a model, and what becomes of its answer. */
import type { EvalModel } from "./model.ts";
import type { Item, ScoreContext, TaskDefinition } from "./tasks/definition.ts";

/** What is kept of an item. `scores` are from 0 to 1; `answer` is what was written, or the number of the choice. */
export type ItemResult = {
  scores: Record<string, number>;
  answer: string;
  reference: string;
  /** Of choices, in nats. */
  logprobs?: number[];
  isGreedy?: boolean[];
  finishReason?: "stop" | "length";
  cutTokens: number;
};

const longestKept = 20_000;

/** @throws what the model throws, and the scorer. */
export async function askItem(
  task: TaskDefinition,
  item: Item,
  model: EvalModel,
  seed: number,
  context: ScoreContext,
): Promise<ItemResult> {
  const { signal } = context;
  if (item.kind === "choice") {
    const found = await Promise.all(
      item.continuations.map((continuation, at) => model.likelihood(item.contexts[at]!, continuation, signal)),
    );
    const logprobs = found.map(({ logprob }) => logprob);
    const best = argmax(logprobs);
    const bestByCharacter = argmax(logprobs.map((logprob, at) => logprob / item.lengths[at]!));
    return {
      scores: { acc: Number(best === item.gold), acc_norm: Number(bestByCharacter === item.gold) },
      answer: String(task.kind === "choice" && task.primary === "acc_norm" ? bestByCharacter : best),
      reference: String(item.gold),
      logprobs,
      isGreedy: found.map(({ isGreedy }) => isGreedy),
      cutTokens: Math.max(...found.map(({ cutTokens }) => cutTokens)),
    };
  }
  if (task.kind !== "generate") throw new Error(`${task.name} asks for a text and scores choices`);
  const { prompt, references, row } = item;
  const { maxTokens, stop } = task;
  const answer = await model.generate({ prompt, maxTokens, stop, temperature: 0, seed }, signal);
  const scores: Record<string, number> = {};
  for (const { name, score } of task.scorers) scores[name] = await score(answer.text, { row, references }, context);
  return {
    scores,
    answer: answer.text.slice(0, longestKept),
    reference: (references[0] ?? "").slice(0, longestKept),
    finishReason: answer.finishReason,
    cutTokens: answer.cutTokens,
  };
}

/** The first of equals, as everywhere. */
function argmax(values: readonly number[]): number {
  return values.reduce((best, value, at) => (value > values[best]! ? at : best), 0);
}
