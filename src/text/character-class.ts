/** What the split pattern tells apart. The values are used as numbers in the inner loop of the splitter. */
export const characterClass = { unknown: 0, letter: 1, number: 2, space: 3, lineEnd: 4, other: 5 } as const;

// Filled as code points are met: most texts use few of the 1.1 million, and asking the regular expression is slow.
const known = new Uint8Array(0x110000);

/** Class of a code point: `\p{L}`, `\p{N}`, CR or LF, other White_Space, or anything else. */
export function classOf(codePoint: number): number {
  return known[codePoint]! || classify(codePoint);
}

function classify(codePoint: number): number {
  const character = String.fromCodePoint(codePoint);
  let result: number = characterClass.other;
  if (/\p{L}/u.test(character)) result = characterClass.letter;
  else if (/\p{N}/u.test(character)) result = characterClass.number;
  else if (codePoint === 0x0a || codePoint === 0x0d) result = characterClass.lineEnd;
  else if (/\p{White_Space}/u.test(character)) result = characterClass.space;
  known[codePoint] = result;
  return result;
}
