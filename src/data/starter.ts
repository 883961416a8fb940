/** The corpus that one can train on at once: speeches, a novel, a dictionary. */
import {
  type BuiltInText,
  builtInFiles,
  builtInPackages,
  type LocatePackage,
  readBuiltInFile,
} from "../base/built-in-texts.ts";
import { RookeryError } from "../base/errors.ts";
import { PassageCutter } from "./passages.ts";
import type { RawDocument } from "./readers.ts";

export type StarterPart = {
  name: BuiltInText;
  license: string;
  files: string[];
  read: (file: string) => Generator<RawDocument>;
};

/** A speech is one line of up to 217,000 characters: documents of this size let the held-out share be a fair sample. */
const PASSAGE_CHARACTERS = 8000;
const ENTRIES_CHARACTERS = 4000;

/** What WordNet calls its 45 lexicographer files, by number, as headings. */
const wordnetHeadings = [
  "Adjectives",
  "Relational adjectives",
  "Adverbs",
  "Nouns: highest concepts",
  "Nouns: acts",
  "Nouns: animals",
  "Nouns: man-made objects",
  "Nouns: attributes",
  "Nouns: the body",
  "Nouns: thought",
  "Nouns: communication",
  "Nouns: events",
  "Nouns: feelings",
  "Nouns: food",
  "Nouns: groups",
  "Nouns: places",
  "Nouns: motives",
  "Nouns: natural objects",
  "Nouns: people",
  "Nouns: natural phenomena",
  "Nouns: plants",
  "Nouns: possession",
  "Nouns: natural processes",
  "Nouns: quantities",
  "Nouns: relations",
  "Nouns: shapes",
  "Nouns: states",
  "Nouns: substances",
  "Nouns: time",
  "Verbs: the body",
  "Verbs: change",
  "Verbs: thought",
  "Verbs: communication",
  "Verbs: competition",
  "Verbs: eating and drinking",
  "Verbs: contact",
  "Verbs: creation",
  "Verbs: feelings",
  "Verbs: motion",
  "Verbs: perception",
  "Verbs: possession",
  "Verbs: society",
  "Verbs: being",
  "Verbs: weather",
  "Participial adjectives",
];

/** "00001740 29 v 02 breathe 0 take_a_breath 0 … | gloss": the heading's number and the entry as "words: gloss". */
function wordnetEntry(line: string): { heading: number; entry: string } | null {
  const bar = line.indexOf("| ");
  if (line.startsWith("  ") || bar === -1) return null;
  const fields = line.slice(0, bar).split(" ");
  const words = Array.from({ length: Number.parseInt(fields[3] ?? "", 16) || 0 }, (_, i) => {
    // Adjectives carry where they may stand: "galore(ip)".
    return (fields[4 + 2 * i] ?? "").replaceAll("_", " ").replace(/\([a-z]+\)$/, "");
  });
  const gloss = line
    .slice(bar + 2)
    .trim()
    .replaceAll("`", "'");
  return { heading: Number(fields[1]), entry: `${words.join(", ")}: ${gloss}` };
}

function* wordnetDocuments(text: string): Generator<RawDocument> {
  let heading = -1;
  let entries: string[] = [];
  let length = 0;
  let start = 0;
  const flush = function* (): Generator<RawDocument> {
    if (entries.length > 0)
      yield { text: `${wordnetHeadings[heading] ?? "Words"}\n\n${entries.join("\n")}`, line: start };
    entries = [];
    length = 0;
  };
  let number = 0;
  for (const line of text.split("\n")) {
    number++;
    const parsed = wordnetEntry(line);
    if (parsed === null) continue;
    if (parsed.heading !== heading || length >= ENTRIES_CHARACTERS) yield* flush();
    if (entries.length === 0) start = number;
    heading = parsed.heading;
    entries.push(parsed.entry);
    length += parsed.entry.length + 1;
  }
  yield* flush();
}

function* proseDocuments(text: string): Generator<RawDocument> {
  const cutter = new PassageCutter(PASSAGE_CHARACTERS);
  yield* cutter.add(text, 1);
  yield* cutter.end();
}

const parts: readonly { name: BuiltInText; license: string; documents: (text: string) => Generator<RawDocument> }[] = [
  {
    name: "sotu",
    license: "PDDL-1.0 and CC0-1.0 (State of the Union addresses, collected by The Stdlib Authors)",
    documents: proseDocuments,
  },
  {
    name: "moby-dick",
    license: "PDDL-1.0 and CC0-1.0 (Moby Dick by Herman Melville, collected by The Stdlib Authors)",
    documents: proseDocuments,
  },
  {
    name: "wordnet",
    license: "WordNet licence (WordNet 3.1, Copyright 2011 by Princeton University)",
    documents: wordnetDocuments,
  },
];

/** The three parts of the starter corpus. Throws MISSING_DEPENDENCY, naming the line that installs them. */
export function starterParts(locate?: LocatePackage, extracts?: string): StarterPart[] {
  const missing: BuiltInText[] = [];
  const found = parts.map(({ name, license, documents }): StarterPart => {
    const files = builtInFiles(name, locate, extracts);
    if (files === undefined) missing.push(name);
    const read = function* (file: string) {
      for (const text of readBuiltInFile(file)) yield* documents(text);
    };
    return { name, license, files: files ?? [], read };
  });
  if (missing.length > 0) {
    throw new RookeryError(
      "MISSING_DEPENDENCY",
      `the starter corpus lacks ${missing.join(", ")}`,
      `run \`npm i ${builtInPackages.join(" ")}\`, or train on your own text with --data PATH`,
    );
  }
  return found;
}
