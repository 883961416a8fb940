/** Comma- and tab-separated values as a document that is one table. */
import fs from "node:fs";
import path from "node:path";
import { readTableRows } from "../tables.ts";
import { rowText } from "./blocks.ts";
import type { DocumentContent } from "./document.ts";
import { DocumentFault } from "./fault.ts";

const mostRows = 100_000;

/**
 * The first line is the head. Rows that are no rows are left out, and flagged once.
 * @throws DocumentFault; the signal's reason; a system error of asking for the file.
 */
export async function readTable(file: string, maxBytes: number, signal: AbortSignal): Promise<DocumentContent> {
  const stats = await fs.promises.stat(file);
  if (!stats.isFile()) throw new DocumentFault("is no regular file", "give a file");
  if (stats.size > maxBytes) throw new DocumentFault(`is larger than ${maxBytes / 2 ** 20} MiB`, "split it");
  let hasBadRows = false;
  const problem = (_kind: string, row: number | null, what: string): void => {
    if (row === null) throw new DocumentFault(what, "take another copy of it");
    hasBadRows = true;
  };
  const rows: string[][] = [];
  const format = path.extname(file).toLowerCase() === ".tsv" ? "tsv" : "csv";
  let names: string[] = [];
  const columns = (all: string[]): string[] => {
    names = all;
    return all;
  };
  for await (const { record } of readTableRows(file, format, { problem, columns })) {
    signal.throwIfAborted();
    if (rows.length === mostRows) throw new DocumentFault(`has more than ${mostRows} rows`, "split it");
    rows.push(names.map((name) => oneLine(String(record[name] ?? ""))));
  }
  if (rows.length === 0) throw new DocumentFault("has no rows below its head", "leave it out");
  const table = [names.map(oneLine), ...rows];
  const title = path.basename(file, path.extname(file));
  return {
    title,
    sections: [{ page: null, heading: title, text: table.map(rowText).join("\n") }],
    tables: [{ page: null, heading: title, rows: table }],
    flags: hasBadRows ? [{ kind: "badRows", page: null }] : [],
  };
}

const oneLine = (text: string): string => text.replace(/\s+/g, " ").trim();
