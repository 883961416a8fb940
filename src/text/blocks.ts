import { characterClass, classOf } from "./character-class.ts";

/** Code units of one block; a block may be longer where the text offers no place to cut. */
const blockCharacters = 1 << 18;

// Symbols that follow a letter without ever combining with it: ASCII, and the punctuation of Chinese and Japanese.
const plainCjkPunctuation = new Set([..."、。，！？：；（）「」『』《》"].map((character) => character.charCodeAt(0)));

/**
 * Whether the text may be cut before `index` without changing any token: the split pattern ends a piece there whatever
 * surrounds it, and nothing on the two sides composes under NFC. True after a line feed that text follows, and between
 * a letter and a plain symbol, digit or space.
 */
function isSafeCut(text: string, index: number): boolean {
  const before = text.charCodeAt(index - 1);
  const after = text.charCodeAt(index);
  if (before === 0x0a) return after > 0x20 && after < 0x7f;
  if (classOf(before) !== characterClass.letter) return false;
  return after < 0x80 ? classOf(after) !== characterClass.letter : plainCjkPunctuation.has(after);
}

/** Cuts a text into blocks whose encodings, one after the other, are the encoding of the text. */
export function* splitForEncoding(text: string, targetCharacters: number = blockCharacters): Generator<string> {
  let start = 0;
  while (text.length - start > targetCharacters) {
    let cut = start + targetCharacters;
    while (cut < text.length && !isSafeCut(text, cut)) cut++;
    if (cut === text.length) break;
    yield text.slice(start, cut);
    start = cut;
  }
  if (start < text.length) yield text.slice(start);
}
