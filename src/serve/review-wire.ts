/** What the review page and its server say to each other. */
import type { Decision, ReviewField, ReviewProgress, ReviewReason } from "../review/decision.ts";

export type ReviewState = {
  format: "rookery-review/1";
  file: string;
  progress: ReviewProgress;
  /** The record that is shown; null when all are decided and none was asked for. */
  item: ReviewItemView | null;
};

export type ReviewItemView = {
  /** From 0, in the queue. */
  index: number;
  key: string;
  /** Its line in the file. */
  line: number;
  why: ReviewReason | null;
  fields: ReviewField[];
  facts: string[];
  decision: Decision["action"] | null;
};

/** The body of `POST /review/decisions`. The edits of an `edit` are other texts at the places of fields. */
export type ReviewDecision = {
  key: string;
  action: Decision["action"];
  edits?: { path: (string | number)[]; text: string }[];
};
