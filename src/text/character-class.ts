/** What the split pattern tells apart. The values are used as numbers in the inner loop of the splitter. */
export const characterClass = { unknown: 0, letter: 1, number: 2, space: 3, lineEnd: 4, other: 5 } as const;

// Filled as code points are met: most texts use few of the 1.1 million, and asking the regular expression is slow.
const known = new Uint8Array(0x110000);

/**
 * Letters and numbers of Unicode 17 (first and last of each range), which Node knows and the encoder of the
 * `tokenizers` package does not yet: to it they are symbols, and training must split as encoding will.
 */
const newerThanEncoder: readonly (readonly [number, number])[] = [
  [0x88f, 0x88f],
  [0xc5c, 0xc5c],
  [0xcdc, 0xcdc],
  [0xa7ce, 0xa7cf],
  [0xa7d2, 0xa7d2],
  [0xa7d4, 0xa7d4],
  [0xa7f1, 0xa7f1],
  [0x10940, 0x10959],
  [0x10ec5, 0x10ec7],
  [0x11db0, 0x11de9],
  [0x16ea0, 0x16ed3],
  [0x16ff2, 0x16ff6],
  [0x187f8, 0x187ff],
  [0x18d09, 0x18d1e],
  [0x18d80, 0x18df2],
  [0x1e6c0, 0x1e6ff],
  [0x2b73a, 0x2b73f],
  [0x2cea2, 0x2cead],
  [0x323b0, 0x33479],
];

/** Whether a character is so new that the encoder takes it for a symbol, whatever it is. */
export function isNewerThanEncoder(codePoint: number): boolean {
  return newerThanEncoder.some(([first, last]) => codePoint >= first && codePoint <= last);
}

/** Class of a code point: `\p{L}`, `\p{N}`, CR or LF, other White_Space, or anything else. */
export function classOf(codePoint: number): number {
  return known[codePoint]! || classify(codePoint);
}

function classify(codePoint: number): number {
  const character = String.fromCodePoint(codePoint);
  let result: number = characterClass.other;
  if (isNewerThanEncoder(codePoint)) result = characterClass.other;
  else if (/\p{L}/u.test(character)) result = characterClass.letter;
  else if (/\p{N}/u.test(character)) result = characterClass.number;
  else if (codePoint === 0x0a || codePoint === 0x0d) result = characterClass.lineEnd;
  else if (/\p{White_Space}/u.test(character)) result = characterClass.space;
  known[codePoint] = result;
  return result;
}
