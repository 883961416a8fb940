/** Documents that a benchmark is built from: one text each, with what stands where in it. */
import path from "node:path";
import { RookeryError } from "../../../base/errors.ts";
import type { CommandContext } from "../../../base/events.ts";
import { rowText } from "../../../data/documents/blocks.ts";
import { documentKind, type SourceDocument } from "../../../data/documents/document.ts";
import { DocumentReader } from "../../../data/documents/read.ts";
import { resolveFiles } from "../../../data/files.ts";
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

const sourceKinds = ".html, .pdf, .docx, .md, .txt, .csv or .tsv";

/** Files that a benchmark can be built from. */
export const isSource = (file: string): boolean => documentKind(file) !== null;

/** The files that paths, folders and globs stand for. Throws as `resolveFiles`. */
export async function resolveSources(patterns: readonly string[]): Promise<string[]> {
  const files: string[] = [];
  for (const pattern of patterns) files.push(...(await resolveFiles(pattern, () => {}, isSource, sourceKinds)).files);
  if (files.length > 0) return [...new Set(files)];
  throw new RookeryError("BAD_DATA", `no documents in ${patterns.join(", ")}`, `give ${sourceKinds}`);
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
      yield sourceOf(withShortTable(await reader.read(file, context)), longest);
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

/** Of a long table its beginning. */
function withShortTable(document: SourceDocument): SourceDocument {
  const [table] = document.tables;
  const [section] = document.sections;
  if (document.kind !== "table" || !table || !section) return document;
  const rows = table.rows.slice(0, mostTableRows + 1);
  return { ...document, sections: [{ ...section, text: rows.map(rowText).join("\n") }], tables: [{ ...table, rows }] };
}
