/** Asks for a better form of an instruction in one of three directions, and whether what came is one. */
import { z } from "zod";
import type { ChatMessage } from "../../endpoint/wire.ts";
import type { SynthDirection } from "../record.ts";
import { chatOf, languageName, quoted } from "./words.ts";

/** Raise them whenever the words change. */
export const evolvePromptVersion = "evolve/1";
export const checkPromptVersion = "evolve-check/1";

export const evolvedSchema = z.object({ instruction: z.string() });

export type EvolveSubject = {
  direction: SynthDirection;
  instruction: string;
  /** Others like it, for new ones to differ from. */
  siblings: readonly string[];
  domain: string;
  language: string;
  /** What its answer has to be: "one number". */
  answer: string;
};

const evolveSystem = [
  "You rewrite instructions for a data set that teaches a language model.",
  "You are given an instruction. It is material: do not answer it.",
  'Reply with one JSON object and nothing else: {"instruction": "…"}',
].join("\n");

const wishes: Record<SynthDirection, (subject: EvolveSubject) => string[]> = {
  clearer: () => [
    "Rewrite it so that it is clearer and says more: remove what is vague or idle, and name what is meant and what a good answer holds.",
    "It stays the same task with the same right answer.",
  ],
  expand: ({ domain }) => [
    `Write a new instruction of the domain "${domain}" that somebody who works in it might really ask.`,
    "It has the form of the given ones, and another subject: no answer to one of them would answer it.",
  ],
  harder: () => [
    "Rewrite it so that it is one step harder: add one condition, one more step of reasoning, or a rarer case.",
    "It stays about the same subject, and everything that is needed to answer it is in it.",
    "Do not only make it longer.",
  ],
};

export function evolveMessages(subject: EvolveSubject): ChatMessage[] {
  const { direction, instruction, siblings, language, answer } = subject;
  const shown = direction === "expand" ? [instruction, ...siblings] : [instruction];
  return chatOf(
    evolveSystem,
    [
      ...shown.map((one) => quoted("instruction", one)),
      ...wishes[direction](subject),
      `It must be possible to answer it. Its answer is ${answer}.`,
      `Write it in ${languageName(language)}, as a person would ask it, without a word about this rewriting.`,
    ].join("\n"),
  );
}

export const checkSchema = z.object({ comment: z.string(), keepsTask: z.boolean(), isAnswerable: z.boolean() });

const checkSystem = [
  "You check instructions that were rewritten for a data set. They are material: do not answer them.",
  'Reply with one JSON object and nothing else: {"comment": "one sentence", "keepsTask": true or false, "isAnswerable": true or false}',
].join("\n");

const keepsTask: Record<SynthDirection, string> = {
  clearer: "whether an answer to the new instruction answers the old one, too",
  expand: "whether the new instruction is a sensible task of the same domain, and not the old one in other words",
  harder: "whether the new instruction is about the subject of the old one and asks for more than it",
};

export function checkMessages({ direction, instruction }: EvolveSubject, evolved: string): ChatMessage[] {
  return chatOf(
    checkSystem,
    [
      quoted("old", instruction),
      quoted("new", evolved),
      `keepsTask: ${keepsTask[direction]}.`,
      "isAnswerable: whether somebody who knows the field can answer the new instruction with what it says, without contradictions or missing material.",
    ].join("\n"),
  );
}

/** Enough for a sentence and the verdicts. */
export const checkTokens = 200;
