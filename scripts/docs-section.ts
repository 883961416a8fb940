import fs from "node:fs";
import { replaceSection } from "../src/report/page-section.ts";

/** Puts lines between two marks of a page, which stay. @throws Error for a page without them. */
export function writeSection(page: string, marks: readonly [string, string], lines: readonly string[]): void {
  const text = replaceSection(fs.readFileSync(page, "utf8"), marks, `\n${lines.join("\n")}\n`);
  if (text === undefined) throw new Error(`${page} has no place for what was measured`);
  fs.writeFileSync(page, text);
}
