/** How far the reading of files has come. */
import fs from "node:fs";
import type { CommandContext } from "../base/events.ts";

/** Bytes of files as they lie on the disk. One that cannot be asked counts nothing: reading it will tell why. */
export function sizeOfFiles(files: readonly string[]): number {
  return files.reduce((sum, file) => sum + (fs.statSync(file, { throwIfNoEntry: false })?.size ?? 0), 0);
}

/** Counts bytes and tells `onEvent`, a hundred times in all at most. */
export function byteProgress(what: string, total: number, context: CommandContext): (count: number) => void {
  let done = 0;
  let told = 0;
  return (count) => {
    done += count;
    if (done - told < total / 100 && done < total) return;
    told = done;
    context.onEvent?.({ type: "progress", what, done, total, unit: "bytes" });
  };
}
