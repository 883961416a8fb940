/** Comma-separated values (RFC 4180): cells optionally in double quotes, which may then hold commas, quotes and line breaks. */
import { RookeryError } from "../base/errors.ts";

/** The cells of each line, lines of empty cells left out. @throws RookeryError BAD_DATA, naming the character. */
export function parseCsvLines(content: string, source: string, mostLines = 10_000_000): string[][] {
  const text = content.replace(/^\uFEFF/, "");
  const lines: string[][] = [];
  const cell = /(?:"([^"]*(?:""[^"]*)*)"|([^",\r\n]*))(,|\r?\n|$)/y;
  let line: string[] = [];
  while (cell.lastIndex < text.length || line.length > 0) {
    const start = cell.lastIndex;
    const found = cell.exec(text);
    if (!found || lines.length > mostLines) {
      throw new RookeryError(
        "BAD_DATA",
        `${source} is no CSV at character ${start}`,
        "quote cells that hold commas, quotes or line breaks",
      );
    }
    line.push(found[1]?.replaceAll('""', '"') ?? found[2] ?? "");
    if (found[3] !== ",") {
      if (line.some((one) => one !== "")) lines.push(line);
      line = [];
    }
    if (found[3] === "") break;
  }
  return lines;
}
