/** What moves through the steps of synthesis: an instruction, its answers, and where both came from. */
import { createHash } from "node:crypto";
import type { Usage } from "../endpoint/budget.ts";

export const synthSteps = ["generate", "evolve", "answer", "filter"] as const;
export type SynthStep = (typeof synthSteps)[number];

/** What requests took. */
export type Cost = Usage;

/** How an answer is to be compared with others: `text` has no one right answer. */
export const answerKinds = ["text", "number", "choice", "phrase", "json", "code"] as const;
export type AnswerKind = (typeof answerKinds)[number];

export const difficulties = ["easy", "medium", "hard"] as const;
export type Difficulty = (typeof difficulties)[number];

/** Ways in which an instruction evolves. */
export const synthDirections = ["clearer", "expand", "harder"] as const;
export type SynthDirection = (typeof synthDirections)[number];

export type SynthAnswer = {
  text: string;
  /** Whether the text is whole, cut at the limit of tokens, or held back by the server. */
  finishReason: string;
  /** The name of the endpoint in the configuration, or "verifier". */
  endpoint: string;
  model: string;
  promptVersion: string;
  requestHash: string;
  cost: Cost;
};

/** The step that sorted a record out, why in a word of that step's list, and what was seen. */
export type Rejection = { step: SynthStep; reason: string; detail: string };

/** A candidate answer as the critic saw it: `tier` 1 is worst, 4 best. */
export type Critique = {
  /** Index into `answers`. */
  answer: number;
  tier: 1 | 2 | 3 | 4;
  comment: string;
  model: string;
  promptVersion: string;
  requestHash: string;
  cost: Cost;
};

export type SynthRecord = {
  /** The same for the same place in the run's tree, whatever order the work was done in. */
  id: string;
  /** The record that this one was made from; null for one made from a seed. */
  parentId: string | null;
  /** The seed as a reader finds it: FILE#PASSAGE, or task:ID. */
  seed: string;
  /** The step that made the record what it is. */
  step: SynthStep;
  domain: string;
  /** Two letters: en, zh. */
  language: string;
  instruction: string;
  answerKind: AnswerKind;
  /** How the instruction was asked for: style and form, or the direction of its evolution. */
  variant: string;
  difficulty: Difficulty;
  /** The right answer where it is known: from a verifier, or planted with the seed. Never shown to a model. */
  truth?: string;
  answers: readonly SynthAnswer[];
  critiques?: readonly Critique[];
  /** Of the request that made the instruction. */
  model: string;
  promptVersion: string;
  requestHash: string;
  cost: Cost;
  /** Index of the answer that is in the data set. A record that is finished has this, `rejected` or `review`. */
  kept?: number;
  rejected?: Rejection;
  /** Why a person is asked, about which answer. */
  review?: { reason: string; detail: string; answer: number };
};

export const noCost: Cost = { promptTokens: 0, answerTokens: 0, money: 0 };

export function addCosts(costs: Iterable<Cost>): Cost {
  let sum = noCost;
  for (const { promptTokens, answerTokens, money } of costs) {
    sum = {
      promptTokens: sum.promptTokens + promptTokens,
      answerTokens: sum.answerTokens + answerTokens,
      money: sum.money + money,
    };
  }
  return sum;
}

/** The id of the `index`-th record that a step makes from `parent`: a seed, or a record's id. */
export function recordId(step: SynthStep, parent: string, index: number): string {
  return createHash("sha256")
    .update(JSON.stringify([step, parent, index]))
    .digest("hex")
    .slice(0, 20);
}
