/**
 * What a task is. A row of its data becomes a question, by itself and as one of the worked examples ("shots") that stand before
 * others; a score is a number from 0 to 1 of one answer. Tasks are laid out as lm-eval lays them: description, shots between
 * blank lines, question, one space, answer.
 */
import { RookeryError } from "../../base/errors.ts";
import type { ChatMessage } from "../../endpoint/endpoint.ts";
import type { Row } from "../data/rows.ts";

/** Judges an answer. `signal` ends what takes long. */
export type Scorer = {
  name: string;
  score(answer: string, about: { row: Row; references: readonly string[] }, context: ScoreContext): ScoreResult;
};
type ScoreResult = number | Promise<number>;

export type ScoreContext = {
  signal: AbortSignal | undefined;
  /** Runs programs that a model wrote also where they cannot be walled in. */
  allowUncontained: boolean;
  /** Asks another model what an answer is worth, from 0 to 1; undefined where the user named none. */
  judge?: (question: string, answer: string, reference: string | undefined) => Promise<number>;
};

type Common = {
  /** As typed after --tasks. */
  name: string;
  title: string;
  /** The data set on the Hugging Face hub: OWNER/NAME. */
  hub?: string;
  /** Names of splits, the first that there is; several subjects or configurations are parts. */
  splits: { test: readonly string[]; shots?: readonly string[] };
  /** Whether a part belongs to the task; by default all do. */
  hasPart?(part: string): boolean;
  /** Columns of CSV files that were published without a heading. */
  headless?: readonly string[];
  /** As many shots are shown unless the user says otherwise, in the data's order or drawn as lm-eval draws them. */
  shots: {
    count: number;
    draw: "first" | "random";
    /** Draws one more than is shown, as lm-eval does for data sets that it has no test split of: the others change with it. */
    hasSpare?: boolean;
  };
  description?(part: string): string;
  /** A name for several parts together, such as STEM. */
  groupOf?(part: string): string;
  /** Rows as the functions below take them: other published layouts, records that hold several questions. */
  prepare?(row: Row, part: string): Row[];
  /** Rows that are made instead of read. */
  make?(options: { seed: number; most: number }): { test: Row[]; shots: Row[] };
};

export type ChoiceTask = Common & {
  kind: "choice";
  /** What stands before each choice: one text for all of them, or one each. */
  contexts(row: Row): string | readonly string[];
  /** What is scored: one text each, or one for all. */
  choices(row: Row): string | readonly string[];
  /** Which choice is right, from 0. */
  gold(row: Row): number;
  /** Before each choice. */
  delimiter?: string;
  /** The figure that is usually reported: by the sum of log-probabilities, or that a character. */
  primary: "acc" | "acc_norm";
};

export type GenerateTask = Common & {
  kind: "generate";
  prompt(row: Row): string;
  /** What stands after the prompt in a shot. */
  target(row: Row): string;
  /** Right answers. */
  references(row: Row): readonly string[];
  delimiter?: string;
  stop: readonly string[];
  maxTokens: number;
  /** The first is the figure that is usually reported. */
  scorers: readonly Scorer[];
  /** A chat instead of a text, whatever the user says. */
  messages?(row: Row): readonly ChatMessage[];
};

export type TaskDefinition = ChoiceTask | GenerateTask;

/** One question as it is put to a model. `key` names it in its task for good. */
export type Item = {
  key: string;
  part: string;
  row: Row;
} & (
  | {
      kind: "choice";
      contexts: readonly string[];
      continuations: readonly string[];
      /** Characters (code points) of each choice, without the delimiter. */
      lengths: readonly number[];
      gold: number;
    }
  | { kind: "generate"; prompt: string | readonly ChatMessage[]; references: readonly string[] }
);

/** For own tasks in TypeScript: checks nothing, helps the editor. */
export function defineTask<Definition extends TaskDefinition>(definition: Definition): Definition {
  return definition;
}

export function badTask(name: string, what: string, hint: string): RookeryError {
  return new RookeryError("BAD_DATA", `task ${name}: ${what}`, hint);
}
