/**
 * Texts that teach to look up what stands far before: facts about keys between the sentences of other texts, and questions about
 * them at the end. A key belongs to the training or to the test split by its hash, so that no tested key was ever trained on.
 */

import { splitOfQuestion, type TaskSplit } from "./generate.ts";
import { Draws } from "./random.ts";
import { plainWords } from "./vocabulary.ts";

/**
 * words: words in no order, three times; copy: a list of keys and numbers, twice. Nothing teaches as densely to look back, and the
 * others build on that: one number, values of keys in a text, and in nothing but lines of them.
 */
export const retrievalKinds = ["words", "copy", "passkey", "key-value", "lines"] as const;
export type RetrievalKind = (typeof retrievalKinds)[number];

/** Settings of texts that teach to look back soonest: lists read again, and questions about a few lines. */
export const lookBackTexts = {
  lists: { kinds: ["words", "copy"], minCharacters: 10, maxCharacters: 60 },
  lookups: {
    kinds: ["words", "copy", "passkey", "key-value", "key-value", "lines", "lines"],
    ...{ minCharacters: 30, maxCharacters: 220, questions: 3 },
  },
} as const;

/** A text that ends where the answer has to come. */
export type RetrievalTask = { kind: RetrievalKind; prompt: string; answer: string };

export type RetrievalSettings = {
  kind: RetrievalKind;
  split: TaskSplit;
  /** About how long the text is before its questions. */
  characters: number;
  /** Facts in it; a passkey is one, and lines fill the text. */
  facts: number;
  /** What stands between the facts, in the order of the text that it comes from. */
  sentences: readonly string[];
};

type Fact = { key: string; value: string };
type Template = { fact: (fact: Fact) => string; question: (fact: Fact) => string };

/** A question ends with the beginning of its answer, which a base model goes on with. */
const templates: Record<Exclude<RetrievalKind, "words">, readonly Template[]> = {
  copy: [{ fact: ({ key, value }) => `${key} ${value}`, question: ({ key }) => key }],
  passkey: [
    {
      fact: ({ value }) => `The pass key is ${value}. Remember it: ${value} is the pass key.`,
      question: () => "What is the pass key? The pass key is",
    },
    {
      fact: ({ value }) => `The secret number is ${value}. Keep ${value} in mind.`,
      question: () => "What is the secret number? The secret number is",
    },
  ],
  "key-value": [
    {
      fact: ({ key, value }) => `The code of ${key} is ${value}.`,
      question: ({ key }) => `What is the code of ${key}? The code of ${key} is`,
    },
    {
      fact: ({ key, value }) => `One of the special magic numbers for ${key} is: ${value}.`,
      question: ({ key }) =>
        `What is the special magic number for ${key} mentioned in the text above? The special magic number for ${key} mentioned in the text above is`,
    },
    {
      fact: ({ key, value }) => `Remember that ${key} has the number ${value}.`,
      question: ({ key }) => `Which number has ${key}? By the text above ${key} has the number`,
    },
  ],
  lines: [
    {
      fact: ({ key, value }) => `One of the special magic numbers for ${key} is: ${value}.`,
      question: ({ key }) =>
        `What is the special magic number for ${key} mentioned in the text above? The special magic number for ${key} mentioned in the text above is`,
    },
    { fact: ({ key, value }) => `${key}: ${value}`, question: ({ key }) => `${key}:` },
    {
      fact: ({ key, value }) => `line ${key} holds ${value}`,
      question: ({ key }) => `What does line ${key} hold? line ${key} holds`,
    },
  ],
};

const consonants = "bdfgklmnprstvz";
const vowels = "aeiou";

/** Two plain words, or a word that no language has. */
function keyOf(draws: Draws, split: TaskSplit): string {
  for (;;) {
    const key =
      draws.between(0, 1) === 0
        ? `${draws.pick(plainWords)}-${draws.pick(plainWords)}`
        : Array.from({ length: draws.between(2, 4) }, () => {
            return consonants[draws.between(0, consonants.length - 1)]! + vowels[draws.between(0, vowels.length - 1)]!;
          }).join("");
    if (splitOfQuestion(key) === split) return key;
  }
}

function factOf(draws: Draws, split: TaskSplit): Fact {
  const digits = draws.between(4, 7);
  return { key: keyOf(draws, split), value: String(draws.between(10 ** (digits - 1), 10 ** digits - 1)) };
}

/** Different words of the sentences, in no order. */
function wordList(draws: Draws, { sentences, characters }: RetrievalSettings): string {
  const words = new Set<string>();
  for (let length = 0; length < characters; ) {
    const word = draws.pick(draws.pick(sentences).match(/\p{L}+/gu) ?? ["a"]);
    if (!words.has(word)) length += word.length + 1;
    // a text of few words ends too
    else length++;
    words.add(word);
  }
  return [...words].join(" ");
}

type Laid = { text: string; facts: Fact[]; template: Template };

function layOut(
  draws: Draws,
  { kind, split, characters, facts: count, sentences }: RetrievalSettings & { kind: Exclude<RetrievalKind, "words"> },
): Laid {
  const template = draws.pick(templates[kind]);
  const separator = kind === "lines" ? "\n" : kind === "copy" ? ", " : " ";
  const facts = new Map<string, Fact>();
  const add = (): string => {
    let fact = factOf(draws, split);
    while (facts.has(fact.key)) fact = factOf(draws, split);
    facts.set(fact.key, fact);
    return template.fact(fact);
  };
  const parts: string[] = [];
  if (kind === "copy" || kind === "lines" || sentences.length === 0) {
    for (let length = 0; length < characters; length += parts.at(-1)!.length + 1) parts.push(add());
  } else {
    let at = draws.between(0, sentences.length - 1);
    for (let length = 0; length < characters; length += parts.at(-1)!.length + 1) {
      parts.push(sentences[at++ % sentences.length]!);
    }
    // as many as are wanted, each anywhere: a fact is as often at the beginning as at the end
    for (let i = 0; i < (kind === "passkey" ? 1 : count); i++) {
      parts.splice(draws.between(0, parts.length), 0, add());
    }
  }
  return { text: parts.join(separator), facts: [...facts.values()], template };
}

/**
 * A document to train on: the text, and behind it up to `questions` questions with their answers, the facts in random order.
 * @param index with the seed, enough to make it again.
 */
export function retrievalDocument(
  settings: RetrievalSettings & { questions: number },
  { seed, index }: { seed: number; index: number },
): string {
  const draws = new Draws(seed, "retrieval", settings.kind, settings.split, index);
  const { kind } = settings;
  if (kind === "words") return `${Array(3).fill(wordList(draws, settings)).join("\n")}\n`;
  const { text, facts, template } = layOut(draws, { ...settings, kind });
  if (kind === "copy") return `${text}\n${text}\n`;
  const asked = draws.shuffle(facts).slice(0, settings.questions);
  const answered = asked.map((fact) => `${template.question(fact)} ${fact.value}.`);
  return `${text}\n${answered.join("\n")}\n`;
}

/** A test: one question about a text with keys of the split, which ends where the answer has to come. */
export function retrievalTask(
  settings: RetrievalSettings & { kind: Exclude<RetrievalKind, "words"> },
  { seed, index }: { seed: number; index: number },
): RetrievalTask {
  const draws = new Draws(seed, "retrieval", settings.kind, settings.split, index);
  const { text, facts, template } = layOut(draws, settings);
  const fact = draws.pick(facts);
  return { kind: settings.kind, prompt: `${text}\n${template.question(fact)}`, answer: fact.value };
}

export type RetrievalDocuments = Omit<RetrievalSettings, "kind" | "characters"> & {
  kinds: readonly RetrievalKind[];
  minCharacters: number;
  maxCharacters: number;
  questions: number;
  count: number;
  seed: number;
};

/** `count` documents to train on, each of a random kind, length, and number of facts up to `facts`. */
export function* retrievalDocuments(options: RetrievalDocuments): Generator<string> {
  const { kinds, minCharacters, maxCharacters, questions, count, seed, facts, ...rest } = options;
  for (let index = 0; index < count; index++) {
    const draws = new Draws(seed, "retrieval document", index);
    const settings = {
      ...rest,
      kind: draws.pick(kinds),
      characters: draws.between(minCharacters, maxCharacters),
      facts: draws.between(1, facts),
      questions,
    };
    yield retrievalDocument(settings, { seed, index });
  }
}

/** The sentences of a text, of 20 to 200 characters, each on one line. */
export function sentencesOf(text: string): string[] {
  return text
    .replace(/\s+/gu, " ")
    .split(/(?<=[.!?]["”’]?) |(?<=[。！？])/u)
    .filter(({ length }) => length >= 20 && length <= 200);
}
