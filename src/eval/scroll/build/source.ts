/** Documents that a benchmark is built from: one text each, with what stands where in it. */
import path from "node:path";
import { RookeryError } from "../../../base/errors.ts";
import type { CommandContext } from "../../../base/events.ts";
import { documentKind, type SourceDocument } from "../../../data/documents/document.ts";
import { DocumentReader } from "../../../data/documents/read.ts";
import { fileFormat, readFileRecords, resolveFiles } from "../../../data/files.ts";
import { languageOf } from "../record.ts";

/** Characters [start, end) of the document's text. */
export type Span = { start: number; end: number };

export type ScrollSection = Span & { heading: string | null; page: number | null };

/** A table whose first row is its head. */
export type ScrollTable = { heading: string | null; page: number | null; head: string[]; rows: string[][] };

export type ScrollSource = {
  path: string;
  title: string;
  language: "en" | "zh";
  text: string;
  sections: ScrollSection[];
  tables: ScrollTable[];
  /** Pages that were left out because their text is bad: scans, mostly. */
  flaggedPages: number;
  /** Whether the end of the document was left out. */
  isCut: boolean;
};

const isTableFile = (file: string) => ["csv", "tsv"].includes(fileFormat(file)?.format ?? "");

/** Files that a benchmark can be built from. */
export const isSource = (file: string): boolean => documentKind(file) !== null || isTableFile(file);

/** The files that paths, folders and globs stand for. Throws as `resolveFiles`. */
export async function resolveSources(patterns: readonly string[]): Promise<string[]> {
  const files: string[] = [];
  for (const pattern of patterns) files.push(...(await resolveFiles(pattern, () => {}, isSource)).files);
  if (files.length > 0) return [...new Set(files)];
  throw new RookeryError(
    "BAD_DATA",
    `no documents in ${patterns.join(", ")}`,
    "give .html, .pdf, .docx, .md, .txt or .csv",
  );
}

/**
 * Reads documents; one that cannot be used is told of and left out.
 * @param longest most characters of a document: its end is left out at a section's border.
 */
export async function* readSources(
  files: readonly string[],
  longest: number,
  context: CommandContext,
): AsyncGenerator<ScrollSource> {
  await using reader = new DocumentReader();
  for (const file of files) {
    try {
      yield isTableFile(file) ? await readTable(file) : sourceOf(await reader.read(file, context), longest);
    } catch (error) {
      if (!(error instanceof RookeryError)) throw error;
      context.onEvent?.({ type: "warning", message: `${error.message}; left out` });
    }
  }
}

/** Lays the sections of a document out as one text. */
export function sourceOf(document: SourceDocument, longest: number): ScrollSource {
  const bad = new Set(document.flags.map(({ page }) => page));
  const sections: ScrollSection[] = [];
  let text = "";
  let isCut = false;
  for (const { heading, page, text: body } of document.sections) {
    if (page !== null && bad.has(page)) continue;
    const part = heading === null ? body.trim() : `${heading}\n\n${body.trim()}`.trim();
    if (part === "") continue;
    if (text.length + part.length > longest && sections.length > 0) {
      isCut = true;
      break;
    }
    if (text !== "") text += "\n\n";
    sections.push({ heading, page, start: text.length, end: text.length + part.length });
    text += part;
  }
  if (text === "") throw new RookeryError("BAD_DATA", `${document.path} has no text that can be read`, "leave it out");
  const inText = new Set(sections.map(({ page, heading }) => `${page} ${heading}`));
  const language =
    document.language === "zh" ? "zh" : document.language === "en" ? "en" : (languageOf(text) as "en" | "zh");
  return {
    path: document.path,
    title: document.title ?? path.basename(document.path),
    ...{ language, text, sections, isCut },
    tables: document.tables
      .filter(({ page, heading }) => inText.has(`${page} ${heading}`))
      .map(({ rows: [head = [], ...rows], ...place }) => ({ ...place, head, rows })),
    flaggedPages: document.flags.filter(({ page }) => page !== null).length,
  };
}

const mostTableRows = 5000;

/** A table file is one table, laid out as tables are in the text of other documents. */
async function readTable(file: string): Promise<ScrollSource> {
  const rows: Record<string, unknown>[] = [];
  for await (const { record } of readFileRecords(file, () => {})) {
    if (rows.length < mostTableRows) rows.push(record as Record<string, unknown>);
  }
  const [first] = rows;
  if (!first) throw new RookeryError("BAD_DATA", `${file} has no rows`, "leave it out");
  const head = Object.keys(first);
  const cells = rows.map((row) =>
    head.map((name) =>
      String(row[name] ?? "")
        .replace(/\s+/g, " ")
        .trim(),
    ),
  );
  const title = path.basename(file, path.extname(file));
  const text = [title, "", ...[head, ...cells].map((row) => row.join(" | "))].join("\n");
  return {
    ...{ path: file, title, language: languageOf(text) as "en" | "zh", text, flaggedPages: 0, isCut: false },
    sections: [{ heading: title, page: null, start: 0, end: text.length }],
    tables: [{ heading: title, page: null, head, rows: cells }],
  };
}
