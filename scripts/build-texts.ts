/**
 * Packs a third of the starter corpus into dist/texts, so that an installed Rookery can begin at once: the whole novel, the
 * speeches of the last decades, and the entries of WordNet that make questions. What `base/built-in-texts.ts` reads.
 */
import fs from "node:fs";
import path from "node:path";
import { constants, zstdCompressSync } from "node:zlib";
import { type BuiltInText, builtInFiles, fileSeparator, readBuiltInFile } from "../src/base/built-in-texts.ts";
import { parseEntry } from "../src/tasks/families/dictionary.ts";

const target = path.join(import.meta.dirname, "..", "dist", "texts");
const oldestSpeech = "1960";

function filesOf(name: BuiltInText): string[] {
  const files = builtInFiles(name);
  if (files === undefined) throw new Error(`the text ${name} is missing: run npm ci`);
  return files;
}

function write(name: BuiltInText, file: string, text: string): void {
  const params = { [constants.ZSTD_c_compressionLevel]: 19, [constants.ZSTD_c_windowLog]: 23 };
  fs.mkdirSync(path.join(target, name), { recursive: true });
  fs.writeFileSync(path.join(target, name, `${file}.zst`), zstdCompressSync(text, { params }));
}

const joined = (files: readonly string[]) => files.flatMap(readBuiltInFile).join(fileSeparator);

/** An entry's words and gloss, without its place in the file and its links to others; the licence at the top stays. */
function shortLines(text: string): string[] {
  return text.split("\n").flatMap((line) => {
    if (line.startsWith("  ")) return [line];
    if (parseEntry(line) === undefined) return [];
    const [, heading, kind, words = "", ...rest] = line.split(" ");
    const fields = [0, heading, kind, words, ...rest.slice(0, 2 * Number.parseInt(words, 16))];
    return [`${fields.join(" ")} ${line.slice(line.indexOf("| ")).trimEnd()}`];
  });
}

export function buildTexts(): void {
  const speeches = filesOf("sotu").filter((file) => path.basename(file) >= oldestSpeech);
  write("sotu", "speeches.txt", joined(speeches));
  write("moby-dick", "chapters.txt", joined(filesOf("moby-dick")));
  for (const file of filesOf("wordnet")) {
    write("wordnet", path.basename(file), readBuiltInFile(file).flatMap(shortLines).join("\n"));
  }
}

if (import.meta.main) buildTexts();
