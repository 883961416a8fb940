import fs from "node:fs";

/** Puts lines between two marks of a page, which stay. @throws Error for a page without them. */
export function writeSection(page: string, [begin, end]: readonly [string, string], lines: readonly string[]): void {
  const text = fs.readFileSync(page, "utf8");
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`${page} has no place for what was measured`);
  fs.writeFileSync(page, `${text.slice(0, from)}${[begin, ...lines].join("\n")}\n${text.slice(to)}`);
}
