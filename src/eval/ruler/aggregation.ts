/** Tasks over the whole text: the words that come most often in a list, and the coded words that do in a stream. */
import { Draws } from "../../tasks/random.ts";
import type { Draft, DraftContext, HaystackLanguage, LongPrompt, RulerTask } from "./item.ts";
import { distinctNames, plainWords } from "./vocabulary.ts";

type WordCounts = { common: number; other: number };

type WordScale = WordCounts & { numCommon: number; example?: WordCounts & { numOthers: number } };

/** How often a common and another word come, and in the solved list in front. RULER has the first from 4,096 tokens up, else the second. */
const commonWordScales: readonly WordScale[] = [
  { numCommon: 10, common: 30, other: 3, example: { common: 10, other: 3, numOthers: 30 } },
  { numCommon: 10, common: 6, other: 1, example: { common: 3, other: 1, numOthers: 10 } },
  { numCommon: 10, common: 4, other: 1 },
  { numCommon: 10, common: 2, other: 1 },
  { numCommon: 5, common: 2, other: 1 },
];
const leastLengthOfFirstScale = 4096;

/** Words that come seldom, at the least. */
const leastOthers = 5;

type Wording = { start: string; question(count: number): string; answerPrefix(count: number): string };

const commonWords: Record<HaystackLanguage, Wording> = {
  en: {
    start: "Here is a numbered list of words. Some of them come more often than others. Remember which.",
    question: (count) => `What are the ${count} words that come most often in the list above?`,
    answerPrefix: (count) => ` The ${count} words that come most often in the list are:`,
  },
  zh: {
    start: "下面是一个编号的词语列表，有些词比其他词出现得更多，请记住它们。",
    question: (count) => `上面的列表里出现最多的${count}个词是什么？`,
    answerPrefix: (count) => `列表里出现最多的${count}个词是：`,
  },
};

/** Every word once, in random order. Where plain words would not do, all of them are pairs, so that none is told by its form. */
function wordList(draws: Draws, language: HaystackLanguage, length: number): () => string {
  const words = draws.shuffle([...new Set(plainWords[language])]);
  const needed = 50 + length / 12; // a word that comes three times takes 12 tokens at the least
  const pair = distinctNames(draws, language);
  const remaining = (needed <= words.length ? words : []).values();
  return () => remaining.next().value ?? pair();
}

function numberedList(draws: Draws, entries: readonly string[]): string {
  return draws
    .shuffle(entries)
    .map((word, index) => `${index + 1}. ${word}`)
    .join(" ");
}

const repeat = (words: readonly string[], times: number) => words.flatMap((word) => Array<string>(times).fill(word));

const numberedAnswer = (words: readonly string[]) => words.map((word, index) => `${index + 1}. ${word}`).join(" ");

function draftCommonWords(scale: WordScale, { draws, language, length }: DraftContext): Draft {
  const word = wordList(draws, language, length);
  const take = (count: number) => Array.from({ length: count }, () => word());
  const { numCommon } = scale;
  const { start, ...words } = commonWords[language];
  const [question, answerPrefix] = [words.question(numCommon), words.answerPrefix(numCommon)];
  let solved = "";
  if (scale.example) {
    const common = take(numCommon);
    const others = repeat(take(scale.example.numOthers), scale.example.other);
    const entries = [...repeat(common, scale.example.common), ...others];
    solved = `${start}\n${numberedList(draws, entries)}\n${question}${answerPrefix} ${numberedAnswer(common)}\n\n`;
  }
  const answers = take(numCommon);
  const others: string[] = [];
  const order = draws.between(0, 2 ** 31 - 1);
  return (units): LongPrompt => {
    const numOthers = leastOthers + units;
    while (others.length < numOthers) others.push(word());
    const entries = [...repeat(answers, scale.common), ...repeat(others.slice(0, numOthers), scale.other)];
    const list = numberedList(new Draws(order, "order"), entries);
    return { input: `${solved}${start}\n${list}\n${question}`, answerPrefix, answers };
  };
}

const numFrequent = 3;
const alpha = 2;
/** ζ(2). */
const zeta = Math.PI ** 2 / 6;
const ignored = "...";
const letters = [..."abcdefghijklmnopqrstuvwxyz"];

const frequentWords: Record<HaystackLanguage, { start: string; question: string; answerPrefix: string }> = {
  en: {
    start: `Read the following coded text and count how often each coded word comes. Ignore the dots "${ignored}".`,
    question: `Leaving out the dots "${ignored}", what are the three coded words that come most often in the text above?`,
    answerPrefix: " The three coded words that come most often are:",
  },
  zh: {
    start: `请阅读下面的编码文字，数一数每个编码词出现的次数，省略号“${ignored}”不算。`,
    question: `除省略号“${ignored}”以外，上面的文字里出现最多的三个编码词是什么？`,
    answerPrefix: "出现最多的三个编码词是：",
  },
};

/** So many words in all that the fourth coded word comes once and the third more often. */
const leastStream = Math.ceil(zeta * 2 * (numFrequent + 1) ** alpha);

function draftFrequentWords({ draws, language, length }: DraftContext): Draft {
  const vocabulary = new Set<string>();
  const most = Math.max(2 * (numFrequent + 1), Math.floor(length / 50));
  while (vocabulary.size < most) vocabulary.add(Array.from({ length: 6 }, () => draws.pick(letters)).join(""));
  const words = [...vocabulary];
  const { start, question, answerPrefix } = frequentWords[language];
  const order = draws.between(0, 2 ** 31 - 1);
  return (units): LongPrompt => {
    const total = leastStream + units;
    const stream = words.flatMap((word, index) => {
      const times = Math.floor(total / (index + 1) ** alpha / zeta);
      return Array<string>(times).fill(index === 0 ? ignored : word);
    });
    return {
      input: `${start}\n${new Draws(order, "order").shuffle(stream).join(" ")}\n${question}`,
      answerPrefix,
      answers: words.slice(1, 1 + numFrequent),
    };
  };
}

function commonWordDrafts(context: DraftContext): [Draft, ...Draft[]] {
  const scales = commonWordScales.slice(context.length < leastLengthOfFirstScale ? 1 : 0);
  const [first, ...others] = scales.map((scale) => draftCommonWords(scale, context));
  return [first!, ...others];
}

export const aggregationTasks: readonly RulerTask[] = [
  { name: "cwe", answerTokens: 120, metric: "all", drafts: commonWordDrafts },
  { name: "fwe", answerTokens: 50, metric: "all", drafts: (context) => [draftFrequentWords(context)] },
];
