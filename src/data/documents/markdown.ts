/** Markdown and plain text as documents. */
import type { DocumentContent, DocumentSection, DocumentTable } from "./document.ts";

const fence = /^ {0,3}(```+|~~~+)/;
const hashHeading = /^ {0,3}#{1,6}[ \t]+(.*?)[ \t]*#*[ \t]*$/;
const underline = /^ {0,3}(=+|-+)[ \t]*$/;
/** `| --- | :-: |`, the line below the head of a table. */
const delimiterRow = /^[ \t]*\|?[ \t]*:?-+:?[ \t]*(\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;

/** Sections begin at headings, outside of fenced code; the text of a section stays as it is written. */
export function readMarkdown(source: string): DocumentContent {
  const { title: named, body } = withoutFrontMatter(source);
  const lines = body.split("\n");
  const sections: DocumentSection[] = [];
  const tables: DocumentTable[] = [];
  let heading: string | null = null;
  let first: string | null = null;
  let waiting: string[] = [];
  let open: string | null = null;
  const begin = (next: string | null): void => {
    const text = waiting.join("\n").trim();
    if (text !== "" || heading !== null) sections.push({ page: null, heading, text });
    waiting = [];
    heading = next;
    first ??= next;
  };
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at]!;
    const mark = fence.exec(line)?.[1];
    if (open === null && mark !== undefined) open = mark[0]!;
    else if (open !== null && mark?.[0] === open) open = null;
    else if (open === null) {
      const title = hashHeading.exec(line)?.[1] ?? underlined(line, lines[at + 1], lines[at - 1]);
      if (title !== undefined && title !== "") {
        if (!hashHeading.test(line)) at++;
        begin(title);
        continue;
      }
      if (line.includes("|") && delimiterRow.test(lines[at + 1] ?? "") && lines[at + 1]!.includes("-")) {
        const rows = tableAt(lines, at);
        if (rows[0]!.length > 1) tables.push({ page: null, heading, rows });
      }
    }
    waiting.push(line);
  }
  begin(null);
  return { title: named ?? first, sections, tables, flags: [] };
}

/** A line of text with === or --- below it and nothing above. */
function underlined(line: string, below: string | undefined, above: string | undefined): string | undefined {
  const isAlone = (above ?? "").trim() === "" && line.trim() !== "" && !/^\s{4}|^\s*[-*+>|]/.test(line);
  return isAlone && below !== undefined && below.trim().length >= 3 && underline.test(below) ? line.trim() : undefined;
}

function tableAt(lines: readonly string[], at: number): string[][] {
  const cells = (line: string): string[] =>
    line
      .trim()
      .replace(/^\||(?<!\\)\|$/g, "")
      .split(/(?<!\\)\|/)
      .map((cell) => cell.trim().replaceAll("\\|", "|"));
  const rows = [cells(lines[at]!)];
  for (let next = at + 2; next < lines.length && lines[next]!.includes("|"); next++) rows.push(cells(lines[next]!));
  return rows;
}

function withoutFrontMatter(source: string): { title: string | null; body: string } {
  const [whole, matter] = /^---\n([\s\S]{0,10000}?)\n(?:---|\.\.\.)(?:\n|$)/.exec(source) ?? [];
  if (whole === undefined) return { title: null, body: source };
  const title = /^title:[ \t]*["']?(.*?)["']?[ \t]*$/m.exec(matter ?? "")?.[1];
  return { title: title || null, body: source.slice(whole.length) };
}

/** The first line is the title where it is short and stands alone. */
export function readPlainText(source: string): DocumentContent {
  const text = source.trim();
  const title = /^([^\n]{1,120})\n\s*\n/.exec(text)?.[1]?.trim() ?? null;
  return { title, sections: text === "" ? [] : [{ page: null, heading: null, text }], tables: [], flags: [] };
}
