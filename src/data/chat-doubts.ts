/** What looks wrong in a record and may be right: for a person to look at, never a reason to leave it out. */
import type { ChatMessage } from "../text/chat-template.ts";

export const chatDoubts = {
  noEnd: "a long answer that ends without the end of a sentence",
  refusal: "an answer that declines to answer",
  otherScript: "an answer in another script than its question",
  personal: "what looks like an address of mail, a number of a card, or a key",
} as const;
export type ChatDoubt = keyof typeof chatDoubts;

const judgedFromCharacters = 200;

const refusal =
  /\bas an? (?:ai|artificial|large)\b.{0,40}\b(?:model|assistant|intelligence)\b|\bI(?:'m| am) (?:sorry|unable)\b.{0,80}\b(?:can(?:no|')t|unable|not able)\b|作为(?:一个|一名)?(?:人工智能|AI|语言模型)|抱歉.{0,10}(?:无法|不能)/i;
// where a word begins, and no further than an address goes: long texts without spaces would else be gone through for each of their letters
const personal =
  /(?<![\w.+-])[\w.+-]{2,64}@[\w-]{1,63}\.[a-z]{2,}|\b(?:\d[ -]?){13,16}\b|\b(?:sk|pk|ghp|hf)[-_][A-Za-z0-9_-]{20}/i;

/** Scripts of which a text may hold some words, of which one is that of its sentences. */
const scripts = ["Latin", "Han", "Cyrillic", "Arabic", "Devanagari", "Hangul", "Kana"] as const;
const patterns = scripts.map((name) => ({
  name,
  pattern: name === "Kana" ? /[\p{Script=Hiragana}\p{Script=Katakana}]/gu : new RegExp(`\\p{Script=${name}}`, "gu"),
}));

/** The script of most letters, where there are enough to tell. Japanese is written in Han and kana. */
function scriptOf(text: string): string | undefined {
  const counts = patterns.map(({ name, pattern }) => ({ name, count: text.match(pattern)?.length ?? 0 }));
  const most = counts.reduce((best, one) => (one.count > best.count ? one : best));
  const total = counts.reduce((sum, { count }) => sum + count, 0);
  if (total < 20 || most.count < 0.7 * total) return undefined;
  return most.name === "Kana" ? "Han" : most.name;
}

/** The first doubt about the last answer; undefined where there is none. */
export function doubtOf(messages: readonly ChatMessage[]): { doubt: ChatDoubt; detail: string } | undefined {
  const answer = messages.at(-1)?.content ?? "";
  const question = messages.at(-2)?.content ?? "";
  const refused = refusal.exec(answer)?.[0];
  if (refused !== undefined && answer.length < 1000) return { doubt: "refusal", detail: JSON.stringify(refused) };
  const found = personal.exec(answer)?.[0];
  if (found !== undefined) return { doubt: "personal", detail: JSON.stringify(found.slice(0, 30)) };
  const [asked, answered] = [scriptOf(question), scriptOf(answer)];
  if (asked !== undefined && answered !== undefined && asked !== answered) {
    return { doubt: "otherScript", detail: `asked in ${asked}, answered in ${answered}` };
  }
  const lastLine = answer.trimEnd().split("\n").at(-1) ?? "";
  const isProse = /\p{L}$/u.test(lastLine) && lastLine.length > judgedFromCharacters;
  return isProse ? { doubt: "noEnd", detail: `ends in ${JSON.stringify(lastLine.slice(-20))}` } : undefined;
}
