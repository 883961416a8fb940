/** What the runs of gain.ts left: a line each in results.jsonl, where what is done is not done again. */
import fs from "node:fs";
import path from "node:path";

/** By the id of the question: whether the answer was right. */
export type Answers = Record<string, 0 | 1>;

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
  if (!fs.existsSync(resultsFile(folder))) return [];
  const lines = fs.readFileSync(resultsFile(folder), "utf8").trimEnd().split("\n");
  return lines.map((line) => JSON.parse(line) as GainRow);
}

export function addResult(folder: string, row: GainRow): void {
  fs.appendFileSync(resultsFile(folder), `${JSON.stringify(row)}\n`);
}
