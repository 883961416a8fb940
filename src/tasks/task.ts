/** Tasks whose answers can be checked: a question, the one right answer, and answers that look right and are not. */
import type { Draws } from "./random.ts";

export const taskLanguages = ["en", "zh"] as const;
export type TaskLanguage = (typeof taskLanguages)[number];

export type TaskDraft = {
  question: string;
  answer: string;
  /** Plausible wrong answers, none of them the answer; at least one. */
  wrong: readonly string[];
};

/** A text about which several things can be asked. */
export type Passage = {
  text: string;
  asks: readonly { ask: string; answer: string; wrong: readonly string[] }[];
};

export type TaskFamily = {
  name: string;
  /** Families that nothing is trained on: they tell what carries over. */
  isUnseen: boolean;
  languages: readonly TaskLanguage[];
  make(draws: Draws, language: TaskLanguage, settings: TaskSettings): TaskDraft;
  /** Of families that ask about a passage: one with everything that can be asked about it. */
  passage?(draws: Draws, language: TaskLanguage, settings: TaskSettings): Passage;
};

export type TaskSettings = {
  /** About how many characters a long text has, for needle questions. */
  needleCharacters: number;
};

export type Task = TaskDraft & {
  /** FAMILY-LANGUAGE-SPLIT-NUMBER: with the seed, enough to make it again. */
  id: string;
  family: string;
  language: TaskLanguage;
};

/** A question about a passage: what a task of such a family asks. */
export const askAbout = ({ text }: Passage, ask: string): string => `${text}\n${ask}`;

/** One passage and several questions about it, in the turns of one conversation: only the first has the passage. */
export type TaskDialogue = Pick<Task, "id" | "family" | "language"> & { turns: { question: string; answer: string }[] };

/** Numbers near the answer, for the wrong ones: off by one, by ten, with two digits exchanged. */
export function nearNumbers(answer: number, draws: Draws): string[] {
  const by = draws.between(2, 9);
  const digits = String(Math.abs(answer));
  const swapped = digits.length > 1 ? Number(`${digits.slice(0, -2)}${digits.at(-1)}${digits.at(-2)}`) : answer + 3;
  return otherThan(String(answer), [answer + 1, answer - 1, answer + by, answer + 10, Math.sign(answer) * swapped]);
}

/** Each once, without the answer. */
export function otherThan(answer: string, candidates: readonly (string | number)[]): string[] {
  return [...new Set(candidates.map(String))].filter((candidate) => candidate !== answer);
}
