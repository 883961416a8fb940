/**
 * Where the results of an evaluation lie: state.db (questions and answers as they come), and at the end items.parquet and
 * summary.json.
 */
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { RookeryError } from "../base/errors.ts";
import { fileError, makeFolder, quoteForMessage, readJsonFile, writeFileAtomic } from "../base/files.ts";
import { isPlainObject } from "../base/option-schema.ts";
import { type Jobs, openJobs } from "../jobs/jobs.ts";
import { type EvalSummary, evalFormat, type ItemRow } from "./summary.ts";

export type Results = Disposable & { name: string; folder: string; jobs: Jobs };

/** @throws RookeryError RUN_EXISTS, MODEL_NOT_FOUND for results that do not exist, RUN_LOCKED, FILE_UNWRITABLE. */
export function openResults(
  name: string,
  { resultsFolder, resume }: { resultsFolder: string; resume: boolean },
): Results {
  const folder = path.join(resultsFolder, name);
  const state = path.join(folder, "state.db");
  const isThere = existsSync(state);
  if (isThere && !resume) {
    throw new RookeryError("RUN_EXISTS", `there are results ${name} already`, "add --resume, or choose another --name");
  }
  if (!isThere && resume) {
    throw new RookeryError("INVALID_OPTION", `there are no results ${name} in ${resultsFolder}`, "leave out --resume");
  }
  makeFolder(folder);
  const jobs = openJobs(state, `the evaluation ${name}`);
  return { name, folder, jobs, [Symbol.dispose]: () => jobs[Symbol.dispose]() };
}

type ColumnType = "STRING" | "DOUBLE" | "INT32";
const columns: Record<keyof ItemRow, ColumnType> = {
  task: "STRING",
  part: "STRING",
  item: "STRING",
  score: "DOUBLE",
  scores: "STRING",
  question: "STRING",
  answer: "STRING",
  reference: "STRING",
  logprobs: "STRING",
  cut_tokens: "INT32",
  failure: "STRING",
};

export async function saveResults({ folder }: Results, summary: EvalSummary, rows: Iterable<ItemRow>): Promise<void> {
  const all = [...rows];
  const { parquetWriteBuffer } = await import("hyparquet-writer");
  const columnData = Object.entries(columns).map(([name, type]) => ({
    name,
    data: all.map((row) => row[name as keyof ItemRow]),
    type,
    nullable: name === "score",
  }));
  writeFileAtomic(path.join(folder, "items.parquet"), new Uint8Array(parquetWriteBuffer({ columnData })));
  writeFileAtomic(path.join(folder, "summary.json"), `${JSON.stringify(summary, null, 2)}\n`);
}

/** The summary of finished results. @throws RookeryError FILE_UNREADABLE, UNKNOWN_FORMAT. */
export function readSummary(folder: string): EvalSummary {
  const file = path.join(folder, "summary.json");
  const value = readJsonFile(file);
  if (isPlainObject(value) && value.format === evalFormat) return value as EvalSummary;
  const format = isPlainObject(value) ? quoteForMessage(String(value.format)) : "no object";
  throw new RookeryError("UNKNOWN_FORMAT", `${file} is ${format}, not ${evalFormat}`, "evaluate again");
}

/** The items of finished results. @param place the folder, or its items.parquet. @throws RookeryError FILE_UNREADABLE, FILE_DAMAGED. */
export async function readItems(place: string): Promise<ItemRow[]> {
  const file = place.endsWith(".parquet") ? place : path.join(place, "items.parquet");
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    throw fileError(error, file, "read");
  }
  const { parquetReadObjects } = await import("hyparquet");
  const damaged = (what: string) =>
    new RookeryError("FILE_DAMAGED", `${file}: ${what}`, "give the items.parquet that `rookery eval run` wrote");
  let rows: Record<string, unknown>[];
  try {
    const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer;
    rows = await parquetReadObjects({ file: buffer });
  } catch (error) {
    throw damaged(`no Parquet file that can be read: ${(error as Error).message.split("\n")[0]}`);
  }
  const missing = Object.keys(columns).find((name) => rows.length > 0 && !(name in rows[0]!));
  if (missing !== undefined) throw damaged(`it has no column ${missing}`);
  return rows as ItemRow[];
}
