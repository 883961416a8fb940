/** Questions over WordNet. */
import path from "node:path";
import { builtInFiles, type LocatePackage, readBuiltInFile } from "../../base/built-in-texts.ts";
import { otherThan, type TaskFamily } from "../task.ts";

/** A word with its kind and what it means. */
export type DictionaryEntry = { word: string; kind: WordKind; meaning: string };

const wordKinds = ["noun", "verb", "adj", "adv"] as const;
type WordKind = (typeof wordKinds)[number];
const kindNames: Record<WordKind, string> = { noun: "noun", verb: "verb", adj: "adjective", adv: "adverb" };

/** One entry of "00001740 29 v 02 breathe 0 … | gloss; \"example\"", if it is short and of plain letters. */
export function parseEntry(line: string): Omit<DictionaryEntry, "kind"> | undefined {
  const bar = line.indexOf("| ");
  const word = line.split(" ", 5)[4] ?? "";
  if (line.startsWith("  ") || bar === -1 || !/^[a-z]{3,9}$/.test(word)) return undefined;
  const meaning = line
    .slice(bar + 2)
    .split(/[;"]/, 1)[0]!
    .trim();
  const isPlain = /^[A-Za-z ,'()-]{12,60}$/.test(meaning) && !meaning.includes(word);
  return isPlain ? { word, meaning } : undefined;
}

/** The short entries of WordNet, every word once, or undefined where it is not at hand. @throws RookeryError FILE_UNREADABLE. */
export function readDictionary(locate?: LocatePackage, extracts?: string): DictionaryEntry[] | undefined {
  const files = builtInFiles("wordnet", locate, extracts);
  if (files === undefined) return undefined;
  const kindsOf = new Map<string, Set<WordKind>>();
  const entries = wordKinds.flatMap((kind) => {
    const file = files.find((file) => path.basename(file).startsWith(`data.${kind}`))!;
    return readBuiltInFile(file).flatMap((text) =>
      text.split("\n").flatMap((line) => {
        const entry = parseEntry(line);
        if (entry === undefined) return [];
        kindsOf.set(entry.word, (kindsOf.get(entry.word) ?? new Set()).add(kind));
        return [{ ...entry, kind }];
      }),
    );
  });
  const seen = new Set<string>();
  // a word of two kinds has no one right answer
  return entries.filter(({ word }) => kindsOf.get(word)!.size === 1 && !seen.has(word) && seen.add(word));
}

export function dictionaryFamilies(entries: readonly DictionaryEntry[]): TaskFamily[] {
  const byKind = Map.groupBy(entries, ({ kind }) => kind);
  const kinds = [...byKind.values()];
  const names = Object.values(kindNames);
  return [
    {
      name: "dictionary-meaning",
      isUnseen: false,
      languages: ["en"],
      make(draws) {
        const choices = draws.sample(draws.pick(kinds), 4);
        const about = draws.pick(choices);
        const words = choices.map(({ word }) => word);
        return {
          question: `Which of these words means "${about.meaning}": ${words.join(", ")}?`,
          answer: about.word,
          wrong: otherThan(about.word, words),
        };
      },
    },
    {
      name: "dictionary-kind",
      isUnseen: false,
      languages: ["en"],
      make(draws) {
        const { word, kind } = draws.pick(draws.pick(kinds));
        return {
          question: `Is "${word}" a noun, a verb, an adjective or an adverb?`,
          answer: kindNames[kind],
          wrong: otherThan(kindNames[kind], names),
        };
      },
    },
  ];
}
