/**
 * Where the splits of a data set lie in a folder, in any of the layouts in which data sets are published: hub repositories
 * (SUBJECT/test-00000-of-00001.parquet), archives (test/SUBJECT_test.csv), single files (hellaswag_val.jsonl).
 */
import fs from "node:fs";
import path from "node:path";
import { RookeryError } from "../../base/errors.ts";
import { fileError } from "../../base/files.ts";
import { isDataFile } from "./rows.ts";

/** `part`: the subject or the configuration that the file is about, or "". */
export type SplitFile = { split: string; part: string; file: string };

const splitNames = ["train", "validation", "valid", "val", "dev", "test", "prompt"] as const;
const splitPattern = new RegExp(`(^|[/_.-])(${splitNames.join("|")})(?=$|[/_.-])`, "i");
const deepest = 6;

/** All data files below `folder`, in the order of their paths. @throws RookeryError FILE_UNREADABLE. */
export function findSplits(folder: string): SplitFile[] {
  return filesBelow(folder, "", 0).flatMap((relative) => {
    const placed = placeOf(relative);
    return placed ? [{ ...placed, file: path.join(folder, relative) }] : [];
  });
}

/** Split and part of a path; undefined where no split is named. The file's own name says more than its folders. */
export function placeOf(relative: string): { split: string; part: string } | undefined {
  const components = relative.split("/");
  const base = components
    .pop()!
    .replace(/\.(gz|zst)$/i, "")
    .replace(/\.[a-z]+$/i, "")
    .replace(/-\d+-of-\d+$/, "");
  const inName = splitPattern.exec(base);
  const inFolder = components.findLast((one) => splitNames.some((name) => name === one.toLowerCase()));
  const split = inName?.[2] ?? inFolder;
  if (split === undefined) return undefined;
  const rest = inName ? base.replace(splitPattern, "").replace(/^[-_.]+|[-_.]+$/g, "") : base;
  const folders = components.filter(
    (one) => one !== "data" && one !== "parquet" && !splitNames.some((name) => name === one.toLowerCase()),
  );
  const isNumber = /^\d*$/.test(rest);
  return { split: split.toLowerCase(), part: isNumber ? (folders.at(-1) ?? "") : rest };
}

/** The files of the first of `wanted` splits that there are. */
export function filesOfSplit(files: readonly SplitFile[], wanted: readonly string[]): SplitFile[] {
  for (const name of wanted) {
    const found = files.filter(({ split }) => split === name);
    if (found.length > 0) return found;
  }
  return [];
}

function filesBelow(folder: string, relative: string, depth: number): string[] {
  let entries: fs.Dirent[];
  try {
    entries = fs.readdirSync(path.join(folder, relative), { withFileTypes: true });
  } catch (error) {
    throw fileError(error, path.join(folder, relative), "read");
  }
  if (depth > deepest) {
    throw new RookeryError("BAD_DATA", `${folder} has folders in folders without an end`, "give the data set's own");
  }
  return entries
    .filter(({ name }) => !name.startsWith("."))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const inner = relative === "" ? entry.name : `${relative}/${entry.name}`;
      if (entry.isDirectory()) return filesBelow(folder, inner, depth + 1);
      return isDataFile(entry.name) ? [inner] : [];
    });
}
