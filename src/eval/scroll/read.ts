/** Files of records: JSON, JSON lines, CSV or Parquet, one or a folder of them. */
import { RookeryError } from "../../base/errors.ts";
import type { CommandContext } from "../../base/events.ts";
import { readFileRecords, resolveFiles } from "../../data/files.ts";
import { Problems } from "../../data/problems.ts";
import { readScrollRecord, type ScrollRecord } from "./record.ts";

export type ScrollData = {
  records: ScrollRecord[];
  /** Lines that are no records, and records that were there before. */
  skipped: number;
};

/**
 * All records, in the order of the files. What cannot be used is told of and left out.
 * @throws RookeryError FILE_UNREADABLE; BAD_DATA where no record is left.
 */
export async function readScrollFiles(paths: readonly string[], context: CommandContext): Promise<ScrollData> {
  const problems = new Problems(false, context);
  const records = new Map<string, ScrollRecord>();
  const report = (file: string, kind: Parameters<Problems["report"]>[1], line: number | null, what: string) =>
    problems.report(file, kind, file, line, what);
  for (const path of paths) {
    const { files } = await resolveFiles(path, (file) => report(file, "unreadable", null, "cannot be read"));
    for (const file of files) {
      for await (const { record, line } of readFileRecords(file, (kind, at, what) => report(file, kind, at, what))) {
        context.signal?.throwIfAborted();
        const read = readScrollRecord(record);
        if ("fault" in read) report(file, "malformed", line, `is no record of the benchmark: ${read.fault}`);
        else if (records.has(read.key))
          report(file, "malformed", line, `has the same input as a record before (${read.key})`);
        else records.set(read.key, read);
      }
    }
  }
  if (records.size > 0) return { records: [...records.values()], skipped: problems.total };
  throw new RookeryError(
    "BAD_DATA",
    `no records in ${paths.join(", ")}`,
    "give files whose records have prompt, question and answer, as PenguinScrolls has them",
  );
}
