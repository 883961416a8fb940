/** A tree of HTML as sections and tables. */
import type { DocumentSection, DocumentTable } from "./document.ts";

/** What is asked of a node of a DOM, whichever library has made it. */
export type HtmlNode = {
  readonly nodeType: number;
  readonly nodeName: string;
  readonly nodeValue: string | null;
  readonly childNodes: Iterable<HtmlNode>;
};

const TEXT = 3;
const ELEMENT = 1;
const silent = new Set("SCRIPT STYLE NOSCRIPT TEMPLATE SVG MATH IFRAME OBJECT HEAD BUTTON SELECT TEXTAREA".split(" "));
const blocks = new Set(
  (
    "ADDRESS ARTICLE ASIDE BLOCKQUOTE BODY DD DETAILS DIV DL DT FIGCAPTION FIGURE FOOTER FORM HEADER HR LI MAIN NAV OL P PRE " +
    "SECTION SUMMARY TABLE TBODY TFOOT THEAD TR UL CAPTION"
  ).split(" "),
);

/** The text of a node, white space as a browser shows it, blocks apart from each other. */
function textOf(root: HtmlNode): string {
  const parts: string[] = [];
  const visit = (node: HtmlNode, isVerbatim: boolean): void => {
    if (node.nodeType === TEXT) {
      parts.push(isVerbatim ? (node.nodeValue ?? "") : (node.nodeValue ?? "").replace(/\s+/g, " "));
      return;
    }
    const name = node.nodeName.toUpperCase();
    if (node.nodeType !== ELEMENT || silent.has(name)) return;
    if (name === "BR") parts.push("\n");
    const isBlock = blocks.has(name);
    if (isBlock) parts.push("\n\n");
    if (name === "LI") parts.push("- ");
    for (const child of node.childNodes) visit(child, isVerbatim || name === "PRE");
    if (isBlock) parts.push("\n\n");
  };
  visit(root, false);
  return tidy(parts.join(""));
}

function tidy(text: string): string {
  return text
    .replace(/^- \s+/gm, "- ")
    .replace(/[ \t]+\n/g, "\n")
    .replace(/\n{3,}/g, "\n\n")
    .trim();
}

export const isHeading = (name: string): boolean => /^H[1-6]$/.test(name);

/** Cells of a table, without those of tables within; rows without any text are left out. */
function rowsOf(table: HtmlNode): string[][] {
  const rows: string[][] = [];
  const visit = (node: HtmlNode): void => {
    for (const child of node.childNodes) {
      const name = child.nodeName.toUpperCase();
      if (name === "TR") {
        const cells = [...child.childNodes].filter(({ nodeName }) => /^T[DH]$/i.test(nodeName));
        const texts = cells.map((cell) => textOf(cell).replace(/\s+/g, " "));
        if (texts.some((text) => text !== "")) rows.push(texts);
      } else if (name !== "TABLE") visit(child);
    }
  };
  visit(table);
  return rows;
}

export const rowText = (cells: readonly string[]): string => cells.join(" | ");

/**
 * Splits at headings. A table with one column only lays a page out, and is read as the text that it holds.
 * @throws RangeError for a tree that is nested too deeply for the stack.
 */
export function readBlocks(root: HtmlNode): { sections: DocumentSection[]; tables: DocumentTable[] } {
  const sections: DocumentSection[] = [];
  const tables: DocumentTable[] = [];
  let heading: string | null = null;
  let parts: string[] = [];
  const flush = (): void => {
    const text = tidy(parts.join(""));
    if (text !== "" || heading !== null) sections.push({ page: null, heading, text });
    parts = [];
  };
  const visit = (node: HtmlNode): void => {
    const name = node.nodeName.toUpperCase();
    if (node.nodeType === TEXT) parts.push((node.nodeValue ?? "").replace(/\s+/g, " "));
    if (node.nodeType !== ELEMENT || silent.has(name)) return;
    if (isHeading(name)) {
      const text = textOf(node).replace(/\s+/g, " ");
      // an empty heading is an anchor or an ornament
      if (text === "") return;
      flush();
      heading = text;
      return;
    }
    if (name === "PRE") {
      parts.push(`\n\n${textOf(node)}\n\n`);
      return;
    }
    if (name === "TABLE") {
      const rows = rowsOf(node);
      if (rows.some((cells) => cells.length > 1)) {
        tables.push({ page: null, heading, rows });
        parts.push(`\n\n${rows.map(rowText).join("\n")}\n\n`);
        return;
      }
    }
    if (name === "BR") parts.push("\n");
    const isBlock = blocks.has(name);
    if (isBlock) parts.push("\n\n");
    if (name === "LI") parts.push("- ");
    for (const child of node.childNodes) visit(child);
    if (isBlock) parts.push("\n\n");
  };
  visit(root);
  flush();
  return { sections, tables };
}
