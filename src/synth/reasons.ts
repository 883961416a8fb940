/** What the word of a rejection means. Whatever sorts records out, the dataset page shows these words. */
import { type FilterReason, filterReasons } from "./filters/index.ts";
import type { Rejection } from "./record.ts";

/** Of the steps before the filters, and of what ends a record in any step. */
const stepReasons: Readonly<Record<string, string>> = {
  empty: "the instruction has no text",
  "too-long": "the instruction is too long",
  malformed: "the model did not write the JSON that it was asked for",
  truncated: "what the model wrote is cut off at the limit of tokens",
  refused: "the server will not do what was asked",
  refusal: "the model declines instead of writing an instruction",
  "few-words": "hardly any of it is words",
  "refers-to-prompt": "the instruction speaks of the prompt that it was made with",
  "refers-to-source": "the instruction speaks of a passage that its reader will not see",
  "wrong-language": "the instruction is in another language than was asked for",
  repeated: "another instruction of the same request says the same",
  unchanged: "the evolved instruction says what the old one says",
  "lost-task": "the evolved instruction is another task",
  unanswerable: "the evolved instruction cannot be answered",
  "no-answerer": "nobody is named for the domain and the difficulty",
  "endpoint-failed": "the request failed each time, or was never made; --resume makes it",
  reviewer: "a person has rejected it",
};

/** Empty for a word of another version. */
export function meaningOf({ step, reason }: Pick<Rejection, "step" | "reason">): string {
  const ofFilter = step === "filter" ? filterReasons[reason as FilterReason] : undefined;
  return ofFilter ?? stepReasons[reason] ?? "";
}
