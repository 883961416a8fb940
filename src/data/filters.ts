/** Rules that drop documents no model should learn from. Each looks at one document only, so order does not matter. */
import type { FilterOptions } from "./options.ts";

/** Why a document was dropped. */
export const dropReasons = {
  duplicate: "the same text has come before",
  tooShort: "shorter than the least length",
  tooLong: "longer than the greatest length",
  longLine: "has a line that is too long",
  longWord: "has a run of ASCII without a space that is too long",
  garbled: "too many control or replacement characters",
  repetitive: "mostly repeats itself",
} as const;

export type DropReason = keyof typeof dropReasons;

/** Length of the longest stretch between matches of a separator's code. */
function longestLine(text: string): number {
  let longest = 0;
  let start = 0;
  for (let end = text.indexOf("\n"); end !== -1; end = text.indexOf("\n", start)) {
    longest = Math.max(longest, end - start);
    start = end + 1;
  }
  return Math.max(longest, text.length - start);
}

function characterFacts(text: string): { garbled: number; longestWord: number } {
  let garbled = 0;
  let word = 0;
  let longestWord = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 0x20 && code < 0x7f) {
      word++;
      continue;
    }
    if (word > longestWord) longestWord = word;
    word = 0;
    const isSpace = code === 0x20 || (code >= 0x09 && code <= 0x0d);
    if (!isSpace && (code < 0x20 || (code >= 0x7f && code < 0xa0) || code === 0xfffd)) garbled++;
  }
  return { garbled, longestWord: Math.max(longestWord, word) };
}

/** Share of control and replacement characters. */
export function garbledShare(text: string): number {
  return text === "" ? 0 : characterFacts(text).garbled / text.length;
}

const STRETCH = 12;
const LOOKED_AT = 1 << 18;
/** 31¹², modulo 2³². */
const OUTGOING = Array.from({ length: STRETCH }).reduce((power: number) => Math.imul(power, 31), 1);

/**
 * Share of the stretches of 12 characters (of the first 262,144) that have come before in the text: about 0.1 for
 * prose, above 0.9 for text pasted many times. Stretches are compared by a rolling hash in a bit set of 16 bits a
 * stretch, so 3% of new ones are taken for old ones; it works for any script and needs no words.
 */
export function repeatedShare(text: string): number {
  const length = Math.min(text.length, LOOKED_AT);
  const total = length - STRETCH + 1;
  if (total < 1) return 0;
  const bits = Math.max(10, Math.ceil(Math.log2(total)) + 4);
  const seen = new Uint32Array(2 ** (bits - 5));
  let hash = 0;
  let fresh = 0;
  for (let i = 0; i < length; i++) {
    hash = (Math.imul(hash, 31) + text.charCodeAt(i)) | 0;
    if (i >= STRETCH) hash = (hash - Math.imul(OUTGOING, text.charCodeAt(i - STRETCH))) | 0;
    if (i < STRETCH - 1) continue;
    // The upper bits of a product depend on all bits of the hash.
    const slot = Math.imul(hash, 0x9e3779b1) >>> (32 - bits);
    const mask = 1 << (slot & 31);
    if ((seen[slot >>> 5]! & mask) !== 0) continue;
    seen[slot >>> 5]! |= mask;
    fresh++;
  }
  return 1 - fresh / total;
}

/** The first rule that a document breaks, or null when it may stay. Lengths are in UTF-16 units. */
export function filterReason(text: string, filters: FilterOptions): DropReason | null {
  if (text.length < filters.minCharacters) return "tooShort";
  if (text.length > filters.maxCharacters) return "tooLong";
  if (longestLine(text) > filters.maxLineCharacters) return "longLine";
  const { garbled, longestWord } = characterFacts(text);
  if (longestWord > filters.maxWordCharacters) return "longWord";
  if (garbled > filters.maxGarbledShare * text.length) return "garbled";
  return repeatedShare(text) > filters.maxRepeatedShare ? "repetitive" : null;
}
