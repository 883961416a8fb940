/** Where a run's tokenizer is made before the run has a folder. */
import fs from "node:fs";
import path from "node:path";
import { fileError, makeFolder, removeStaleTemporaries, temporaryPath } from "../base/files.ts";
import { tokenizerFolderOf } from "./prepare.ts";

/** A folder of this process for what is made before the run is; those that killed processes left behind go. */
export function makeStagingFolder(runsFolder: string): string {
  const cacheFolder = path.join(runsFolder, ".cache");
  makeFolder(cacheFolder);
  removeStaleTemporaries(cacheFolder);
  const staging = temporaryPath(path.join(cacheFolder, "run"));
  makeFolder(staging);
  return staging;
}

/** Moves the tokenizer that was made there into the run. */
export function moveTokenizer(staging: string, runFolder: string): void {
  const target = tokenizerFolderOf(runFolder);
  try {
    fs.renameSync(tokenizerFolderOf(staging), target);
  } catch (error) {
    throw fileError(error, target, "write");
  }
}
