/** The bytes of one file into documents, by its format. */
import { quoteForMessage } from "../base/files.ts";
import { JsonSplitter } from "./json-values.ts";
import { decodeUtf8, LineSplitter } from "./lines.ts";
import { PassageCutter } from "./passages.ts";
import type { ProblemKind } from "./problems.ts";

/** The longest JSON record that is read; a longer one is skipped without being held in memory. */
const MAX_RECORD_BYTES = 32 * 1024 * 1024;
/** A longer line of plain text is taken in pieces of this size. */
const TEXT_PIECE_BYTES = 64 * 1024;

/** Fields that hold the text in well-known data sets, in the order in which they are tried. */
export const textFields = ["text", "content", "body", "article", "document", "passage", "story", "markdown", "code"];

export type RawDocument = { text: string; line: number };

export type ReaderOptions = {
  textField: string | undefined;
  maxDocumentCharacters: number;
  problem: (kind: ProblemKind, line: number, what: string) => void;
};

/** Takes a file's bytes in chunks and gives what each chunk completes. */
export type PieceReader<Piece> = {
  push(chunk: Uint8Array): Piece[];
  end(): Piece[];
};

export type DocumentReader = PieceReader<RawDocument>;

/** A JSON value of a file, whatever it is. */
export type RawRecord = { record: unknown; line: number };

type OnProblem = ReaderOptions["problem"];
/** What a JSON value becomes: none or some pieces. */
type FromRecord<Piece> = (raw: RawRecord) => Piece[];

export type DocumentFormat = "text" | "json" | "jsonl";

const invalidUtf8 = (bytes: Uint8Array, line: number): string => {
  const isUtf16 = line === 1 && ((bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff));
  return isUtf16 ? "is UTF-16, not UTF-8" : "is not valid UTF-8";
};

/** A byte order mark says nothing in UTF-8 and is no part of the text. */
const withoutMark = (text: string): string => (text.startsWith("\ufeff") ? text.slice(1) : text);

function textReader(options: ReaderOptions): DocumentReader {
  const splitter = new LineSplitter(TEXT_PIECE_BYTES);
  const cutter = new PassageCutter(options.maxDocumentCharacters);
  /** Whether the rest of a paragraph is to be left out, because a line of it could not be read. */
  let spoiled = false;
  let started = false;
  const take = (lines: ReturnType<LineSplitter["push"]>): RawDocument[] =>
    lines.flatMap(({ bytes, line, cut }) => {
      let text = decodeUtf8(bytes);
      if (text === null) {
        options.problem("invalidUtf8", line, invalidUtf8(bytes, line));
        cutter.drop();
        spoiled = true;
        return [];
      }
      if (!started) text = withoutMark(text);
      started = true;
      if (spoiled && text.trim() !== "") return [];
      spoiled = false;
      return cutter.add(cut ? text : `${text.replace(/\r$/, "")}\n`, line);
    });
  return {
    push: (chunk) => take(splitter.push(chunk)),
    end: () => [...take(splitter.end()), ...cutter.end()],
  };
}

/** The text of one JSON record, or what is wrong with it. */
function recordText(
  value: unknown,
  textField: string | undefined,
): { text: string } | { kind: ProblemKind; what: string } {
  if (typeof value === "string") return { text: value };
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return { kind: "malformed", what: "is neither an object nor a string" };
  }
  const record = value as Record<string, unknown>;
  for (const field of textField === undefined ? textFields : [textField]) {
    if (Object.hasOwn(record, field) && typeof record[field] === "string") return { text: record[field] };
  }
  const wanted = textField === undefined ? "field of text among its fields" : `field ${quoteForMessage(textField)}`;
  return { kind: "missingField", what: `has no ${wanted} (it has ${shownNames(Object.keys(record))})` };
}

export function shownNames(names: readonly string[]): string {
  const some = names.slice(0, 8).map((name) => quoteForMessage(name, 30));
  return some.join(", ") || "none";
}

function parseRecord(bytes: Uint8Array, line: number, problem: OnProblem): RawRecord[] {
  const source = decodeUtf8(bytes);
  if (source === null) {
    problem("invalidUtf8", line, invalidUtf8(bytes, line));
    return [];
  }
  const json = withoutMark(source);
  if (json.trim() === "") return [];
  try {
    return [{ record: JSON.parse(json) as unknown, line }];
  } catch {
    // V8's own message quotes the text, which may be anything.
    problem("malformed", line, "is not valid JSON");
    return [];
  }
}

/** The column of a table that holds its texts: the one that is named, a known one, or the only one there is. */
export function textColumn(names: readonly string[], textField: string | undefined): string | undefined {
  if (textField !== undefined) return names.find((name) => name === textField);
  const known = textFields.find((field) => names.some((name) => name.toLowerCase() === field));
  return names.length === 1 ? names[0] : names.find((name) => name.toLowerCase() === known);
}

export function documentOf({ record, line }: RawRecord, options: ReaderOptions): RawDocument[] {
  const found = recordText(record, options.textField);
  if ("kind" in found) options.problem(found.kind, line, found.what);
  else if (!found.text.isWellFormed()) options.problem("malformed", line, "has half of a surrogate pair in its text");
  else return [{ text: found.text, line }];
  return [];
}

const tooLong = `is longer than ${MAX_RECORD_BYTES / 2 ** 20} MiB`;

function jsonLinesReader<Piece>(problem: OnProblem, from: FromRecord<Piece>): PieceReader<Piece> {
  const splitter = new LineSplitter(MAX_RECORD_BYTES);
  let skipping = 0;
  const take = (lines: ReturnType<LineSplitter["push"]>): Piece[] =>
    lines.flatMap(({ bytes, line, cut }) => {
      if (cut && skipping !== line) problem("tooLong", line, tooLong);
      if (cut) skipping = line;
      return skipping === line ? [] : parseRecord(bytes, line, problem).flatMap(from);
    });
  return { push: (chunk) => take(splitter.push(chunk)), end: () => take(splitter.end()) };
}

function jsonReader<Piece>(problem: OnProblem, from: FromRecord<Piece>): PieceReader<Piece> {
  const splitter = new JsonSplitter(MAX_RECORD_BYTES);
  let started = false;
  const take = (elements: ReturnType<JsonSplitter["push"]>): Piece[] =>
    elements.flatMap(({ bytes, line, unfinished }) => {
      if (unfinished) problem("malformed", line, "is where an unfinished JSON value begins");
      else if (bytes === null) problem("tooLong", line, tooLong);
      else return parseRecord(bytes, line, problem).flatMap(from);
      return [];
    });
  return {
    push: (chunk) => {
      const hasMark = !started && chunk[0] === 0xef && chunk[1] === 0xbb && chunk[2] === 0xbf;
      started = true;
      return take(splitter.push(hasMark ? chunk.subarray(3) : chunk));
    },
    end: () => take(splitter.end()),
  };
}

export function documentReader(format: DocumentFormat, options: ReaderOptions): DocumentReader {
  if (format === "text") return textReader(options);
  return (format === "jsonl" ? jsonLinesReader : jsonReader)(options.problem, (raw) => documentOf(raw, options));
}

/** The values of a JSON file as they are. */
export function recordReader(format: "json" | "jsonl", problem: OnProblem): PieceReader<RawRecord> {
  return (format === "jsonl" ? jsonLinesReader : jsonReader)(problem, (raw) => [raw]);
}
