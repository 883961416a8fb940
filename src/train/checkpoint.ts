import fs from "node:fs";
import path from "node:path";
import { RookeryError } from "../base/errors.ts";
import {
  commitDirectory,
  fileError,
  isPlainName,
  makeFolder,
  quoteForMessage,
  readJsonFile,
  removeDirectory,
  sha256OfFile,
  writeFileAtomic,
} from "../base/files.ts";
import { rookeryVersion } from "../base/version.ts";
import {
  SafetensorsFile,
  type TensorSource,
  type TensorToWrite,
  type WrittenFile,
  writeSafetensors,
} from "../formats/safetensors.ts";
import { exactJson, type JsonObject } from "./exact-json.ts";

// A checkpoint is a folder step-N with the files below, written beside under a hidden name, synced, and renamed. Its
// manifest, written last, has size and SHA-256 of every other file. Only a folder with a whole manifest counts.

export const checkpointFormat = "rookery-checkpoint/1";
const manifestName = "manifest.json";
const stateName = "state.json";
const weightsName = "weights.safetensors";
const optimizerName = "optimizer.safetensors";
const requiredFiles = [stateName, weightsName, optimizerName];

type Manifest = {
  format: typeof checkpointFormat;
  rookeryVersion: string;
  step: number;
  files: Record<string, WrittenFile>;
};

/** All that a run needs to go on as if it had never stopped. */
export type CheckpointContents = {
  step: number;
  weights: Iterable<TensorToWrite>;
  optimizer: Iterable<TensorToWrite>;
  /** Data position, counters, seed: whatever JSON holds exactly. */
  state: JsonObject;
};

/** A checkpoint whose manifest is whole; its files are not verified yet. */
export type CheckpointReference = { step: number; path: string };

/** An opened checkpoint, every checksum verified. Close it, or hold it with `using`. */
export type OpenCheckpoint = Disposable & {
  readonly step: number;
  readonly path: string;
  readonly state: JsonObject;
  readonly weights: TensorSource;
  readonly optimizer: TensorSource;
  close(): void;
};

function stepFolder(checkpointsFolder: string, step: number): string {
  return path.join(checkpointsFolder, `step-${step}`);
}

/**
 * Saves a checkpoint and then removes all but the newest `keep`, never the one just saved. Killed at any moment, or with
 * the disk full, it leaves the checkpoints that were there. A folder of the same step (a damaged one that was not resumed
 * from) is replaced. Throws FILE_UNWRITABLE. Returns the new checkpoint and its size.
 */
export function saveCheckpoint(
  checkpointsFolder: string,
  contents: CheckpointContents,
  keep: number,
): CheckpointReference & { byteLength: number } {
  const { step } = contents;
  if (!Number.isSafeInteger(step) || step < 0) throw new RangeError(`a checkpoint cannot have the step ${step}`);
  if (!Number.isSafeInteger(keep) || keep < 1) throw new RangeError(`at least one checkpoint is kept, not ${keep}`);
  const folder = stepFolder(checkpointsFolder, step);
  const state = `${JSON.stringify(exactJson(contents.state, "state"), null, 2)}\n`;
  let byteLength = 0;
  makeFolder(checkpointsFolder);
  commitDirectory(
    folder,
    (temporary) => {
      const files: Record<string, WrittenFile> = {};
      const metadata = { format: "pt", rookery: checkpointFormat };
      files[weightsName] = writeSafetensors(path.join(temporary, weightsName), contents.weights, metadata);
      files[optimizerName] = writeSafetensors(path.join(temporary, optimizerName), contents.optimizer, metadata);
      const statePath = path.join(temporary, stateName);
      writeFileAtomic(statePath, state);
      files[stateName] = { byteLength: fs.statSync(statePath).size, sha256: sha256OfFile(statePath) };
      const manifest: Manifest = { format: checkpointFormat, rookeryVersion, step, files };
      writeFileAtomic(path.join(temporary, manifestName), `${JSON.stringify(manifest, null, 2)}\n`);
      for (const file of Object.values(files)) byteLength += file.byteLength;
    },
    { replace: true },
  );
  for (const old of listCheckpoints(checkpointsFolder).slice(0, -keep)) {
    if (old.step < step) removeDirectory(old.path);
  }
  return { step, path: folder, byteLength };
}

/**
 * The checkpoints of a folder that have a whole manifest, oldest first. Folders without one (no Rookery leaves such) are
 * passed over. An absent folder has none.
 */
export function listCheckpoints(checkpointsFolder: string): CheckpointReference[] {
  let names: string[];
  try {
    names = fs.readdirSync(checkpointsFolder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw fileError(error, checkpointsFolder, "read");
  }
  const found: CheckpointReference[] = [];
  for (const name of names) {
    const match = /^step-(0|[1-9]\d{0,15})$/.exec(name);
    if (match === null) continue;
    const step = Number(match[1]);
    const folder = path.join(checkpointsFolder, name);
    if (hasManifest(folder, step)) found.push({ step, path: folder });
  }
  return found.sort((a, b) => a.step - b.step);
}

/** The newest checkpoint, or null when there is none. */
export function latestCheckpoint(checkpointsFolder: string): CheckpointReference | null {
  return listCheckpoints(checkpointsFolder).at(-1) ?? null;
}

/**
 * Removes the checkpoints after `step`: call it when a run goes on from an older checkpoint, so that those of the
 * abandoned course are never taken for its own.
 */
export function removeCheckpointsAfter(checkpointsFolder: string, step: number): void {
  for (const reference of listCheckpoints(checkpointsFolder)) {
    if (reference.step > step) removeDirectory(reference.path);
  }
}

/** Folders that stand where checkpoints do but have no whole manifest, so that nothing goes on from them. */
export function brokenCheckpoints(checkpointsFolder: string): string[] {
  const whole = new Set(listCheckpoints(checkpointsFolder).map(({ path: folder }) => folder));
  return fs
    .readdirSync(checkpointsFolder)
    .filter((name) => /^step-\d+$/.test(name))
    .map((name) => path.join(checkpointsFolder, name))
    .filter((folder) => !whole.has(folder));
}

function hasManifest(folder: string, step: number): boolean {
  try {
    return readManifest(folder).step === step;
  } catch (error) {
    // A manifest of another version is a checkpoint all the same: opening it will say what is needed to read it.
    return error instanceof RookeryError && error.code === "UNKNOWN_FORMAT";
  }
}

function readManifest(folder: string): Manifest {
  const manifestPath = path.join(folder, manifestName);
  const value = readJsonFile(manifestPath) as Partial<Manifest> | null;
  if (typeof value !== "object" || value === null || typeof value.format !== "string") {
    throw new RookeryError("FILE_DAMAGED", `${manifestPath} is no manifest`, "take another checkpoint");
  }
  if (value.format !== checkpointFormat) {
    throw new RookeryError(
      "UNKNOWN_FORMAT",
      `${manifestPath} has the format ${quoteForMessage(value.format)}; this Rookery reads "${checkpointFormat}"`,
      `use the Rookery version that made it${typeof value.rookeryVersion === "string" ? `: ${quoteForMessage(value.rookeryVersion)}` : ""}`,
    );
  }
  const { rookeryVersion: madeBy, step, files } = value;
  const isWhole =
    typeof madeBy === "string" &&
    typeof step === "number" &&
    Number.isSafeInteger(step) &&
    typeof files === "object" &&
    files !== null &&
    requiredFiles.every((name) => Object.hasOwn(files, name)) &&
    Object.entries(files).every(([name, file]) => isPlainName(name) && isWrittenFile(file));
  if (!isWhole) throw new RookeryError("FILE_DAMAGED", `${manifestPath} is not whole`, "take another checkpoint");
  return { format: checkpointFormat, rookeryVersion: madeBy, step, files };
}

function isWrittenFile(value: unknown): value is WrittenFile {
  if (typeof value !== "object" || value === null) return false;
  const { byteLength, sha256 } = value as Partial<WrittenFile>;
  return Number.isSafeInteger(byteLength) && typeof sha256 === "string" && /^[0-9a-f]{64}$/.test(sha256);
}

/**
 * Opens a checkpoint after verifying the size and the SHA-256 of each of its files. A damaged file is named (FILE_DAMAGED)
 * and the hint names the newest earlier checkpoint that is whole.
 */
export function openCheckpoint(checkpointPath: string): OpenCheckpoint {
  let manifest: Manifest;
  try {
    manifest = verifyCheckpoint(checkpointPath);
  } catch (error) {
    if (!(error instanceof RookeryError) || error.code === "UNKNOWN_FORMAT") throw error;
    throw new RookeryError("FILE_DAMAGED", error.message, mendByEarlier(checkpointPath), { cause: error });
  }
  const state = readJsonFile(path.join(checkpointPath, stateName)) as JsonObject;
  const weights = SafetensorsFile.open(path.join(checkpointPath, weightsName));
  let optimizer: SafetensorsFile;
  try {
    optimizer = SafetensorsFile.open(path.join(checkpointPath, optimizerName));
  } catch (error) {
    weights.close();
    throw error;
  }
  const close = (): void => {
    weights.close();
    optimizer.close();
  };
  return { step: manifest.step, path: checkpointPath, state, weights, optimizer, close, [Symbol.dispose]: close };
}

function verifyCheckpoint(checkpointPath: string): Manifest {
  const manifest = readManifest(checkpointPath);
  for (const [name, expected] of Object.entries(manifest.files)) {
    const filePath = path.join(checkpointPath, name);
    let flaw: string | null = null;
    const size = sizeOf(filePath);
    if (size === undefined) flaw = "is missing";
    else if (size !== expected.byteLength) flaw = `is damaged: ${size} bytes instead of ${expected.byteLength}`;
    else if (sha256OfFile(filePath) !== expected.sha256)
      flaw = "is damaged: its SHA-256 is not the one of the manifest";
    if (flaw !== null) throw new RookeryError("FILE_DAMAGED", `${filePath} ${flaw}`, "take another checkpoint");
  }
  return manifest;
}

function sizeOf(filePath: string): number | undefined {
  try {
    return fs.statSync(filePath, { throwIfNoEntry: false })?.size;
  } catch (error) {
    throw fileError(error, filePath, "read");
  }
}

function mendByEarlier(checkpointPath: string): string {
  const folder = path.dirname(checkpointPath);
  const step = Number(path.basename(checkpointPath).slice("step-".length));
  for (const { step: earlierStep, path: earlierPath } of listCheckpoints(folder).reverse()) {
    if (Number.isNaN(step) || earlierStep >= step) continue;
    try {
      verifyCheckpoint(earlierPath);
    } catch {
      continue;
    }
    return `remove ${checkpointPath} and resume again: ${earlierPath} is whole, and the run goes on from step ${earlierStep}`;
  }
  return "no earlier checkpoint of this run is whole; start the run anew under another name";
}
