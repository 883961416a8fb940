/** What a run has written into its `metrics.jsonl`. */
import fs from "node:fs";
import { fileError, ioChunkBytes } from "../base/files.ts";
import { isPlainObject } from "../base/option-schema.ts";
import type { MetricsRecord } from "./run-directory.ts";

const mostLineBytes = 8 << 20;

/** The records of a run's `metrics.jsonl`, one at a time. A line that is half written, or none of ours, is passed over. */
export function* readMetrics(file: string): Generator<MetricsRecord> {
  for (const line of linesOf(file)) {
    const record = parse(line);
    if (record !== undefined) yield record;
  }
}

function* linesOf(file: string): Generator<string> {
  let descriptor: number;
  try {
    descriptor = fs.openSync(file, "r");
  } catch (error) {
    throw fileError(error, file, "read");
  }
  try {
    const buffer = Buffer.alloc(ioChunkBytes);
    let rest = Buffer.alloc(0);
    for (let count = fs.readSync(descriptor, buffer); count > 0; count = fs.readSync(descriptor, buffer)) {
      const chunk = Buffer.concat([rest, buffer.subarray(0, count)]);
      let start = 0;
      for (let end = chunk.indexOf(0x0a); end >= 0; end = chunk.indexOf(0x0a, start)) {
        yield chunk.toString("utf8", start, end);
        start = end + 1;
      }
      // a longer line is none of a run's
      rest = chunk.length - start > mostLineBytes ? Buffer.alloc(0) : Buffer.from(chunk.subarray(start));
    }
  } finally {
    fs.closeSync(descriptor);
  }
}

function parse(line: string): MetricsRecord | undefined {
  try {
    const record: unknown = JSON.parse(line);
    return isPlainObject(record) && Number.isSafeInteger(record.step) ? (record as MetricsRecord) : undefined;
  } catch {
    return undefined;
  }
}
