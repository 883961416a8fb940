/** What was kept, as others read it: conversations in JSON lines and in Parquet. */
import fs from "node:fs";
import { fileError, temporaryPath } from "../base/files.ts";
import type { SynthRecord } from "./record.ts";

export type ChatRecord = {
  messages: { role: "user" | "assistant"; content: string }[];
  id: string;
  domain: string;
  language: string;
  seed: string;
  variant: string;
  difficulty: string;
  /** Of the answer. */
  model: string;
};

export function chatRecord(record: SynthRecord, answer: number): ChatRecord {
  const { id, domain, language, seed, variant, difficulty, instruction } = record;
  const { text, model } = record.answers[answer]!;
  return {
    messages: [
      { role: "user", content: instruction },
      { role: "assistant", content: text },
    ],
    ...{ id, domain, language, seed, variant, difficulty, model },
  };
}

const textColumns = ["id", "domain", "language", "seed", "variant", "difficulty", "model"] as const;
const readAtOnce = 1024 * 1024;

/** The same conversations as columns; `messages` is a list of {role, content}, as data sets on hubs have it. */
export async function writeParquet(jsonLines: string, file: string): Promise<void> {
  const { parquetWriteRows, fileWriter } = await import("hyparquet-writer");
  const text = { type: "BYTE_ARRAY", converted_type: "UTF8" } as const;
  const required = "REQUIRED" as const;
  const temporary = temporaryPath(file);
  try {
    await parquetWriteRows({
      writer: fileWriter(temporary),
      rows: rowsOf(jsonLines),
      columns: [{ name: "messages" }, ...textColumns.map((name) => ({ name }))],
      schema: [
        { name: "root", num_children: 1 + textColumns.length },
        { name: "messages", repetition_type: required, converted_type: "LIST", num_children: 1 },
        { name: "list", repetition_type: "REPEATED", num_children: 1 },
        { name: "element", repetition_type: required, num_children: 2 },
        { name: "role", repetition_type: required, ...text },
        { name: "content", repetition_type: required, ...text },
        ...textColumns.map((name) => ({ name, repetition_type: required, ...text })),
      ],
      rowGroupSize: 1000,
    });
    fs.renameSync(temporary, file);
  } catch (error) {
    throw fileError(error, file, "write");
  } finally {
    fs.rmSync(temporary, { force: true });
  }
}

function* rowsOf(jsonLines: string): Generator<ChatRecord> {
  const descriptor = fs.openSync(jsonLines, "r");
  try {
    const buffer = Buffer.alloc(readAtOnce);
    const decoder = new TextDecoder();
    let rest = "";
    for (;;) {
      const count = fs.readSync(descriptor, buffer, 0, readAtOnce, null);
      const lines = (rest + decoder.decode(buffer.subarray(0, count), { stream: count > 0 })).split("\n");
      rest = lines.pop()!;
      for (const line of lines) yield JSON.parse(line) as ChatRecord;
      if (count === 0) return;
    }
  } finally {
    fs.closeSync(descriptor);
  }
}
