/** Arithmetic, bare and in words; and, never trained on: the largest of several numbers, and how a sequence goes on. */
import type { Draws } from "../random.ts";
import { nearNumbers, otherThan, type TaskDraft, type TaskFamily, type TaskLanguage } from "../task.ts";
import { people, things } from "../vocabulary.ts";

const numeric = (question: string, answer: number, draws: Draws): TaskDraft => ({
  question,
  answer: String(answer),
  wrong: nearNumbers(answer, draws),
});

const bilingual = (language: TaskLanguage, en: string, zh: string) => (language === "en" ? en : zh);

/** An operation, its operands, and its result, all whole. */
function operation(draws: Draws): { text: string; result: number } {
  switch (draws.between(0, 3)) {
    case 0: {
      const [a, b] = [draws.between(1, 99), draws.between(1, 99)];
      return { text: `${a} + ${b}`, result: a + b };
    }
    case 1: {
      const [a, b] = [draws.between(1, 99), draws.between(1, 99)];
      return { text: `${Math.max(a, b)} - ${Math.min(a, b)}`, result: Math.abs(a - b) };
    }
    case 2: {
      const [a, b] = [draws.between(2, 12), draws.between(2, 19)];
      return { text: `${a} × ${b}`, result: a * b };
    }
    default: {
      const [a, b] = [draws.between(2, 12), draws.between(2, 19)];
      return { text: `${a * b} ÷ ${a}`, result: b };
    }
  }
}

const arithmetic: TaskFamily = {
  name: "arithmetic",
  isUnseen: false,
  languages: ["en", "zh"],
  make(draws, language) {
    const { text, result } = operation(draws);
    const en = draws.pick([`What is ${text}?`, `Compute ${text}.`, `${text} = ?`]);
    return numeric(bilingual(language, en, `${text} 等于多少？`), result, draws);
  },
};

const wordProblems: TaskFamily = {
  name: "word-problems",
  isUnseen: false,
  languages: ["en", "zh"],
  make(draws, language) {
    const [one, other] = draws.sample(people[language], 2);
    const what = draws.pick(things[language]);
    const [a, b] = [draws.between(11, 60), draws.between(2, 10)];
    switch (draws.between(0, 3)) {
      case 0:
        return numeric(
          bilingual(
            language,
            `${one} has ${a} ${what} and gets ${b} more from ${other}. How many ${what} does ${one} have now?`,
            `${one}有${a}个${what}，${other}又给了${b}个。${one}现在有几个${what}？`,
          ),
          a + b,
          draws,
        );
      case 1:
        return numeric(
          bilingual(
            language,
            `${one} has ${a} ${what} and gives ${b} of them to ${other}. How many ${what} are left?`,
            `${one}有${a}个${what}，给了${other}${b}个。还剩几个${what}？`,
          ),
          a - b,
          draws,
        );
      case 2:
        return numeric(
          bilingual(
            language,
            `There are ${b} boxes with ${a} ${what} in each. How many ${what} are there in all?`,
            `有${b}个箱子，每个箱子里有${a}个${what}。一共有几个${what}？`,
          ),
          a * b,
          draws,
        );
      default:
        return numeric(
          bilingual(
            language,
            `${one} shares ${a * b} ${what} equally among ${b} friends. How many ${what} does each friend get?`,
            `${one}把${a * b}个${what}平均分给${b}个朋友。每个朋友得到几个${what}？`,
          ),
          a,
          draws,
        );
    }
  },
};

const comparison: TaskFamily = {
  name: "comparison",
  isUnseen: true,
  languages: ["en", "zh"],
  make(draws, language) {
    const numbers = Array.from({ length: draws.between(3, 5) }, (_, i) => 10 * draws.between(1, 99) + i);
    const shown = draws.shuffle(numbers);
    const largest = draws.between(0, 1) === 1;
    const answer = String(largest ? Math.max(...numbers) : Math.min(...numbers));
    return {
      question: bilingual(
        language,
        `Which of these numbers is the ${largest ? "largest" : "smallest"}: ${shown.join(", ")}?`,
        `下面哪个数最${largest ? "大" : "小"}：${shown.join("、")}？`,
      ),
      answer,
      wrong: otherThan(answer, shown),
    };
  },
};

const progressions: TaskFamily = {
  name: "progressions",
  isUnseen: true,
  languages: ["en", "zh"],
  make(draws, language) {
    const [start, by] = [draws.between(1, 40), draws.between(2, 12)];
    const shown = Array.from({ length: 4 }, (_, i) => start + i * by);
    return numeric(
      bilingual(language, `Which number comes next: ${shown.join(", ")}?`, `下一个数是多少：${shown.join("、")}？`),
      start + 4 * by,
      draws,
    );
  },
};

export const numberFamilies: readonly TaskFamily[] = [arithmetic, wordProblems, comparison, progressions];
