/**
 * Tasks by number: the i-th of (seed, split, family, language) is always the same. Which split an instance may belong to is decided
 * by its question's hash, so that no question of the test split is ever trained on, whatever the seeds and the counts.
 */
import { createHash } from "node:crypto";
import { RookeryError } from "../base/errors.ts";
import { didYouMean } from "../base/nearest.ts";
import { conversionFamilies } from "./families/conversions.ts";
import { dictionaryFamilies, readDictionary } from "./families/dictionary.ts";
import { numberFamilies } from "./families/numbers.ts";
import { passageFamilies } from "./families/passages.ts";
import { wordFamilies } from "./families/words.ts";
import { Draws } from "./random.ts";
import {
  askAbout,
  type Task,
  type TaskDialogue,
  type TaskFamily,
  type TaskLanguage,
  type TaskSettings,
} from "./task.ts";

/** train, and instances of the same families that are held out from it. Families that are unseen have only "test". */
export const taskSplits = ["train", "test"] as const;
export type TaskSplit = (typeof taskSplits)[number];

/** One question in five is for testing: families whose questions are few must keep enough of them on both sides. */
const testEvery = 5;
const mostDraws = 1000;
const mostTurns = 8;

/** Every family that can be made here; those over WordNet only where it is at hand. */
export function taskFamilies(dictionary = readDictionary()): TaskFamily[] {
  return [
    ...numberFamilies,
    ...wordFamilies,
    ...passageFamilies,
    ...conversionFamilies,
    ...(dictionary ? dictionaryFamilies(dictionary) : []),
  ];
}

/** The families of these names. @throws RookeryError INVALID_OPTION for a name that no family has. */
export function familiesNamed(all: readonly TaskFamily[], names: readonly string[]): TaskFamily[] {
  return names.map((name) => {
    const found = all.find((family) => family.name === name);
    if (found) return found;
    const known = all.map((family) => family.name);
    throw new RookeryError("INVALID_OPTION", `there is no family of tasks "${name}"`, didYouMean(name, known));
  });
}

export function splitOfQuestion(question: string): TaskSplit {
  return createHash("sha256").update(question).digest().readUInt32LE(0) % testEvery === 0 ? "test" : "train";
}

/** The `index`-th task of a family. @throws Error if the family has no question of that split (a fault of the family). */
export function makeTask(
  family: TaskFamily,
  language: TaskLanguage,
  split: TaskSplit,
  { seed, index }: { seed: number; index: number },
  settings: TaskSettings,
): Task {
  const id = `${family.name}-${language}-${split}-${index}`;
  for (let attempt = 0; attempt < mostDraws; attempt++) {
    const draws = new Draws(seed, "task", family.name, language, split, index, attempt);
    const draft = family.make(draws, language, settings);
    if (!family.isUnseen && splitOfQuestion(draft.question) !== split) continue;
    return { id, family: family.name, language, ...draft };
  }
  throw new Error(`no question of ${family.name} in ${language} is of the split ${split}`);
}

/**
 * The `index`-th conversation of several questions about one passage, all for training: a model learns to look things up much
 * sooner when one text is asked about many times. @throws Error for a family without passages (a fault of the caller).
 */
export function makeDialogue(
  family: TaskFamily,
  language: TaskLanguage,
  { seed, index }: { seed: number; index: number },
  settings: TaskSettings,
): TaskDialogue {
  const named = { id: `${family.name}-${language}-dialogue-${index}`, family: family.name, language };
  for (let attempt = 0; attempt < mostDraws; attempt++) {
    const draws = new Draws(seed, "dialogue", family.name, language, index, attempt);
    const passage = family.passage?.(draws, language, settings);
    const asks = passage?.asks.filter(({ ask }) => splitOfQuestion(askAbout(passage, ask)) === "train") ?? [];
    if (!passage || asks.length === 0) continue;
    const turns = draws.shuffle(asks).slice(0, mostTurns);
    return {
      ...named,
      turns: turns.map(({ ask, answer }, turn) => ({ question: turn === 0 ? askAbout(passage, ask) : ask, answer })),
    };
  }
  throw new Error(`${family.name} in ${language} has no passage to ask about`);
}

export type TaskSelection = {
  families: readonly TaskFamily[];
  languages: readonly TaskLanguage[];
  split: TaskSplit;
  count: number;
  seed: number;
  settings: TaskSettings;
};

/** `count` tasks that go around the families and their languages, so that every share of the list has all of them. */
export function* makeTasks({ families, languages, split, count, seed, settings }: TaskSelection): Generator<Task> {
  const kinds = kindsOf(families, languages);
  for (let number = 0; number < count; number++) {
    const { family, language } = kinds[number % kinds.length]!;
    yield makeTask(family, language, split, { seed, index: Math.floor(number / kinds.length) }, settings);
  }
}

/** For training: `count` conversations that go around those families that ask about passages, and their languages. */
export function* makeDialogues({
  families,
  languages,
  count,
  seed,
  settings,
}: Omit<TaskSelection, "split">): Generator<TaskDialogue> {
  const about = families.filter(({ passage }) => passage !== undefined);
  if (about.length === 0) return;
  const kinds = kindsOf(about, languages);
  for (let number = 0; number < count; number++) {
    const { family, language } = kinds[number % kinds.length]!;
    yield makeDialogue(family, language, { seed, index: Math.floor(number / kinds.length) }, settings);
  }
}

function kindsOf(families: readonly TaskFamily[], languages: readonly TaskLanguage[]) {
  const kinds = families.flatMap((family) =>
    family.languages.filter((one) => languages.includes(one)).map((language) => ({ family, language })),
  );
  if (kinds.length > 0) return kinds;
  throw new RookeryError("INVALID_OPTION", "no family of tasks speaks one of the languages", "add en to --languages");
}
