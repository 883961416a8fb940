/** Reads evaluation sets for the search of overlaps: any JSON records, their questions told from their other fields by name. */

import { RookeryError } from "../../base/errors.ts";
import { readFileRecords, resolveFiles } from "../../data/files.ts";
import { ContaminationIndex } from "./contamination.ts";

/** Fields that ask, in the evaluation sets that people have. */
const questionFields = new Set(
  "question prompt instruction input inputs query problem text sentence ctx context passage premise goal title content value".split(
    " ",
  ),
);
const mostTexts = 64;
const deepest = 6;

export type EvaluationSet = { name: string; path: string };

/**
 * @throws RookeryError FILE_UNREADABLE for a set that is not there; BAD_DATA for a line that cannot be read, since a set that is half
 *   read would let through what it was named for.
 */
export async function indexEvaluationSets(
  sets: readonly EvaluationSet[],
  signal?: AbortSignal,
): Promise<ContaminationIndex> {
  const index = new ContaminationIndex();
  for (const { name, path } of sets) {
    const fail = (what: string): never => {
      throw new RookeryError(
        "BAD_DATA",
        `evaluation set ${name}: ${what}`,
        "give .jsonl, .json, .csv or .parquet files that can be read whole",
      );
    };
    const { files } = await resolveFiles(path, (file, error) => fail(`${file}: ${(error as Error).message}`));
    const before = index.items;
    for (const file of files) {
      const problem = (_kind: string, line: number | null, what: string) =>
        fail(`${line === null ? file : `${file}:${line}`} ${what}`);
      for await (const { record, line } of readFileRecords(file, problem)) {
        signal?.throwIfAborted();
        const item = { set: name, where: `${file}:${line}` };
        for (const { text, isQuestion } of textsOf(record, "", 0).slice(0, mostTexts))
          index.add(item, text, isQuestion);
      }
    }
    if (index.items === before) fail(`${path} holds no texts`);
  }
  return index;
}

/** Every text of a record. A chat's turns ask when they are the user's. */
function textsOf(value: unknown, field: string, depth: number): { text: string; isQuestion: boolean }[] {
  if (typeof value === "string") return [{ text: value, isQuestion: questionFields.has(field.toLowerCase()) }];
  if (typeof value !== "object" || value === null || depth > deepest) return [];
  if (Array.isArray(value)) return value.flatMap((inner) => textsOf(inner, field, depth + 1));
  const { role, from } = value as { role?: unknown; from?: unknown };
  const speaker = role ?? from;
  const isAnswer = speaker === "assistant" || speaker === "gpt" || speaker === "system";
  const texts = Object.entries(value).flatMap(([key, inner]) =>
    key === "role" || key === "from" ? [] : textsOf(inner, key, depth + 1),
  );
  return isAnswer ? texts.map(({ text }) => ({ text, isQuestion: false })) : texts;
}
