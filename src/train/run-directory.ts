import fs from "node:fs";
import path from "node:path";
import { type RunConfig, runConfigFormat } from "../base/config.ts";
import { RookeryError } from "../base/errors.ts";
import {
  checkName,
  fileError,
  ioChunkBytes,
  isTemporaryName,
  makeFolder,
  quoteForMessage,
  readAll,
  readJsonFile,
  recoverFolder,
  writeAll,
  writeFileAtomic,
} from "../base/files.ts";
import { acquireLock, type FileLock } from "../base/lock.ts";
import { isPlainObject } from "../base/option-schema.ts";
import { exactJson } from "./exact-json.ts";

/** One line of `metrics.jsonl`. Records of one step share its number; numbers that are not finite become null. */
export type MetricsRecord = { step: number; [name: string]: unknown };

/** Where the parts of a run lie. */
export type RunPaths = {
  name: string;
  path: string;
  config: string;
  metrics: string;
  checkpoints: string;
  model: string;
  lock: string;
};

/**
 * The paths of the run `name` in the folder of runs. Throws INVALID_OPTION for a name that is not plain, so that no name
 * leaves the folder. Touches no file.
 */
export function runPaths(runsFolder: string, name: string): RunPaths {
  checkName(name, "a run");
  const run = path.join(runsFolder, name);
  return {
    name,
    path: run,
    config: path.join(run, "config.json"),
    metrics: path.join(run, "metrics.jsonl"),
    checkpoints: path.join(run, "checkpoints"),
    model: path.join(run, "model"),
    lock: path.join(run, "lock"),
  };
}

/** True when a run of that name was started: its `config.json` is there. */
export function runExists(runsFolder: string, name: string): boolean {
  return fs.existsSync(runPaths(runsFolder, name).config);
}

/** Throws RUN_EXISTS when a run has that name, or its folder holds files of something else. */
export function refuseTakenName(paths: RunPaths): void {
  if (fs.existsSync(paths.config)) {
    throw new RookeryError(
      "RUN_EXISTS",
      `a run ${quoteForMessage(paths.name)} is already there (${paths.path})`,
      "continue it with --resume, or choose another --name",
    );
  }
  const foreign = entriesOf(paths.path).find((entry) => !isOfUnstartedRun(entry));
  if (foreign !== undefined) {
    throw new RookeryError(
      "RUN_EXISTS",
      `${paths.path} is no run, but holds files already: ${quoteForMessage(foreign)}`,
      "choose another --name",
    );
  }
}

/** True when a new run can take that name. */
export function isNameFree(paths: RunPaths): boolean {
  try {
    refuseTakenName(paths);
    return true;
  } catch (error) {
    if (error instanceof RookeryError && error.code === "RUN_EXISTS") return false;
    throw error;
  }
}

function entriesOf(folder: string): string[] {
  try {
    return fs.readdirSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw fileError(error, folder, "write");
  }
}

/**
 * Starts a run: makes its folder, locks it, writes `config.json`. Throws RUN_EXISTS when the name is taken, RUN_LOCKED
 * when a live process holds it. What is left of a run killed before its configuration was written counts as nothing.
 */
export function createRun(runsFolder: string, name: string, config: RunConfig): RunDirectory {
  const paths = runPaths(runsFolder, name);
  const text = `${JSON.stringify(exactJson(config, "config.json"), null, 2)}\n`;
  makeFolder(paths.path);
  const lock = acquireLock(paths.lock, `the run ${quoteForMessage(name)}`);
  try {
    // Asked under the lock: two processes may want the same name at once.
    refuseTakenName(paths);
    makeFolder(paths.checkpoints);
    writeFileAtomic(paths.metrics, "");
    writeFileAtomic(paths.config, text);
    return new RunDirectory(paths, config, lock);
  } catch (error) {
    lock.release();
    throw fileError(error, paths.path, "write");
  }
}

/** What a run may leave that was killed before its `config.json` was written. */
function isOfUnstartedRun(entry: string): boolean {
  return entry === "lock" || entry === "metrics.jsonl" || entry === "checkpoints" || isTemporaryName(entry);
}

/**
 * Opens a run to go on with it, and locks it. Throws MODEL_NOT_FOUND when there is none, RUN_LOCKED, UNKNOWN_FORMAT when
 * another version of Rookery wrote it, FILE_DAMAGED when its configuration cannot be read.
 */
export function openRun(runsFolder: string, name: string): RunDirectory {
  const paths = runPaths(runsFolder, name);
  if (!fs.existsSync(paths.config)) {
    throw new RookeryError(
      "MODEL_NOT_FOUND",
      `there is no run ${quoteForMessage(name)} in ${runsFolder}`,
      "correct --name, or start it without --resume",
    );
  }
  const lock = acquireLock(paths.lock, `the run ${quoteForMessage(name)}`);
  try {
    const config = readRunConfig(paths.config);
    recoverFolder(paths.path);
    makeFolder(paths.checkpoints);
    recoverFolder(paths.checkpoints);
    return new RunDirectory(paths, config, lock);
  } catch (error) {
    lock.release();
    throw error;
  }
}

/** Reads and checks a run's `config.json`; needs no lock. */
export function readRunConfig(configPath: string): RunConfig {
  const value = readJsonFile(configPath);
  if (!isPlainObject(value) || value.format !== runConfigFormat) {
    const found = isPlainObject(value) && typeof value.format === "string" ? quoteForMessage(value.format) : "none";
    throw new RookeryError(
      "UNKNOWN_FORMAT",
      `${configPath} has the format ${found}; this Rookery reads "${runConfigFormat}"`,
      "use the Rookery version that made the run",
    );
  }
  const { rookeryVersion, command, options } = value;
  if (typeof rookeryVersion !== "string" || typeof command !== "string" || !isPlainObject(options)) {
    throw new RookeryError(
      "FILE_DAMAGED",
      `${configPath} lacks rookeryVersion, command or options`,
      "take another copy of it",
    );
  }
  return { format: runConfigFormat, rookeryVersion, command, options };
}

/** A run that this process holds the lock of. Release it, or hold it with `using`. */
export class RunDirectory implements Disposable {
  readonly paths: RunPaths;
  readonly config: RunConfig;
  private readonly lock: FileLock;
  private metricsDescriptor: number | null = null;

  constructor(paths: RunPaths, config: RunConfig, lock: FileLock) {
    this.paths = paths;
    this.config = config;
    this.lock = lock;
  }

  /** Appends one line to `metrics.jsonl`. It reaches the disk at the latest with the next `syncMetrics`. */
  appendMetrics(record: MetricsRecord): void {
    this.withMetrics((descriptor) => writeAll(descriptor, new TextEncoder().encode(`${JSON.stringify(record)}\n`)));
  }

  /** Makes all metrics so far survive a power cut. Call it before a checkpoint of the same step is saved. */
  syncMetrics(): void {
    this.withMetrics((descriptor) => fs.fsyncSync(descriptor));
  }

  /**
   * Cuts `metrics.jsonl` after the last record of `step`, so that a resumed run writes each step once. A line that was
   * only half written goes too.
   */
  truncateMetrics(step: number): void {
    this.withMetrics((descriptor) => {
      const reader = fs.openSync(this.paths.metrics, "r");
      try {
        fs.ftruncateSync(descriptor, endOfStep(reader, step));
      } finally {
        fs.closeSync(reader);
      }
      fs.fsyncSync(descriptor);
    });
  }

  release(): void {
    if (this.metricsDescriptor !== null) fs.closeSync(this.metricsDescriptor);
    this.metricsDescriptor = null;
    this.lock.release();
  }

  [Symbol.dispose](): void {
    this.release();
  }

  private withMetrics(work: (descriptor: number) => void): void {
    try {
      this.metricsDescriptor ??= fs.openSync(this.paths.metrics, "a");
      work(this.metricsDescriptor);
    } catch (error) {
      throw fileError(error, this.paths.metrics, "write");
    }
  }
}

/** The offset just after the last whole line before the first line of a later step. */
function endOfStep(descriptor: number, step: number): number {
  const buffer = new Uint8Array(ioChunkBytes);
  const decoder = new TextDecoder();
  let position = 0;
  for (;;) {
    const count = readAll(descriptor, buffer, position);
    let start = 0;
    for (;;) {
      const newline = buffer.subarray(0, count).indexOf(0x0a, start);
      if (newline === -1) break;
      if (!belongsTo(decoder.decode(buffer.subarray(start, newline)), step)) return position + start;
      start = newline + 1;
    }
    // No newline in a whole buffer: whatever this is, we did not write it.
    if (start === 0) return position;
    position += start;
  }
}

function belongsTo(line: string, step: number): boolean {
  try {
    const record: unknown = JSON.parse(line);
    return isPlainObject(record) && typeof record.step === "number" && record.step <= step;
  } catch {
    return false;
  }
}
