/** What makes an answer useless whatever it says, seen without a model: the rules for chat data, and what endpoints do besides. */
import { brokenRule, chatRuleNames } from "../../data/chat-rules.ts";
import type { SynthAnswer, SynthRecord } from "../record.ts";
import type { FilterReason } from "./reasons.ts";

/** Length in characters from which a text shows whether it is prose. */
const shortCharacters = 200;
/** An answer longer than this may well speak of what cannot be done. */
const longestRefusal = 600;

const refusals = [
  /^\W*(?:i['’]?m |i am )?(?:sorry|afraid)\b.{0,60}\b(?:can(?:no|['’])?t|unable|not able|won['’]t|as an ai)/i,
  /\b(?:i|we) (?:cannot|can['’]t|am unable to|am not able to|won['’]t|will not|must decline to) (?:\w+ )?(?:help|assist|answer|comply|provide|fulfil+|do that|complete|respond|discuss|share|create|generate)/i,
  /\bas an? (?:ai|artificial intelligence|language model|assistant)\b.{0,80}\b(?:cannot|can['’]t|unable|don['’]t|not able|do not)/i,
  /(?:抱歉|对不起|很遗憾).{0,20}(?:无法|不能|不可以|没办法)/,
  /(?:我|本人)(?:无法|不能)(?:回答|提供|帮助|协助|完成|满足)/,
  /作为(?:一个|一名)?(?:人工智能|AI|语言模型).{0,30}(?:无法|不能)/i,
];

export type Fault = { reason: FilterReason; detail: string };

/** The first rule that an answer breaks, or undefined. */
export function faultOf(
  answer: SynthAnswer,
  record: Pick<SynthRecord, "instruction" | "answerKind">,
): Fault | undefined {
  const text = answer.text.trim();
  const isHeldBack = answer.finishReason === "content_filter";
  if (isHeldBack) return { reason: "refused", detail: "held back by the server" };
  if (text === "") return { reason: "empty", detail: `ended by ${JSON.stringify(answer.finishReason)}` };
  if (answer.finishReason === "length") return { reason: "truncated", detail: `cut at the limit: …${text.slice(-60)}` };
  const beginning = text.slice(0, longestRefusal / 2);
  if (text.length < longestRefusal && refusals.some((pattern) => pattern.test(beginning)))
    return { reason: "refused", detail: beginning.slice(0, 120) };
  const { instruction, answerKind } = record;
  const turns = [
    { role: "user", content: instruction },
    { role: "assistant", content: text },
  ] as const;
  const broken = brokenRule(turns, chatRuleNames);
  if (broken) return { reason: broken.fault, detail: broken.detail };
  if (answerKind === "text" && stopsInSentence(text)) return { reason: "truncated", detail: `…${text.slice(-60)}` };
  return undefined;
}

/** Prose of several sentences whose last one has no end. Lists, formulas and verses end as they like. */
function stopsInSentence(text: string): boolean {
  if (text.length < shortCharacters) return false;
  const paragraph = text.slice(text.lastIndexOf("\n") + 1);
  const isProse = /[.!?。！？]["'”’)）」』]*\s*\S/u.test(paragraph) && !/^\s*(?:[-*#>|+]|\d+[.)、])/.test(paragraph);
  return isProse && /[\p{L}\p{N}]$/u.test(text);
}
