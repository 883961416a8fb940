/** The files of a task's data set: where the user keeps them, or from the Hugging Face hub. */
import fs from "node:fs";
import path from "node:path";
import { RookeryError } from "../../base/errors.ts";
import type { CommandContext } from "../../base/events.ts";
import { makeFolder, writeFileAtomic } from "../../base/files.ts";
import type { LoadedTask } from "../tasks/task-file.ts";
import { isDataFile } from "./rows.ts";
import { findSplits, placeOf, type SplitFile } from "./splits.ts";

export type LocateOptions = {
  /** Holds a folder a data set, named as the task or as the hub names it. */
  dataFolder: string;
  /** Fetches what is not there. */
  download: boolean;
  fetch?: typeof globalThis.fetch | undefined;
};

/** @throws RookeryError FILE_UNREADABLE where there is no data, telling where it was looked for; ENDPOINT_FAILED. */
export async function locateData(
  { task, data }: LoadedTask,
  options: LocateOptions,
  context: CommandContext = {},
): Promise<SplitFile[]> {
  if (task.make) return [];
  if (typeof data === "object") {
    const of = (split: string, files: readonly string[]) => files.map((file) => ({ split, part: "", file }));
    return [...of(task.splits.test[0] ?? "test", data.test), ...of(task.splits.shots?.[0] ?? "shots", data.shots)];
  }
  const names = new Set([task.name, ...(task.hub ? [task.hub, task.hub.split("/")[1]!] : [])]);
  const places = data === undefined ? [...names].map((name) => path.join(options.dataFolder, name)) : [data];
  const found = places.find((place) => fs.existsSync(place));
  if (found !== undefined) return filesAt(found, task.splits.test[0] ?? "test");
  if (options.download && task.hub !== undefined) {
    const folder = path.join(options.dataFolder, task.name);
    await downloadDataset(task.hub, folder, options.fetch, context);
    return filesAt(folder, "test");
  }
  throw new RookeryError(
    "FILE_UNREADABLE",
    `task ${task.name}: its data is not in ${places.join(" or ")}`,
    task.hub
      ? `put the files of the data set ${task.hub} there, name another folder with --data, or add --download`
      : "correct the path",
  );
}

/** A file, or a folder; one whose files name no split is asked as a whole. */
function filesAt(place: string, split: string): SplitFile[] {
  if (fs.statSync(place).isFile()) return [{ split, part: "", file: place }];
  const placed = findSplits(place);
  if (placed.length > 0) return placed;
  return fs
    .readdirSync(place)
    .filter(isDataFile)
    .sort()
    .map((name) => ({ split, part: "", file: path.join(place, name) }));
}

/** Fetches the data files of a data set on the hub, as they lie there; splits that nothing is made of are left out. */
async function downloadDataset(
  name: string,
  folder: string,
  fetch: typeof globalThis.fetch | undefined,
  { signal, onEvent }: CommandContext,
): Promise<void> {
  const { listFiles, downloadFile } = await import("@huggingface/hub");
  const repo = { type: "dataset", name } as const;
  const request = { repo, ...(fetch ? { fetch } : {}) };
  try {
    const files: string[] = [];
    for await (const { path: file, type } of listFiles({ ...request, recursive: true })) {
      if (type === "file" && isDataFile(file) && isSafePath(file) && placeOf(file)) files.push(file);
    }
    for (const [done, file] of files.entries()) {
      signal?.throwIfAborted();
      onEvent?.({ type: "progress", what: `fetching ${name}`, done, total: files.length, unit: "files" });
      const target = path.join(folder, file);
      if (fs.existsSync(target)) continue;
      const blob = await downloadFile({ ...request, path: file });
      if (!blob) continue;
      makeFolder(path.dirname(target));
      writeFileAtomic(target, new Uint8Array(await blob.arrayBuffer()));
    }
    if (files.length === 0) throw new Error("it has no data files");
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    if (error instanceof RookeryError) throw error;
    const { message, cause } = error as Error & { cause?: { code?: string } };
    throw new RookeryError(
      "ENDPOINT_FAILED",
      `the data set ${name} cannot be fetched: ${cause?.code ?? message.split("\n")[0]}`,
      "check the network, or put its files into the folder of the data",
      { cause: error },
    );
  }
}

/** A path from a server stays inside the folder. */
function isSafePath(file: string): boolean {
  return !path.isAbsolute(file) && file.split(/[/\\]/).every((part) => part !== ".." && part !== "" && part !== ".");
}
