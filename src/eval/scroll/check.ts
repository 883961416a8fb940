/** Answers that need no judge: a number, or a text that has to be there. */
import type { Check } from "./record.ts";

/** Digits as people write them: full-width forms, thousands separators, a sign, a decimal part. */
const numberPattern = /[-−]?\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|[-−]?\d+(?:\.\d+)?/g;

/** Every number of a text, in its order. */
export function numbersIn(text: string): number[] {
  const narrow = text.normalize("NFKC");
  return [...narrow.matchAll(numberPattern)].map(({ 0: found, index }) => {
    // the dash of "2019-2020" is no sign
    const isSigned = /^[-−]/.test(found) && !/[\p{L}\p{N}]/u.test(narrow[index - 1] ?? " ");
    const digits = Number(found.replace(/[^\d.]/g, ""));
    return isSigned ? -digits : digits;
  });
}

/** Whether two numbers are the same as far as they are written: 3.14 is 3.140, and 1e-9 of their size is nothing. */
const isSame = (a: number, b: number) => Math.abs(a - b) <= 1e-9 * Math.max(1, Math.abs(a), Math.abs(b));

const plain = (text: string) =>
  text
    .normalize("NFKC")
    .toLowerCase()
    .replace(/[\s"'“”‘’「」《》`*_]+/gu, " ")
    .trim();

/**
 * 1 for a right answer, 0 for a wrong one. A number counts where it is the first or the last of the answer: a reply that names every
 * number of the document is no answer.
 */
export function checkAnswer(check: Check, answer: string): 0 | 1 {
  if (check.type === "text") {
    const said = plain(answer);
    return check.accepted.some((one) => said.includes(plain(one))) ? 1 : 0;
  }
  if (check.type === "choice") {
    const [letter] = answer.normalize("NFKC").match(/(?<![A-Za-z])[A-Z](?![A-Za-z'’])/) ?? [];
    return letter === check.letter ? 1 : 0;
  }
  const numbers = numbersIn(answer);
  const ends = numbers.length > 0 ? [numbers[0]!, numbers.at(-1)!] : [];
  return ends.some((one) => isSame(one, check.value)) ? 1 : 0;
}
