/** Where the parts of a run of synthesis lie, and the reading of what it wrote. */
import fs from "node:fs";
import path from "node:path";
import { createInterface } from "node:readline";
import { RookeryError } from "../base/errors.ts";
import { checkName, fileError } from "../base/files.ts";
import type { SynthRecord } from "./record.ts";

export type SynthPaths = {
  name: string;
  folder: string;
  config: string;
  /** Jobs and answers: the state. */
  state: string;
  /** Every record with what became of it, a JSON line each. */
  records: string;
  /** What was kept, as conversations. */
  data: string;
  parquet: string;
  /** What a person is asked about: `rookery review` opens it. */
  review: string;
  summary: string;
};

/** @throws RookeryError INVALID_OPTION for a name that could leave the folder. */
export function synthPaths(runsFolder: string, name: string): SynthPaths {
  checkName(name, "a run");
  const folder = path.join(runsFolder, name);
  return {
    name,
    folder,
    config: path.join(folder, "config.json"),
    state: path.join(folder, "synth.sqlite"),
    records: path.join(folder, "records.jsonl"),
    data: path.join(folder, "data.jsonl"),
    parquet: path.join(folder, "data.parquet"),
    review: path.join(folder, "review.jsonl"),
    summary: path.join(folder, "summary.json"),
  };
}

/** Takes away what a run wrote before it made anything; whatever else is in the folder stays. */
export function removeUnused({ folder, config, state }: SynthPaths): void {
  for (const file of [config, state, `${state}-wal`, `${state}-shm`]) fs.rmSync(file, { force: true });
  try {
    fs.rmdirSync(folder);
  } catch {
    // it is not empty
  }
}

/**
 * Every record of a run that has ended, one at a time.
 * @throws RookeryError FILE_UNREADABLE; FILE_DAMAGED for a line that is no record.
 */
export async function* readRecords(recordsFile: string): AsyncGenerator<SynthRecord> {
  let line = 0;
  try {
    for await (const text of createInterface({
      input: fs.createReadStream(recordsFile),
      crlfDelay: Number.POSITIVE_INFINITY,
    })) {
      line += 1;
      yield JSON.parse(text) as SynthRecord;
    }
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw fileError(error, recordsFile, "read");
    throw new RookeryError(
      "FILE_DAMAGED",
      `${recordsFile}:${line} is no record`,
      "write it anew: rookery synth run --resume",
    );
  }
}
