/** Sorting, and work on the letters of a word; and, never trained on: the first letters of several words. */
import type { Draws } from "../random.ts";
import { otherThan, type TaskFamily } from "../task.ts";
import { plainWords } from "../vocabulary.ts";

/** Orders that are wrong by two exchanged places. */
function misordered(sorted: readonly string[], separator: string): string[] {
  return sorted.slice(1).map((_, at) => {
    const order = [...sorted];
    [order[at], order[at + 1]] = [order[at + 1]!, order[at]!];
    return order.join(separator);
  });
}

const byCode = (a: string, b: string) => (a < b ? -1 : 1);

const sorting: TaskFamily = {
  name: "sorting",
  isUnseen: false,
  languages: ["en", "zh"],
  make(draws, language) {
    const isNumbers = language === "zh" || draws.between(0, 1) === 0;
    const count = draws.between(3, 5);
    const separator = language === "zh" ? "、" : ", ";
    const items = isNumbers
      ? draws.sample(
          Array.from({ length: 99 }, (_, i) => String(i + 1)),
          count,
        )
      : draws.sample(plainWords, count);
    const sorted = [...items].sort(isNumbers ? (a, b) => Number(a) - Number(b) : byCode);
    const answer = sorted.join(separator);
    const shown = items.join(separator);
    const en = isNumbers ? `Sort from smallest to largest: ${shown}` : `Sort alphabetically: ${shown}`;
    return {
      question: language === "zh" ? `从小到大排列：${shown}` : en,
      answer,
      wrong: otherThan(answer, [...misordered(sorted, separator), shown]),
    };
  },
};

type LetterWork = { ask: (word: string) => string; solve: (word: string) => string };

const letterWork: readonly LetterWork[] = [
  { ask: (word) => `Spell "${word}" backwards.`, solve: (word) => [...word].reverse().join("") },
  { ask: (word) => `What is the first letter of "${word}"?`, solve: (word) => word[0]! },
  { ask: (word) => `What is the last letter of "${word}"?`, solve: (word) => word.at(-1)! },
  { ask: (word) => `How many letters does "${word}" have?`, solve: (word) => String(word.length) },
  { ask: (word) => `Write "${word}" in capital letters.`, solve: (word) => word.toUpperCase() },
];

/** What the same work makes of other words, or of the word a letter off. */
function wrongLetters(work: LetterWork, word: string, draws: Draws): string[] {
  const others = draws.sample(plainWords, 3).map(work.solve);
  return otherThan(work.solve(word), [
    work.solve(`${word.slice(0, -2)}${word.at(-1)}`),
    work.solve(`${word}s`),
    ...others,
  ]);
}

const letters: TaskFamily = {
  name: "letters",
  isUnseen: false,
  languages: ["en"],
  make(draws) {
    const work = draws.pick(letterWork);
    const word = draws.pick(plainWords);
    return { question: work.ask(word), answer: work.solve(word), wrong: wrongLetters(work, word, draws) };
  },
};

const initials: TaskFamily = {
  name: "initials",
  isUnseen: true,
  languages: ["en"],
  make(draws) {
    const words = draws.sample(plainWords, draws.between(3, 4));
    const answer = words.map((word) => word[0]!.toUpperCase()).join("");
    return {
      question: `Write the first letters of these words as one word in capitals: ${words.join(" ")}`,
      answer,
      wrong: otherThan(answer, [
        words.map((word) => word.at(-1)!.toUpperCase()).join(""),
        answer.slice(0, -1),
        [...answer].reverse().join(""),
        `${answer}S`,
      ]),
    };
  },
};

export const wordFamilies: readonly TaskFamily[] = [sorting, letters, initials];
