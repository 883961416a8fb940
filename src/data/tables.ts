/** CSV and Parquet files through DuckDB: rows as records, read as they are needed. */
import fs from "node:fs";
import path from "node:path";
import type { DuckDBConnection } from "@duckdb/node-api";
import { RookeryError } from "../base/errors.ts";
import type { ProblemKind } from "./problems.ts";

export type TableFormat = "csv" | "tsv" | "parquet";

/** A row as an object of its columns, lists and structs as JSON has them. `row` is counted from 1. */
export type TableRow = { record: Record<string, unknown>; row: number };

export type TableReading = {
  /** `row` is null where the file as a whole is meant; for a row of CSV that is no row, it is the line. */
  problem: (kind: ProblemKind, row: number | null, what: string) => void;
  /** Told how many bytes of the file have been read, as well as that is known. */
  onBytes?: ((count: number) => void) | undefined;
  /** Chooses the columns that are read, by their names; undefined reads none of the file. */
  columns?: ((names: string[]) => string[] | undefined) | undefined;
};

const memoryLimit = "1GB";
/** The longest row of a CSV; a buffer holds two. */
const longestRowBytes = 32 * 1024 * 1024;
const mostRejects = 100_000;

/** Everything that a file might make DuckDB do besides reading that file is switched off. */
async function openFor(paths: readonly string[]): Promise<DuckDBConnection> {
  const { DuckDBInstance } = await import("@duckdb/node-api");
  const instance = await DuckDBInstance.create(":memory:", {
    threads: "1",
    memory_limit: memoryLimit,
    temp_directory: "",
    autoinstall_known_extensions: "false",
    autoload_known_extensions: "false",
    allow_community_extensions: "false",
  });
  const connection = await instance.connect();
  await connection.run("SET enable_progress_bar = true");
  await connection.run("SET enable_progress_bar_print = false");
  await connection.run(`SET allowed_paths = [${paths.map(quoted).join(", ")}]`);
  await connection.run("SET enable_external_access = false");
  await connection.run("SET lock_configuration = true");
  return connection;
}

const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`;
const quotedName = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** A path with * or [ in it is a pattern to DuckDB: each such sign becomes a set that holds it alone. */
const asPattern = (file: string): string => file.replace(/[[*?]/g, "[$&]");

type Source = { sql: string; names: string[] };

async function parquetSource(connection: DuckDBConnection, file: string): Promise<Source> {
  const sql = `read_parquet(${quoted(asPattern(file))}, hive_partitioning = false)`;
  const described = await connection.runAndReadAll(`DESCRIBE SELECT * FROM ${sql}`);
  return { sql, names: described.getColumnsJson()[0] as string[] };
}

/**
 * Nothing is guessed: DuckDB's own guesses look at the rows, and texts with commas and quotes mislead them. The delimiter is a comma,
 * or the sign that stands in a head without commas; quotes are doubled within quotes; the first line names the columns.
 */
async function delimitedSource(connection: DuckDBConnection, file: string, format: "csv" | "tsv"): Promise<Source> {
  const common = [`max_line_size = ${longestRowBytes}`, `buffer_size = ${2 * longestRowBytes}`, "auto_detect = false"];
  const read = (options: readonly string[]): string =>
    `read_csv(${[quoted(asPattern(file)), ...common, ...options].join(", ")})`;
  const line = read([
    "header = false",
    "columns = {'line': 'VARCHAR'}",
    "delim = '\u0001'",
    "quote = ''",
    "escape = ''",
    "ignore_errors = true",
  ]);
  const first = (await connection.runAndReadAll(`SELECT line FROM ${line} LIMIT 1`)).getRowsJson()[0]?.[0];
  const head = String(first ?? "").replace(/^\ufeff/, "");
  if (head.includes("\0")) throw new Error("its first line is no text");
  const delimiter = format === "tsv" ? "\t" : head.includes(",") ? "," : (/[;\t|]/.exec(head)?.[0] ?? ",");
  const names = uniqueNames(cellsOf(head, delimiter));
  const sql = read([
    `columns = {${names.map((name) => `${quoted(name)}: 'VARCHAR'`).join(", ")}}`,
    ...[`delim = ${quoted(delimiter)}`, `quote = '"'`, `escape = '"'`, "header = true"],
    ...["store_rejects = true", `rejects_limit = ${mostRejects}`],
  ]);
  return { sql, names };
}

/** The cells of one line. */
function cellsOf(line: string, delimiter: string): string[] {
  const cells: string[] = [];
  const cell = /"((?:[^"]|"")*)"|[^"]*/y;
  for (let at = 0; at <= line.length; ) {
    const end = line.indexOf(delimiter, at) === -1 ? line.length : line.indexOf(delimiter, at);
    cell.lastIndex = at;
    const inQuotes = line[at] === '"' ? cell.exec(line) : null;
    if (inQuotes?.[1] !== undefined) cells.push(inQuotes[1].replaceAll('""', '"'));
    else cells.push(line.slice(at, end));
    at = (inQuotes === null ? end : at + inQuotes[0].length) + 1;
  }
  return cells;
}

function uniqueNames(names: readonly string[]): string[] {
  const seen = new Set<string>();
  return names.map((given, index) => {
    const name = given.trim() || `column ${index + 1}`;
    let free = name;
    // DuckDB does not tell names apart by their case
    for (let count = 2; seen.has(free.toLowerCase()); count++) free = `${name} ${count}`;
    seen.add(free.toLowerCase());
    return free;
  });
}

/**
 * The rows of a table, in their order. A file that cannot be read is one problem, and what came before the damage is kept; so is each
 * row of a CSV that has too many or too few columns, or is not UTF-8.
 */
export async function* readTableRows(
  file: string,
  format: TableFormat,
  { problem, onBytes, columns }: TableReading,
): AsyncGenerator<TableRow> {
  const whole = path.resolve(file);
  const bytes = fs.statSync(file, { throwIfNoEntry: false })?.size;
  if (bytes === undefined) return problem("unreadable", null, "cannot be read (ENOENT)");
  if (bytes === 0) return problem("malformed", null, "is empty");
  const progress = progressOf(bytes, onBytes ?? (() => {}));
  const connection = await openFor([whole, asPattern(whole)]);
  try {
    const { sql, names } =
      format === "parquet" ? await parquetSource(connection, whole) : await delimitedSource(connection, whole, format);
    const chosen = columns === undefined ? names : columns(names);
    if (chosen === undefined) return;
    // some columns alone of a CSV with wrong rows is a fault inside of DuckDB 1.5 ("index 1 within vector of size 1")
    const wanted = format === "parquet" ? chosen.map(quotedName).join(", ") : "*";
    const result = await connection.stream(`SELECT ${wanted} FROM ${sql}`);
    let row = 0;
    for await (const records of result.yieldRowObjectJson()) {
      for (const record of records) yield { record, row: ++row };
      progress.tell(connection.progress.percentage);
    }
    if (format !== "parquet") await tellRejects(connection, problem);
    progress.tell(100);
  } catch (error) {
    // what a caller makes of a problem, by throwing
    if (error instanceof RookeryError) throw error;
    problem("unreadable", null, `cannot be read as ${format}: ${reasonOf(error)}`);
  } finally {
    connection.closeSync();
  }
}

async function tellRejects(connection: DuckDBConnection, problem: TableReading["problem"]): Promise<void> {
  // a row may be wrong in several ways
  const rejects = await connection.runAndReadAll(
    "SELECT line, any_value(error_message) FROM reject_errors GROUP BY line ORDER BY line",
  );
  for (const [line, message] of rejects.getRowsJson()) {
    problem("malformed", Number(line), `is no row of the table: ${firstLine(String(message))}`);
  }
}

function progressOf(bytes: number, onBytes: (count: number) => void): { tell(percentage: number): void } {
  let told = 0;
  return {
    tell(percentage) {
      const done = Math.floor((bytes * Math.min(100, Math.max(0, percentage))) / 100);
      if (done > told) onBytes(done - told);
      told = Math.max(told, done);
    },
  };
}

/** DuckDB explains itself over many lines; the first says what. */
function reasonOf(error: unknown): string {
  return firstLine((error as Error).message).replace(/^[\w ]*Error: /, "");
}

const firstLine = (text: string): string => text.split("\n")[0]!.slice(0, 200);
