/** Asks for an answer, and finds in what is answered the part that is compared. */
import type { ChatMessage } from "../../endpoint/wire.ts";
import type { AnswerKind } from "../record.ts";
import { languageName } from "./words.ts";

/** Raise it whenever the words change. */
export const answerPromptVersion = "answer/1";
/** Of answers to the bare instruction, without a system prompt. */
export const bareAnswerPromptVersion = "answer-bare/1";

const finalLine = (what: string) => `End with a line of its own: "Answer: " and then ${what} alone.`;

const formOf: Record<AnswerKind, string> = {
  text: "Answer fully and to the point.",
  number: `Work step by step. ${finalLine("the number, with its unit if it has one,")}`,
  choice: `Say briefly why. ${finalLine("the letter of the right option")}`,
  phrase: finalLine("the name, term or phrase"),
  json: "Answer with the JSON object alone.",
  code: "Answer with one block of code between ``` marks that holds the whole program, and nothing else.",
};

/** What an answer of each kind is, as prompts that write instructions say it. */
export const answerWords: Record<AnswerKind, string> = {
  text: "a text",
  number: "one number",
  choice: "one of the options that the instruction lists",
  phrase: "one name, term or short phrase",
  json: "one JSON object",
  code: "a program",
};

export type AnswerSubject = { instruction: string; domain: string; language: string; answerKind: AnswerKind };

export function answerMessages(subject: AnswerSubject, isExpert: boolean): ChatMessage[] {
  const { instruction, domain, language, answerKind } = subject;
  const asked: ChatMessage = { role: "user", content: instruction };
  if (!isExpert) return [asked];
  const field = domain === "general" ? "" : ` in ${domain}`;
  const system = `You are an expert${field}. Answer in ${languageName(language)}. ${formOf[answerKind]}`;
  return [{ role: "system", content: system }, asked];
}

const answerLine = /(?:^|\n)[ \t*_#>]*(?:final answer|answer|答案|答)[ \t*_]*[:：]([^\n]*)/gi;

/** What stands behind the last "Answer:" or "答案："; the whole text where there is none. */
export function finalAnswerOf(text: string): string {
  const last = [...text.matchAll(answerLine)]
    .at(-1)?.[1]
    ?.replace(/^[\s*_]+/, "")
    .replace(/[*_]{0,3}\s*$/, "");
  return last === undefined || last === "" ? text.trim() : last;
}
