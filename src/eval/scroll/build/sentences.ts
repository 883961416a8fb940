/** Sentences of a document that a question can be made of. */
import type { Draws } from "../../../tasks/random.ts";
import type { ScrollSource, Span } from "./source.ts";

export type Sentence = Span & { text: string };

/** Characters, and how many of them have to be letters, digits or spaces. */
const limits = {
  en: { least: 45, most: 260, letters: 0.85 },
  zh: { least: 16, most: 120, letters: 0.75 },
} as const;

/** A sentence that says something: whole, no row of a table, no code, no line of a list or of a table of contents. */
function isProse(text: string, language: "en" | "zh"): boolean {
  const { least, most, letters: share } = limits[language];
  if (text.length < least || text.length > most || / \| |\.{4,}|[{}<>\\=$#@~^•]|::|\/\/|--/.test(text)) return false;
  const letters = text.match(/[\p{L}\p{N}\s]/gu)?.length ?? 0;
  if (letters < share * text.length) return false;
  return language === "zh"
    ? /^[\p{L}“《].*[。！？]$/u.test(text) && (text.match(/\p{Script=Han}/gu)?.length ?? 0) > 0.5 * text.length
    : /^[A-Z"“].*[.!?]["”]?$/.test(text) && text.split(" ").length >= 8;
}

/** Whether a sentence can begin there: after another one or at the start of a paragraph, not where a page's line was broken. */
function canBegin(text: string, start: number): boolean {
  const before = text.slice(Math.max(0, start - 8), start);
  return start === 0 || /\n\s*\n\s*$/.test(before) || /[.!?:。！？：；]["”’)）]?\s*$/.test(before);
}

/** Every such sentence that the document has once only, in its order, each on one line of it. */
export function sentencesOf({ text, language }: Pick<ScrollSource, "text" | "language">): Sentence[] {
  const found: Sentence[] = [];
  const seen = new Map<string, number>();
  const end = language === "zh" ? /[^。！？\n]*[。！？]|[^\n]*\n/gu : /[^\n]*?[.!?]["”]?(?=\s|$)|[^\n]*\n/gu;
  for (const { 0: raw, index } of text.matchAll(end)) {
    const trimmed = raw.trim();
    const start = index + raw.indexOf(trimmed);
    if (!isProse(trimmed, language) || !canBegin(text, start)) continue;
    seen.set(trimmed, (seen.get(trimmed) ?? 0) + 1);
    found.push({ text: trimmed, start, end: start + trimmed.length });
  }
  return found.filter((one) => seen.get(one.text) === 1);
}

/** `count` items spread over a list: one from each of as many stretches of it, so that questions go through the whole document. */
export function spreadOver<Item>(items: readonly Item[], count: number, draws: Draws): Item[] {
  const stretches = Math.min(count, items.length);
  return Array.from({ length: stretches }, (_, index) => {
    const [from, to] = [index, index + 1].map((at) => Math.floor((at * items.length) / stretches)) as [number, number];
    return items[draws.between(from, to - 1)]!;
  });
}

/** A number that counts or measures something: no part of a name, a version, a date or a path, and in no brackets. */
const countingNumber = {
  en: /(?<![\p{L}\p{N}.,:/_([–-])(?!0)\d[\d,]*(?:\.\d+)?(?=%|\s(?!(?:to|or|and|of|in|is|are|was|for|with|from|man|manual|the|by|on|at|as)\b)[a-z]{2})/gu,
  zh: /(?<![A-Za-z\p{N}.,:/_([（–-])(?!0)\d[\d,]*(?:\.\d+)?(?=%|\s?(?![和或与的及到至])\p{Script=Han})/gu,
} as const;

/** What stands before a number that only points somewhere: "Section 4", "version 2", "第 4 节". */
const pointers =
  /(?:\b(?:sections?|chapters?|tables?|figures?|appendix|version|release|step|page|part|level|runlevel|rfc|no\.?)|第)\s*$/iu;

/** The number of a sentence that has but one, and the sentence with a gap for it. */
export function gapNumber(sentence: string, language: "en" | "zh"): { number: string; gapped: string } | null {
  const [match] = sentence.matchAll(countingNumber[language]);
  if (!match) return null;
  const number = match[0];
  const [before, after] = [sentence.slice(0, match.index), sentence.slice(match.index + number.length)];
  if (pointers.test(before) || /\d/.test(before + after)) return null;
  return { number, gapped: `${before}____${after}` };
}

/** A term in quotation marks, and the sentence with a gap for it. */
export function gapTerm(sentence: string): { term: string; gapped: string } | null {
  const match = /[“"「《]([^“”"「」《》\n]{2,40})[”"」》]/u.exec(sentence);
  if (!match) return null;
  const term = match[1]!;
  if (/^[\s\p{P}]|[\s\p{P}]$/u.test(term)) return null;
  const gapped = sentence.replace(match[0], match[0].replace(term, "____"));
  return gapped.includes(term) ? null : { term, gapped };
}
