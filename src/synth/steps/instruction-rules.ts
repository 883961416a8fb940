/** What can be seen of an instruction without asking anybody. */
import type { Rejection, SynthStep } from "../record.ts";

const shortest = 4;
const longest = 8000;
/** Rows of numbers and signs ask for nothing; sums in words have more letters than this. */
const leastLetters = 0.25;

const refusal =
  /^\W*(?:i(?:'|’)?m sorry|i am sorry|sorry,|i cannot|i can(?:'|’)t|as an ai\b|抱歉|对不起|很抱歉|作为(?:一个|一名)?(?:ai|人工智能))/iu;
const source =
  /\b(?:the|this|given|provided|above|following|preceding) (?:passage|article|excerpt|paragraph)\b|\b(?:according to|in|from|of) the (?:given |provided |above )?(?:text|document|author)\b|(?:这篇|该|上述|以上|下面的|给定的|原)(?:文章|短文|段落|文本|文段|文)|文中|本文|上文|根据(?:文章|段落|短文|原文)/iu;
const prompt =
  /<\/?(?:passage|instruction|old|new)\b|\b(?:rewritten|evolved|new|old) (?:instruction|prompt)\b|\bgiven (?:instruction|prompt)\b|改写后的(?:指令|问题)|给定的指令/iu;

/** Scripts as Unicode names them, by what ISO 15924 calls those that are several. */
const scripts: Readonly<Record<string, string>> = {
  Hans: String.raw`\p{Script=Han}`,
  Hant: String.raw`\p{Script=Han}`,
  Jpan: String.raw`[\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Han}]`,
  Kore: String.raw`\p{Script=Hangul}`,
};

/** A letter of the script that a language is mostly written in; undefined for a language of no known script. */
function lettersOf(language: string): { pattern: RegExp; script: string } | undefined {
  const script = /^[a-z]{2,3}$/.test(language) ? new Intl.Locale(language).maximize().script : undefined;
  if (script === undefined) return undefined;
  return { pattern: new RegExp(scripts[script] ?? String.raw`\p{Script=${script}}`, "u"), script };
}

/** Whether most of the letters could be of the language; terms and code of other scripts are common in all of them. */
export function couldBeOf(language: string, text: string): boolean {
  const letters = [...text.matchAll(/\p{Letter}/gu)].map(([letter]) => letter);
  const spoken = lettersOf(language);
  if (letters.length === 0 || spoken === undefined) return true;
  const own = letters.filter((letter) => spoken.pattern.test(letter)).length / letters.length;
  return own >= (spoken.script === "Latn" ? 0.5 : 0.2);
}

function share(text: string, pattern: RegExp): number {
  const count = (one: RegExp) => text.match(one)?.length ?? 0;
  return count(pattern) / Math.max(1, count(/\S/gu));
}

export type InstructionFacts = { language: string; hasPassage: boolean };

/** Why an instruction cannot stay, or undefined. */
export function instructionFault(
  instruction: string,
  { language, hasPassage }: InstructionFacts,
  step: SynthStep,
): Rejection | undefined {
  const text = instruction.trim();
  const fault = (reason: string, detail: string): Rejection => ({ step, reason, detail });
  if (text.length < shortest) return fault("empty", `${text.length} characters`);
  if (text.length > longest) return fault("too-long", `${text.length} characters`);
  if (!text.isWellFormed()) return fault("malformed", "half of a surrogate pair");
  const letters = share(text, /\p{Letter}/gu);
  if (letters < leastLetters) return fault("few-words", `${Math.round(100 * letters)}% of it are letters`);
  const [refused] = refusal.exec(text) ?? [];
  if (refused !== undefined) return fault("refusal", refused);
  const [aboutPrompt] = prompt.exec(text) ?? [];
  if (aboutPrompt !== undefined) return fault("refers-to-prompt", aboutPrompt);
  const [aboutSource] = hasPassage ? [] : (source.exec(text) ?? []);
  if (aboutSource !== undefined) return fault("refers-to-source", aboutSource);
  if (!couldBeOf(language, text)) return fault("wrong-language", `not ${language}`);
  return undefined;
}
