/** Rules that a record to learn from must keep: what is broken in a way that a program can be sure of. */
import type { ChatMessage } from "../text/chat-template.ts";
import { garbledShare, repeatedShare } from "./filters.ts";

/** What breaks a rule, by its name. */
export const chatRules = {
  truncated: "an answer that breaks off",
  garbled: "control characters, or text that was read in a wrong encoding",
  repetitive: "an answer that mostly repeats itself",
  leftover: "signs of a chat template, or a name of a role, in an answer",
  echo: "an answer that is the question",
} as const;
export type ChatRule = keyof typeof chatRules;

export const chatRuleNames = Object.keys(chatRules) as ChatRule[];

export type BrokenRule = { fault: ChatRule; detail: string };

const mostGarbledShare = 0.01;
const mostRepeatedShare = 0.8;
/** Shorter answers end without a full stop, and repeat themselves, as they like. */
const judgedFromCharacters = 80;
const repeatsFromCharacters = 400;

/** Words after which hardly a sentence ends. Capitals are left alone: "vitamin A", "Plan B or THE". */
const openWord = /(?:^|[\s,(])(?:an|and|because|or|the|their|which|your)$/;
/** Signs after which no sentence ends, in any script that has them. */
const openSign = /[,;:，；：、،؛–—([{（「『《-]$/;

function breaksOff(answer: string): string | undefined {
  const text = answer.trimEnd();
  const fences = text.match(/^[ \t]*```/gm)?.length ?? 0;
  if (fences % 2 === 1) return "a block of code has no end";
  if (text.length < judgedFromCharacters) return undefined;
  if (openWord.test(text) || openSign.test(text)) return `ends in ${JSON.stringify(text.slice(-20))}`;
  return undefined;
}

/** UTF-8 that was read as Latin letters: "Ã©" for "é", "ä½\u00a0" for "你". */
const misread = /Ã[\u0080-\u00bf]|Â[\u0080-\u00bf]|â€|ï¿½|[äåæçèé][\u0080-\u00bf‚-™][\u0080-\u00bf‚-™]/g;

function isMisread(text: string): boolean {
  const found = text.match(misread)?.length ?? 0;
  return found >= 2 && found * 50 > text.length / 4;
}

/** Control tokens of this and other templates, and names of roles that begin an answer. */
const templateSign =
  /<\|[a-z][a-z0-9_]{1,30}\|>|<\/?s>\s*$|\[\/?INST\]|<<\/?SYS>>|^###\s*(?:Instruction|Response|Input)s?:|(?<![\s\S])(?:assistant|gpt|chatgpt|human|助手|用户)\s*[:：]/im;

function ruleOfAnswer(question: string, answer: string): BrokenRule | undefined {
  const opened = breaksOff(answer);
  if (opened !== undefined) return { fault: "truncated", detail: opened };
  const sign = templateSign.exec(answer)?.[0];
  if (sign !== undefined) return { fault: "leftover", detail: `holds ${JSON.stringify(sign.trim())}` };
  if (answer.length >= repeatsFromCharacters && repeatedShare(answer) > mostRepeatedShare) {
    return { fault: "repetitive", detail: `over ${mostRepeatedShare * 100}% of it has come before` };
  }
  const isEcho = question.length >= judgedFromCharacters && question.trim() === answer.trim();
  return isEcho ? { fault: "echo", detail: "word for word" } : undefined;
}

/**
 * The first rule that a conversation breaks, of those asked for. Only the assistant's turns are judged, except for garbled text,
 * which nobody's turns may hold.
 */
export function brokenRule(messages: readonly ChatMessage[], rules: readonly ChatRule[]): BrokenRule | undefined {
  for (const [index, { role, content }] of messages.entries()) {
    if (rules.includes("garbled") && (garbledShare(content) > mostGarbledShare || isMisread(content))) {
      return { fault: "garbled", detail: `turn ${index}` };
    }
    if (role !== "assistant") continue;
    const broken = ruleOfAnswer(messages[index - 1]?.content ?? "", content);
    if (broken !== undefined && rules.includes(broken.fault)) return broken;
  }
  return undefined;
}
