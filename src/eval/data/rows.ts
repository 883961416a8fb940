/** The rows of a data file in a published format: Parquet, JSON lines, JSON, CSV, plain or (but for Parquet) compressed. */
import fs from "node:fs";
import path from "node:path";
import { gunzipSync } from "node:zlib";
import { RookeryError } from "../../base/errors.ts";
import { fileError, quoteForMessage } from "../../base/files.ts";
import { isPlainObject } from "../../base/option-schema.ts";
import { parseCsvLines } from "../../data/csv.ts";
import { readFileRecords } from "../../data/files.ts";

export type Row = Readonly<Record<string, unknown>>;

const mostRows = 5_000_000;
const mostTableBytes = 2 ** 30;

/**
 * @param headless names of the columns of a CSV file that has no heading.
 * @throws RookeryError FILE_UNREADABLE, FILE_DAMAGED, BAD_DATA, UNKNOWN_FORMAT: the first thing that is wrong, and where.
 */
export async function readRows(file: string, headless: readonly string[] = []): Promise<Row[]> {
  const name = file.toLowerCase().replace(/\.(gz|zst)$/, "");
  switch (path.extname(name)) {
    case ".parquet":
      return await parquetRows(file);
    case ".csv":
      return csvRows(file, headless);
    case ".json":
    case ".jsonl":
    case ".ndjson":
      return await jsonRows(file);
    default:
      throw new RookeryError("UNKNOWN_FORMAT", `${file} is no data file`, "give .parquet, .jsonl, .json or .csv");
  }
}

export const isDataFile = (file: string): boolean => /\.(parquet|((jsonl?|ndjson|csv)(\.gz)?))$/i.test(file);

async function jsonRows(file: string): Promise<Row[]> {
  const rows: Row[] = [];
  const problem = (_kind: string, line: number | null, what: string) => {
    const where = line === null ? file : `${file}, line ${line}`;
    throw new RookeryError("FILE_DAMAGED", `${where} ${what}`, "mend it, or take another copy of the file");
  };
  for await (const { record, line } of readFileRecords(file, problem)) {
    if (!isPlainObject(record)) {
      throw new RookeryError("BAD_DATA", `${file}, line ${line} is no object`, "give an object with fields a line");
    }
    rows.push(record);
  }
  return rows;
}

function csvRows(file: string, headless: readonly string[]): Row[] {
  const bytes = readWhole(file);
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(/\.gz$/i.test(file) ? gunzipSync(bytes) : bytes);
  } catch {
    throw new RookeryError("FILE_DAMAGED", `${file} is not UTF-8 text`, "take another copy of the file");
  }
  const lines = parseCsvLines(text, file, mostRows);
  const first = lines[0] ?? [];
  const names = headless.length === first.length && !first.includes(headless[0]!) ? headless : first;
  return (names === first ? lines.slice(1) : lines).map((cells, index) => {
    if (cells.length > names.length) {
      throw new RookeryError(
        "BAD_DATA",
        `${file}, row ${index + 1} has ${cells.length} cells, and there are ${names.length} columns`,
        "quote cells that hold commas, quotes or line breaks",
      );
    }
    return Object.fromEntries(names.map((name, column) => [name, cells[column] ?? ""]));
  });
}

async function parquetRows(file: string): Promise<Row[]> {
  const bytes = readWhole(file);
  const { parquetMetadata, parquetReadObjects } = await import("hyparquet");
  try {
    const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer;
    const metadata = parquetMetadata(buffer);
    if (!(Number(metadata.num_rows) <= mostRows)) throw new Error(`it claims ${metadata.num_rows} rows`);
    const rows = await parquetReadObjects({ file: buffer, metadata });
    return rows.map((row) => plain(row) as Row);
  } catch (error) {
    throw new RookeryError(
      "FILE_DAMAGED",
      `${file} is no Parquet file that can be read: ${(error as Error).message.split("\n")[0]}`,
      "take another copy of the file",
    );
  }
}

/** 64-bit integers as numbers. */
function plain(value: unknown): unknown {
  if (typeof value === "bigint") return Number(value);
  if (Array.isArray(value)) return value.map(plain);
  if (!isPlainObject(value) || value instanceof Date || ArrayBuffer.isView(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
}

function readWhole(file: string): Uint8Array {
  try {
    const { size } = fs.statSync(file);
    if (size > mostTableBytes) {
      const limit = `${size} bytes, at most ${mostTableBytes} are read whole`;
      throw new RookeryError("FILE_UNREADABLE", `${file} has ${limit}`, "give it in several files");
    }
    return fs.readFileSync(file);
  } catch (error) {
    throw fileError(error, file, "read");
  }
}

/** A field that must be text (or a number, as text). @throws RookeryError BAD_DATA naming row and column. */
export function textOf(row: Row, column: string): string {
  const value = row[column];
  if (typeof value === "string") return value;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  throw wrongColumn(row, column, "text");
}

/** A field that must be a list of texts. @throws RookeryError BAD_DATA. */
export function textsOf(row: Row, column: string): string[] {
  const value = row[column];
  if (Array.isArray(value) && value.every((one) => typeof one === "string")) return value;
  throw wrongColumn(row, column, "a list of texts");
}

/** A field that must be a whole number from 0, perhaps as text. @throws RookeryError BAD_DATA. */
export function indexOf(row: Row, column: string): number {
  const value = row[column];
  const number = typeof value === "string" && /^\d+$/.test(value.trim()) ? Number(value) : value;
  if (typeof number === "number" && Number.isInteger(number) && number >= 0) return number;
  throw wrongColumn(row, column, "a whole number");
}

export function wrongColumn(row: Row, column: string, expected: string): RookeryError {
  const names = Object.keys(row)
    .slice(0, 10)
    .map((name) => quoteForMessage(name, 30))
    .join(", ");
  const found =
    row[column] === undefined
      ? `there is no column ${quoteForMessage(column)} (there are ${names || "none"})`
      : `the column ${quoteForMessage(column)} is no ${expected.replace(/^an? /, "")}: ${quoteForMessage(JSON.stringify(row[column]) ?? "", 60)}`;
  return new RookeryError("BAD_DATA", found, "give the data set in its published format");
}
