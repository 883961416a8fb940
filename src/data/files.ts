/** Paths, folders and globs into files; files into streams of documents with bounded memory. */
import fs from "node:fs";
import path from "node:path";
import { createGunzip } from "node:zlib";
import { RookeryError } from "../base/errors.ts";
import { fileError, quoteForMessage } from "../base/files.ts";
import { isPlainObject } from "../base/option-schema.ts";
import { documentText } from "./documents/document.ts";
import { DocumentReader } from "./documents/read.ts";
import { readUsableDocument } from "./documents/usable.ts";
import { PassageCutter } from "./passages.ts";
import { type ProblemKind, readableFiles } from "./problems.ts";
import {
  type DocumentFormat,
  documentOf,
  documentReader,
  type PieceReader,
  type RawDocument,
  type RawRecord,
  type ReaderOptions,
  recordReader,
  shownNames,
  textColumn,
} from "./readers.ts";
import { readTableRows, type TableFormat, type TableReading, type TableRow } from "./tables.ts";
import { decompressZstd } from "./zstd-frames.ts";

const CHUNK_BYTES = 256 * 1024;

/** Of what is packed into the file itself, its own reader takes care. */
type FileFormat = DocumentFormat | TableFormat | "document";

const formats: Readonly<Record<string, FileFormat>> = {
  ".txt": "text",
  ".md": "text",
  ".json": "json",
  ".jsonl": "jsonl",
  ".ndjson": "jsonl",
  ".csv": "csv",
  ".tsv": "tsv",
  ".parquet": "parquet",
  ".html": "document",
  ".htm": "document",
  ".xhtml": "document",
  ".pdf": "document",
  ".docx": "document",
};

const isTable = (format: FileFormat): format is TableFormat =>
  format === "csv" || format === "tsv" || format === "parquet";

/** Parquet compresses its own columns; documents are read whole, within limits. */
const neverCompressed = new Set<FileFormat>(["parquet", "document"]);

type Compression = "none" | "gzip" | "zstd";

/** How a file is read, by its name; null when this Rookery does not read such files. */
export function fileFormat(file: string): { format: FileFormat; compression: Compression } | null {
  const outer = path.extname(file).toLowerCase();
  const compression = outer === ".gz" ? "gzip" : outer === ".zst" ? "zstd" : "none";
  const inner = compression === "none" ? outer : path.extname(file.slice(0, -outer.length)).toLowerCase();
  const format = formats[inner];
  if (format === undefined || (neverCompressed.has(format) && compression !== "none")) return null;
  return { format, compression };
}

const byName = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** What cannot be listed, on the way. */
type OnUnreadable = (file: string, error: unknown) => void;

/** Files below a folder, in the order of their names. Hidden entries and links to folders are left out. */
async function filesBelow(folder: string, onUnreadable: OnUnreadable): Promise<string[]> {
  const files: string[] = [];
  let entries: fs.Dirent[];
  try {
    entries = await fs.promises.readdir(folder, { withFileTypes: true });
  } catch (error) {
    onUnreadable(folder, error);
    return files;
  }
  for (const entry of entries.sort((a, b) => byName(a.name, b.name))) {
    if (entry.name.startsWith(".")) continue;
    const file = path.join(folder, entry.name);
    if (entry.isDirectory()) files.push(...(await filesBelow(file, onUnreadable)));
    else if (entry.isFile()) files.push(file);
    else if (entry.isSymbolicLink()) {
      const target = await fs.promises.stat(file).catch((error: unknown) => void onUnreadable(file, error));
      if (target?.isFile()) files.push(file);
    }
  }
  return files;
}

const isData = (file: string): boolean => fileFormat(file) !== null;

/**
 * The readable files that a path, a folder or a glob stands for, in a fixed order. Inside of folders and globs, files
 * of other kinds are counted as `ignored`. Throws FILE_UNREADABLE when there is nothing of that name, and BAD_DATA for
 * a single file of a kind that is not read.
 * @param kinds those files, as an error names them.
 * @param isReadable which files the caller can read; by default those that `readFileDocuments` can.
 */
export async function resolveFiles(
  pattern: string,
  onUnreadable: OnUnreadable,
  isReadable: (file: string) => boolean = isData,
  kinds: string = readableFiles,
): Promise<{ files: string[]; ignored: number }> {
  let found: string[];
  try {
    const stats = await fs.promises.stat(pattern);
    if (!stats.isDirectory()) {
      if (isReadable(pattern)) return { files: [pattern], ignored: 0 };
      throw new RookeryError("BAD_DATA", `${pattern} is of a kind that is not read`, `give ${kinds}`);
    }
    found = await filesBelow(pattern, onUnreadable);
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === "ENOENT";
    if (!isMissing || !/[*?[{]/.test(pattern)) throw fileError(error, pattern, "read");
    found = [];
    for await (const file of fs.promises.glob(pattern)) {
      const stats = await fs.promises.stat(file).catch((problem: unknown) => void onUnreadable(file, problem));
      if (stats?.isFile()) found.push(file);
    }
    found.sort(byName);
    if (found.length === 0) {
      const hint = "correct the pattern, or quote it so that the shell leaves it alone";
      throw new RookeryError("FILE_UNREADABLE", `no file matches ${quoteForMessage(pattern)}`, hint);
    }
  }
  const files = found.filter(isReadable);
  return { files, ignored: found.length - files.length };
}

export type FileReading = Omit<ReaderOptions, "problem"> & {
  problem: (kind: ProblemKind, line: number | null, what: string) => void;
  /** Told how many bytes of the file, as it lies on the disk, have been read. */
  onBytes?: ((count: number) => void) | undefined;
  /** Reads HTML, PDF and DOCX; without one, each such file gets one of its own. */
  documents?: DocumentReader | undefined;
  signal?: AbortSignal | undefined;
};

async function* decompressed(raw: fs.ReadStream, compression: Compression): AsyncGenerator<Uint8Array> {
  if (compression === "none") yield* raw;
  else if (compression === "zstd") yield* decompressZstd(raw, CHUNK_BYTES);
  else {
    const gunzip = createGunzip({ chunkSize: CHUNK_BYTES });
    raw.on("error", (error) => gunzip.destroy(error));
    yield* raw.pipe(gunzip);
  }
}

/**
 * The documents of one file. A file that cannot be opened or decompressed is one problem: what came before the place
 * of the damage is kept.
 */
export async function* readFileDocuments(file: string, reading: FileReading): AsyncGenerator<RawDocument> {
  const kind = fileFormat(file);
  if (kind === null) {
    reading.problem("unsupportedFile", null, "is of a kind that is not read");
    return;
  }
  if (kind.format === "document") yield* readDocumentOfPeople(file, reading);
  else if (isTable(kind.format)) yield* readTableDocuments(file, kind.format, kind.compression, reading);
  else yield* readPieces(file, kind.compression, documentReader(kind.format, reading), reading);
}

/** Its text is cut as plain text is; `line` counts the lines of that text. */
async function* readDocumentOfPeople(file: string, reading: FileReading): AsyncGenerator<RawDocument> {
  await using own = reading.documents === undefined ? new DocumentReader() : undefined;
  const { problem, signal, onBytes, maxDocumentCharacters } = reading;
  const reader = reading.documents ?? own!;
  const document = await readUsableDocument(file, reader, problem, signal === undefined ? {} : { signal });
  onBytes?.(fs.statSync(file, { throwIfNoEntry: false })?.size ?? 0);
  if (document === undefined) return;
  const cutter = new PassageCutter(maxDocumentCharacters);
  yield* cutter.add(documentText(document), 1);
  yield* cutter.end();
}

/** DuckDB takes an archive that is cut off for one that ends there, so it is unpacked once before. */
async function* tableRows(
  file: string,
  format: TableFormat,
  compression: Compression,
  reading: TableReading,
): AsyncGenerator<TableRow> {
  if (compression !== "none") {
    const raw = fs.createReadStream(file, { highWaterMark: CHUNK_BYTES });
    try {
      for await (const _ of decompressed(raw, compression));
    } catch (error) {
      reading.problem("unreadable", null, damageOf(error));
      return;
    } finally {
      raw.destroy();
    }
  }
  yield* readTableRows(file, format, reading);
}

function damageOf(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  const isSystem = error instanceof Error && "syscall" in error;
  return isSystem ? `cannot be read (${code})` : `cannot be decompressed (${code ?? "damaged"})`;
}

/** The texts of one column. */
async function* readTableDocuments(
  file: string,
  format: TableFormat,
  compression: Compression,
  reading: FileReading,
): AsyncGenerator<RawDocument> {
  const { textField, problem, onBytes } = reading;
  let column = "";
  const columns = (names: string[]): string[] | undefined => {
    const found = textColumn(names, textField);
    if (found !== undefined) {
      column = found;
      return [found];
    }
    const wanted =
      textField === undefined ? "column of text among its columns" : `column ${quoteForMessage(textField)}`;
    problem("missingField", null, `has no ${wanted} (it has ${shownNames(names)})`);
    return undefined;
  };
  for await (const { record, row } of tableRows(file, format, compression, { problem, onBytes, columns })) {
    if (record[column] === null) problem("missingField", row, "is a row without text");
    else yield* documentOf({ record, line: row }, { ...reading, textField: column });
  }
}

/** Turns stand in a column of text as JSON; any other JSON is a text, such as an answer. */
function withTurns(record: Record<string, unknown>): Record<string, unknown> {
  const entries = Object.entries(record).map(([name, value]) => {
    return [name, typeof value === "string" ? (turnsIn(value) ?? value) : value];
  });
  return Object.fromEntries(entries);
}

function turnsIn(text: string): unknown {
  if (!/^\s*\[\s*\{/.test(text)) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    const isTurn = (one: unknown) => isPlainObject(one) && ("role" in one || "from" in one);
    return Array.isArray(value) && value.some(isTurn) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The JSON values of one file, the rows of a table among them; what cannot be read of it is a problem each. Text files have none. */
export async function* readFileRecords(file: string, problem: FileReading["problem"]): AsyncGenerator<RawRecord> {
  const kind = fileFormat(file);
  if (kind === null || kind.format === "text" || kind.format === "document") {
    problem("unsupportedFile", null, "holds no records: .json, .jsonl, .csv, .tsv and .parquet do");
  } else if (isTable(kind.format)) {
    for await (const { record, row } of tableRows(file, kind.format, kind.compression, { problem })) {
      yield { record: withTurns(record), line: row };
    }
  } else yield* readPieces(file, kind.compression, recordReader(kind.format, problem), { problem });
}

async function* readPieces<Piece>(
  file: string,
  compression: Compression,
  reader: PieceReader<Piece>,
  reading: Pick<FileReading, "problem" | "onBytes">,
): AsyncGenerator<Piece> {
  const raw = fs.createReadStream(file, { highWaterMark: CHUNK_BYTES });
  raw.on("data", (chunk) => reading.onBytes?.(chunk.length));
  const chunks = decompressed(raw, compression);
  let lines = 1;
  try {
    for (;;) {
      let chunk: IteratorResult<Uint8Array>;
      try {
        chunk = await chunks.next();
      } catch (error) {
        const isSystem = error instanceof Error && "syscall" in error;
        reading.problem("unreadable", isSystem ? null : lines, damageOf(error));
        break;
      }
      if (chunk.done) break;
      for (let at = chunk.value.indexOf(10); at !== -1; at = chunk.value.indexOf(10, at + 1)) lines++;
      yield* reader.push(chunk.value);
    }
    yield* reader.end();
  } finally {
    await chunks.return(undefined);
    raw.destroy();
  }
}
