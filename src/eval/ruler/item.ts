/** What a long-context task is made of. A draft is a prompt whose length is still open: the more units of haystack, the longer. */
import type { Draws } from "../../tasks/random.ts";

export const haystackLanguages = ["en", "zh"] as const;
export type HaystackLanguage = (typeof haystackLanguages)[number];

/** A prompt and what a right answer holds. */
export type LongPrompt = {
  /** The whole text with its question: the user's message, or the beginning of a plain prompt. */
  input: string;
  /** The beginning of the answer, given to the model so that it does not refuse or ramble; the model writes on after it. */
  answerPrefix: string;
  /** What the answer must hold: all of them or any, as the task's `metric` says. */
  answers: readonly string[];
  /** Where the asked needle begins, as a share of the haystack's units. */
  depth?: number;
};

/**
 * Gives the prompt with so many units of haystack. The same number gives the same prompt, and a larger one repeats the units of a
 * smaller one, so that a search for the number that fits a length finds it.
 */
export type Draft = (units: number) => LongPrompt;

/** What a draft is made from. */
export type DraftContext = {
  draws: Draws;
  language: HaystackLanguage;
  /** Tokens of the prompt and the answer together. Some tasks choose their sizes by it. */
  length: number;
  /** The sentences of the essay haystack. */
  prose: Prose;
  questions: QuestionSources;
};

/** Sentences without end: the `index`-th is always the same. */
export type Prose = { sentence(index: number): string; separator: string };

/** A paragraph that may hold an answer. */
export type Passage = { title: string; sentences: readonly string[] };

export type Question = { question: string; answers: readonly string[]; gold: readonly Passage[] };

/** Questions over passages, and passages that answer nothing. */
export type QuestionSource = {
  /** The passages of another question are distractors: none of them is about what is asked here. */
  question(draws: Draws): Question;
  /** Other passages than those of `question`; the `index`-th of this list is always the same. */
  distractors(question: Question, draws: Draws): (index: number) => Passage;
};

export type QuestionSources = { single: QuestionSource; twoHop: QuestionSource };

export type RulerTask = {
  name: string;
  /** Tokens that RULER gives the answer. */
  answerTokens: number;
  /** all: the share of the answers that is found; any: whether one of them is. */
  metric: "all" | "any";
  /** As RULER has it, then with less around the haystack; the first that leaves room for it is taken. */
  drafts(context: DraftContext): readonly [Draft, ...Draft[]];
};
