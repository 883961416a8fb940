/** Every reason for which the filters sort a record out, and what it means. The dataset page shows these words. */
import { codeFaults } from "./code.ts";

export const filterReasons = {
  empty: "there is no answer",
  refused: "the answer declines to answer, or the server held it back",
  truncated: "the answer is cut off before its end",
  garbled: "control or replacement characters, or runs without a space",
  repetitive: "the answer mostly repeats itself",
  leftover: "signs of a chat template, or a name of a role, in the answer",
  echo: "the answer repeats the instruction",
  malformed: "the answer has no value of the kind that was asked for",
  ...codeFaults,
  tooFewAnswers: "too few usable answers to compare",
  inconsistent: "the samples do not agree",
  lowTier: "the critic puts the answer into a tier that is not kept",
  doubtfulTier: "the critic is not sure of the answer",
  noCritique: "the critic gave no verdict that can be read",
  duplicate: "the same instruction has come before",
  nearDuplicate: "nearly the same instruction, or a long answer, has come before",
  contaminated: "overlaps with an item of an evaluation set",
} as const;

export type FilterReason = keyof typeof filterReasons;
