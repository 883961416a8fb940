/** What may be asked for, so that one passage gives many kinds of instructions: who asks, in which form, how hard. */
import type { AnswerKind, Difficulty } from "../record.ts";

/** A form of instruction, which fixes how its answers are compared. */
export type Form = {
  answerKind: AnswerKind;
  /** Completes "Write an instruction that …". */
  asks: string;
  /** Whether the passage goes along with the instruction, so that it can be answered from it. */
  hasPassage?: boolean;
  /** Domains that it suits; without, all. */
  domains?: readonly string[];
};

export const forms = {
  explain: { answerKind: "text", asks: "asks to explain a fact, a cause or a method" },
  howTo: { answerKind: "text", asks: "asks how to do something, or for advice in a described situation" },
  compare: { answerKind: "text", asks: "asks to compare or to weigh things that it names" },
  write: {
    answerKind: "text",
    asks: "asks to write something for a stated purpose and reader, such as a note or an outline",
  },
  fact: {
    answerKind: "phrase",
    asks: "asks for one fact, whose only right answer is a name, a term or a short phrase",
  },
  choice: {
    answerKind: "choice",
    asks: "is a multiple-choice question with four options on lines of their own, marked A. to D., exactly one of them right",
  },
  calculate: {
    answerKind: "number",
    asks: "poses a problem with all the numbers it needs, whose only right answer is one number",
    domains: ["math", "mathematics", "physics", "science", "finance", "general"],
  },
  extract: {
    answerKind: "phrase",
    asks: "asks for a detail of the passage, in words of the passage",
    hasPassage: true,
  },
  summarize: {
    answerKind: "text",
    asks: "asks to summarize or to rewrite the passage in a stated way",
    hasPassage: true,
  },
  fields: {
    answerKind: "json",
    asks: "asks for named facts of the passage as one JSON object, and names its keys and what each holds",
    hasPassage: true,
  },
  program: {
    answerKind: "code",
    asks: "asks for a short program that reads standard input and writes standard output, and gives the exact format of both with an example",
    domains: ["code", "programming", "computing"],
  },
  debug: {
    answerKind: "text",
    asks: "shows a short piece of code and asks what it does, what is wrong with it, or how to better it",
    domains: ["code", "programming", "computing"],
  },
} satisfies Record<string, Form>;

export type FormName = keyof typeof forms;
export const formNames = Object.keys(forms) as FormName[];

/** Forms that suit a domain. */
export function formsOf(domain: string): FormName[] {
  return formNames.filter((name) => (forms[name] as Form).domains?.includes(domain) ?? true);
}

/** Who asks, and in which manner. */
export const styles = {
  plain: "in plain everyday words",
  exam: "as an examiner would put it, exact and complete",
  beginner: "as a beginner would ask, who does not know the right terms",
  expert: "as a specialist would ask a colleague, with the terms of the field",
  brief: "as briefly as it can be said",
  story: "in a small story or situation with people in it",
} as const;

export type StyleName = keyof typeof styles;

export const difficultyWords: Record<Difficulty, string> = {
  easy: "easy: one step, for somebody who has just read about it",
  medium: "of medium difficulty: two or three steps, or knowledge of the field",
  hard: "hard: several steps that build on each other, for an expert",
};
