/** Texts as sets of short sequences of words, by which overlap is measured; characters where a script has no spaces. */
import { fmix32 } from "../../base/random.ts";

const unspaced = String.raw`\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Thai}\p{sc=Lao}\p{sc=Khmer}\p{sc=Myanmar}`;
/** A character of such a script; a run of other letters and digits; a sign between numbers. */
const tokenPattern = new RegExp(
  String.raw`[${unspaced}]|[[\p{L}\p{M}\p{N}]--[${unspaced}]]+|(?<=[\d\)]\s?)[\-+*\/×÷=<>^%](?=\s?[\d\(])`,
  "gv",
);
const unspacedPattern = new RegExp(`^[${unspaced}]`, "v");

/** Tokens of a sequence by the script it begins with. */
export type GramSizes = { words: number; characters: number };

/** Lower case, without accents' variants, marks and spaces. A text of marks or emoji alone is its characters. */
export function tokensOf(text: string): string[] {
  const plain = text.normalize("NFKC").toLowerCase();
  return plain.match(tokenPattern) ?? [...plain.replace(/\s+/g, "")];
}

function hashToken(token: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < token.length; i++) hash = Math.imul(hash ^ token.charCodeAt(i), 0x01000193);
  return fmix32(hash);
}

/**
 * [positions] A hash of the sequence that begins at each token, in 32 bits. Fewer tokens than a sequence has are one
 * sequence; no tokens, none.
 */
export function gramHashes(tokens: readonly string[], sizes: GramSizes): Uint32Array {
  const hashes = Uint32Array.from(tokens, hashToken);
  const grams: number[] = [];
  for (let at = 0; at < tokens.length; at++) {
    const size = unspacedPattern.test(tokens[at]!) ? sizes.characters : sizes.words;
    if (at + size > tokens.length && at > 0) continue;
    let gram = size;
    for (let i = at; i < Math.min(at + size, tokens.length); i++) gram = fmix32(Math.imul(gram, 31) + hashes[i]!);
    grams.push(gram);
  }
  return Uint32Array.from(grams);
}

/** 52 bits of a text: the order of its tokens counts, case and marks do not. */
export function textHash(text: string): number {
  let [high, low] = [1, 2];
  for (const token of tokensOf(text)) {
    const hash = hashToken(token);
    high = fmix32(Math.imul(high, 31) + hash);
    low = fmix32(Math.imul(low, 33) ^ hash);
  }
  return high * 2 ** 20 + (low >>> 12);
}
