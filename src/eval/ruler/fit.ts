/** The prompt of a task that fills a length: as many units of haystack as fit. */
import { RookeryError } from "../../base/errors.ts";
import type { Draft, LongPrompt, RulerTask } from "./item.ts";

/** Counts with the tokenizer of the model that is asked. */
export type TokenCounter = {
  text(text: string): Promise<number>;
  /** Tokens of a whole prompt as the model reads it: chat template or start token, and the answer's beginning, included. */
  prompt(prompt: Pick<LongPrompt, "input" | "answerPrefix">): Promise<number>;
};

export type FittedPrompt = LongPrompt & {
  /** Which of the task's drafts it is of: 0 is RULER's. */
  variant: number;
  units: number;
  promptTokens: number;
  /** Most tokens that the model may write. */
  answerTokens: number;
};

/** Tokens beyond the ideal answer, for words around it. */
const spareAnswerTokens = 16;
/** How much of the room a draft may take before there is any haystack, if another takes less. */
const largestFixedShare = 0.85;

/** What a reader that understands everything writes: all answers, or the longest of those that will do. */
export function idealAnswer({ metric }: Pick<RulerTask, "metric">, answers: readonly string[]): string {
  if (metric === "all") return answers.join(", ");
  return answers.reduce((longest, answer) => (answer.length > longest.length ? answer : longest));
}

/**
 * The task at `length` tokens, prompt and answer together: the largest number of units that fits. The answer has RULER's room from
 * 4,096 tokens up; on shorter texts less, but never less than a right answer takes. Few prompts are counted: the next is where a
 * straight line through the last ones says.
 * @param drafts of the task. @param firstGuess such as the number of units of an earlier prompt of the same kind.
 * @throws RookeryError INVALID_OPTION for a length that even a prompt without a haystack exceeds.
 */
export async function fitPrompt(
  task: Pick<RulerTask, "answerTokens" | "metric">,
  drafts: readonly [Draft, ...Draft[]],
  { length, firstGuess = Math.ceil(length / 16) }: { length: number; firstGuess?: number | undefined },
  counter: TokenCounter,
): Promise<FittedPrompt> {
  let variant = 0;
  let answerTokens = 0;
  const measure = async (units: number): Promise<FittedPrompt> => {
    const prompt = drafts[variant]!(units);
    return { ...prompt, variant, units, promptTokens: await counter.prompt(prompt), answerTokens };
  };
  const begin = async () => {
    const ideal = await counter.text(idealAnswer(task, drafts[variant]!(0).answers));
    answerTokens = Math.max(Math.min(task.answerTokens, Math.floor(length / 32)), ideal + spareAnswerTokens);
    return await measure(0);
  };
  let fits = await begin();
  while (variant + 1 < drafts.length && fits.promptTokens > largestFixedShare * (length - answerTokens)) {
    variant++;
    fits = await begin();
  }
  const limit = length - answerTokens;
  if (fits.promptTokens > limit) {
    throw new RookeryError(
      "INVALID_OPTION",
      `a length of ${length} tokens is too short: the task alone takes ${fits.promptTokens}, its answer ${answerTokens}`,
      `give a length of at least ${fits.promptTokens + answerTokens}`,
    );
  }
  let over: FittedPrompt | undefined;
  let guess = Math.max(1, firstGuess);
  for (let round = 0; over === undefined || over.units > fits.units + 1; round++) {
    const tried = await measure(guess);
    if (tried.promptTokens <= limit) fits = tried;
    else over = tried;
    guess = nextGuess(fits, over, limit, round);
  }
  return fits;
}

/** Where the limit is reached if every further unit takes as much; inside what is known, and halfway when that goes slowly. */
function nextGuess(fits: FittedPrompt, over: FittedPrompt | undefined, limit: number, round: number): number {
  if (over === undefined) {
    const perUnit = fits.promptTokens / fits.units;
    return fits.units + Math.max(1, Math.min(Math.floor((limit - fits.promptTokens) / perUnit), 4 * fits.units));
  }
  const perUnit = (over.promptTokens - fits.promptTokens) / (over.units - fits.units);
  const byLine = fits.units + Math.floor((limit - fits.promptTokens) / perUnit);
  const wanted = round % 4 === 3 ? Math.floor((fits.units + over.units) / 2) : byLine;
  return Math.min(over.units - 1, Math.max(fits.units + 1, wanted));
}
