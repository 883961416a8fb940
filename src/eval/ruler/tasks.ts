/**
 * The 13 tasks of RULER (Hsieh et al., 2024) at any length, in English and in Chinese, with texts of our own: the i-th item of
 * (seed, task, language, length) is always the same.
 */
import { RookeryError } from "../../base/errors.ts";
import { didYouMean } from "../../base/nearest.ts";
import { Draws } from "../../tasks/random.ts";
import { aggregationTasks } from "./aggregation.ts";
import { type FittedPrompt, fitPrompt, type TokenCounter } from "./fit.ts";
import type { HaystackLanguage, Prose, QuestionSources, RulerTask } from "./item.ts";
import { needleTasks } from "./needles.ts";
import { generatedProse } from "./prose.ts";
import { madeUpQuestions } from "./question-sets.ts";
import { questionTasks } from "./questions.ts";
import { tracingTask } from "./variables.ts";

/** In the order of RULER's tables. */
export const rulerTasks: readonly RulerTask[] = [...needleTasks, tracingTask, ...aggregationTasks, ...questionTasks];

/** The lengths of RULER's tables. */
export const rulerLengths: readonly number[] = [4096, 8192, 16_384, 32_768, 65_536, 131_072];

/** @throws RookeryError INVALID_OPTION for a name that no task has. */
export function rulerTaskNamed(name: string): RulerTask {
  const found = rulerTasks.find((task) => task.name === name);
  if (found) return found;
  const names = rulerTasks.map((task) => task.name);
  throw new RookeryError("INVALID_OPTION", `there is no RULER task "${name}"`, didYouMean(name, names));
}

/** What the texts are made of; without a text or a file of one's own, made up from the seed. */
export type RulerSources = { prose?: Prose | undefined; questions?: Partial<QuestionSources> | undefined };

export type RulerItem = FittedPrompt & {
  id: string;
  task: string;
  language: HaystackLanguage;
  length: number;
};

export type RulerSelection = { seed: number; language: HaystackLanguage; length: number; sources?: RulerSources };

/** Makes items of one task, language and length; the size of one is the first guess for the next. */
export class RulerItems {
  readonly task: RulerTask;
  readonly #selection: RulerSelection;
  readonly #counter: TokenCounter;
  readonly #prose: Prose;
  readonly #questions: QuestionSources;
  #guess: number | undefined;

  constructor(task: RulerTask, selection: RulerSelection, counter: TokenCounter) {
    const { seed, language, sources } = selection;
    this.task = task;
    this.#selection = selection;
    this.#counter = counter;
    this.#prose = sources?.prose ?? generatedProse(language, seed);
    this.#questions = { ...madeUpQuestions(language), ...sources?.questions };
  }

  /** @throws RookeryError INVALID_OPTION for a length that is too short for the task. */
  async make(index: number): Promise<RulerItem> {
    const { seed, language, length } = this.#selection;
    const draws = new Draws(seed, "ruler", this.task.name, language, length, index);
    const drafts = this.task.drafts({ draws, language, length, prose: this.#prose, questions: this.#questions });
    try {
      const fitted = await fitPrompt(this.task, drafts, { length, firstGuess: this.#guess }, this.#counter);
      this.#guess = fitted.units;
      return {
        id: `${this.task.name}-${language}-${length}-${index}`,
        task: this.task.name,
        language,
        length,
        ...fitted,
      };
    } catch (error) {
      if (!(error instanceof RookeryError)) throw error;
      throw new RookeryError(error.code, `${this.task.name}: ${error.message}`, error.hint);
    }
  }
}
