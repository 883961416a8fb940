import fs from "node:fs";

/** The values of a file of JSON, a line each. */
export const readJsonLines = <Value>(file: string): Value[] =>
  fs
    .readFileSync(file, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Value);
