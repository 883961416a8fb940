/** A document as it is read from HTML, PDF, DOCX, Markdown, plain text or a table: what it says, and where. */
import path from "node:path";

export const documentKinds = ["html", "pdf", "docx", "markdown", "text", "table"] as const;
export type DocumentKind = (typeof documentKinds)[number];

/** A stretch of a document: a page of a PDF, elsewhere what stands below one heading. */
export type DocumentSection = {
  /** Counted from 1; null where the document has no pages. */
  page: number | null;
  heading: string | null;
  /**
   * Paragraphs with an empty line between; a row of a table is a line with " | " between its cells.
   * Empty on a flagged page, and where a heading follows a heading at once.
   */
  text: string;
};

/** Tables stand in the text of their section, too. */
export type DocumentTable = {
  page: number | null;
  heading: string | null;
  /** The first row is the head, where there is one. Rows may differ in length. */
  rows: string[][];
};

/** What is wrong with a document that could be read all the same. */
export const documentFlags = {
  emptyPage: "a page without text: a scan, a drawing, or nothing at all",
  garbledPage: "a page whose text is mostly signs without meaning",
  scanned: "most pages have no text that can be read",
  noText: "no text at all",
  badRows: "rows of a table that are no rows, and left out",
} as const;
export type DocumentFlag = { kind: keyof typeof documentFlags; page: number | null };

export type SourceDocument = {
  path: string;
  kind: DocumentKind;
  title: string | null;
  /** ISO 639-1, such as "en" and "zh"; null where it cannot be told. */
  language: string | null;
  sections: DocumentSection[];
  tables: DocumentTable[];
  flags: DocumentFlag[];
};

/** What the readers of the kinds find; the rest is the same for all of them. */
export type DocumentContent = Pick<SourceDocument, "title" | "sections" | "tables" | "flags">;

const endings: Readonly<Record<string, DocumentKind>> = {
  ".html": "html",
  ".htm": "html",
  ".xhtml": "html",
  ".pdf": "pdf",
  ".docx": "docx",
  ".md": "markdown",
  ".markdown": "markdown",
  ".txt": "text",
  ".csv": "table",
  ".tsv": "table",
};

/** How a document is read, by the ending of its name; null where it is not. */
export function documentKind(file: string): DocumentKind | null {
  return endings[path.extname(file).toLowerCase()] ?? null;
}

/** All text of a document in its order, headings included. */
export function documentText({ sections }: Pick<SourceDocument, "sections">): string {
  return sections
    .map(({ heading, text }) => (heading === null ? text : `${heading}\n\n${text}`).trim())
    .filter((text) => text !== "")
    .join("\n\n");
}
