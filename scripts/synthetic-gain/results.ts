/** What the runs of gain.ts left: a line each in results.jsonl, where what is done is not done again. */
import fs from "node:fs";
import path from "node:path";
import { readJsonLines } from "../json-lines.ts";
import type { Answers } from "../recipe/records.ts";

export type GainRow = { arm: string; seed: number } & (
  | {
      part: "synthesis";
      records: number;
      kept: { records: number; wrong: number };
      answerable: { records: number; keptRight: number };
      samples: number;
      wrongSamples: number;
    }
  | { part: "sft"; test: Answers; unseen: Answers }
  | { part: "pretraining"; test: Answers; bitsPerByte: Record<string, number> }
);
export type RowOf<Part extends GainRow["part"]> = Extract<GainRow, { part: Part }>;

const resultsFile = (folder: string) => path.join(folder, "results.jsonl");

export function readResults(folder: string): GainRow[] {
  const file = resultsFile(folder);
  return fs.existsSync(file) ? readJsonLines<GainRow>(file) : [];
}

export function addResult(folder: string, row: GainRow): void {
  fs.appendFileSync(resultsFile(folder), `${JSON.stringify(row)}\n`);
}
